"""How a project's mails look as its own."""

from __future__ import annotations

import logging
import re
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from django.core import mail
from fast_mail_parser import parse_email_tree
from pytest_django.fixtures import Settings

from django_authmail.message import Attachment
from django_authmail.notifiers import MagicLinkNotifier, OTPNotifier
from django_authmail.notifiers.brand import DEFAULT_COLOUR, current_brand, luminance, readable_on

TO = "hong@example.org"
# The smallest GIF there is: one pixel.
PIXEL = bytes.fromhex("47494638396101000100800000ffffff0000002c00000000010001000002024401003b")


@pytest.fixture
def logo(tmp_path: Path, settings: Settings) -> Path:
    path = tmp_path / "logo.gif"
    path.write_bytes(PIXEL)
    settings.AUTHMAIL_BRAND = {"name": "한빛상점", "logo": str(path), "logo_width": 96}
    return path


def test_a_project_that_says_nothing_has_the_name_of_its_from() -> None:
    assert current_brand("한빛 <a@example.com>", "ko").name == "한빛"
    brand = current_brand("a@example.com", "ko")
    assert brand.name == "example.com"
    assert (brand.colour, brand.logo, brand.support, brand.footer) == (DEFAULT_COLOUR, None, "", ())


def test_name_and_footer_may_differ_by_language(settings: Settings) -> None:
    settings.AUTHMAIL_BRAND = {
        "name": {"ko": "한빛상점", "en": "Hanbit"},
        "footer": {"ko": "주식회사 한빛\n서울", "en": "Hanbit Inc."},
        "support": "help@example.com",
        "colour": "#FFCC00",
    }
    korean = MagicLinkNotifier(base_url="https://app.example.com").build(TO, "", "t", locale="ko")
    assert (
        "한빛상점에서 자동으로 발송한 메일입니다.\n문의: help@example.com\n주식회사 한빛\n서울\n"
        in (korean.text_body)
    )
    assert 'href="mailto:help@example.com"' in korean.html_body
    assert "background-color: #ffcc00" in korean.html_body
    assert "color: #000000" in korean.html_body  # yellow takes no white text
    english = OTPNotifier().build(TO, "", "1234", locale="en")
    assert "by Hanbit.\nQuestions? help@example.com\nHanbit Inc.\n" in english.text_body


def test_support_may_be_a_page(settings: Settings) -> None:
    settings.AUTHMAIL_BRAND = {"support": "https://example.com/help"}
    assert 'href="https://example.com/help"' in OTPNotifier().build(TO, "", "1234").html_body


@pytest.mark.parametrize(
    "colour", ["#000000", "#ffffff", "#767676", "#ff0000", "#1d4ed8", "#8a8a00"]
)
def test_text_on_the_colour_is_readable(colour: str) -> None:
    """WCAG 2.1 AA, 1.4.3: 4.5 to 1."""
    lighter, darker = sorted((luminance(colour), luminance(readable_on(colour))), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_a_logo_is_a_part_of_the_html(logo: Path) -> None:
    message = OTPNotifier().build(TO, "", "1234", locale="ko")
    (image,) = re.findall("<img [^>]*>", message.html_body)
    assert 'src="cid:logo"' in image
    assert 'alt="한빛상점"' in image
    assert 'width="96"' in image
    assert "http" not in image

    parsed = message_from_bytes(message.as_bytes(), policy=default)
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/gif",
    ]
    related = list(parsed.walk())[2]
    assert related.get_param("type") == "text/html"
    picture = list(parsed.walk())[4]
    assert picture["Content-ID"] == "<logo>"
    assert picture.get_content_disposition() == "inline"
    assert picture.get_content() == PIXEL

    second = parse_email_tree(message.as_bytes())
    text, related_part = second.children
    assert text.content_type == "text/plain"
    html, shown = related_part.children
    assert html.content_type == "text/html"
    assert (shown.content_type, shown.content_id, shown.content) == ("image/gif", "logo", PIXEL)


def test_files_stand_beside_what_the_html_shows(logo: Path) -> None:
    pdf = Attachment("a.pdf", b"%PDF", "application/pdf")
    message = OTPNotifier().build(TO, "", "1234", attachments=[pdf])
    second = parse_email_tree(message.as_bytes())
    assert second.content_type == "multipart/mixed"
    assert [part.content_type for part in second.children] == [
        "multipart/alternative",
        "application/pdf",
    ]


def test_a_logo_goes_by_other_mailers_too(logo: Path) -> None:
    assert OTPNotifier().send(TO, "", "1234")
    (sent,) = mail.outbox
    shown = parse_email_tree(sent.message().as_bytes()).children
    assert [part.content_type for part in shown] == ["multipart/alternative", "image/gif"]
    assert (shown[1].content_id, shown[1].disposition) == ("logo", "inline")
    assert shown[1].content == PIXEL


def test_a_logo_that_is_gone_stops_no_mail(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_BRAND = {"name": "한빛", "logo": tmp_path / "gone.png"}
    with caplog.at_level(logging.ERROR, "django_authmail"):
        message = OTPNotifier().build(TO, "", "1234", locale="ko")
    assert message.attachments == ()
    assert "<img" not in message.html_body
    assert "AUTHMAIL_BRAND['logo'] cannot be read" in caplog.text


def test_a_logo_that_comes_back_is_shown_again(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "late.gif"
    settings.AUTHMAIL_BRAND = {"name": "한빛", "logo": path}
    assert OTPNotifier().build(TO, "", "1234").attachments == ()
    path.write_bytes(PIXEL)
    [shown] = OTPNotifier().build(TO, "", "1234").attachments
    assert shown.content == PIXEL


def test_templates_that_show_no_logo_carry_none(
    logo: Path, settings: Settings, tmp_path: Path
) -> None:
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [str(tmp_path)]}
    ]
    (tmp_path / "authmail" / "otp").mkdir(parents=True)
    (tmp_path / "authmail" / "otp" / "body.html").write_text("<p>{{ code }}</p>")
    assert OTPNotifier().build(TO, "", "1234").attachments == ()
