"""What the checker finds in a mail, and that it finds nothing in a good one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import translation

from django_authmail.message import Attachment, AuthMessage
from django_authmail.previews import Level, check, untranslated

BASE = "https://app.example.com"
GOOD = (
    '<!doctype html><html lang="en"><body style="color: #000000; background-color: #ffffff">'
    '<p>Hello</p><a href="https://app.example.com/x?token=t">Continue</a>'
    '<img src="cid:logo" alt="Example"><a href="mailto:help@example.com">Help</a></body></html>'
)


def mail(
    html: str = GOOD, text: str = f"Hello\n\n{BASE}/x?token=t\n", **more: object
) -> AuthMessage:
    return AuthMessage(
        to=("sample@example.com",),
        subject="Your link",
        text_body=text,
        html_body=html,
        from_email="no-reply@example.com",
        **more,  # type: ignore[arg-type] # any other field
    )


def with_html(part: str) -> AuthMessage:
    return mail(GOOD.replace("<p>Hello</p>", part))


def test_a_good_mail_has_no_findings() -> None:
    assert check(mail(), base_url=BASE) == []
    assert check(mail(html=""), base_url=BASE) == []


@pytest.mark.parametrize(
    ("message", "level", "code", "words"),
    [
        pytest.param(mail(text="  \n"), Level.ERROR, "no_text_part", "no text part", id="no text"),
        pytest.param(
            mail(GOOD.replace(' lang="en"', "")),
            Level.WARNING,
            "no_language",
            "lang",
            id="no language",
        ),
        pytest.param(
            with_html('<img src="cid:logo">'), Level.WARNING, "no_alternative", "alt", id="no alt"
        ),
        pytest.param(
            mail(GOOD + " " * 14_000), Level.WARNING, "large", "14 kB", id="over one window"
        ),
        pytest.param(
            mail(GOOD + "<p>word</p>" * 10_000), Level.ERROR, "clipped", "102 kB", id="clipped"
        ),
        pytest.param(
            with_html('<img src="https://x.example/a.png" alt="">'),
            Level.ERROR,
            "remote_content",
            "<img> https://x.example/a.png",
            id="a remote image",
        ),
        pytest.param(
            with_html('<img src="//x.example/a.png" alt="">'),
            Level.ERROR,
            "remote_content",
            "<img> //x.example/a.png",
            id="an image without a scheme",
        ),
        pytest.param(
            with_html('<img src="cid:a" srcset="https://x.example/a.png 2x" alt="">'),
            Level.ERROR,
            "remote_content",
            "https://x.example/a.png",
            id="a larger image elsewhere",
        ),
        pytest.param(
            with_html('<td background="http://x.example/a.png">x</td>'),
            Level.ERROR,
            "remote_content",
            "<td> http://x.example/a.png",
            id="a background",
        ),
        pytest.param(
            with_html("<p style=\"background: url('https://x.example/a.png')\">x</p>"),
            Level.ERROR,
            "remote_content",
            "<p> https://x.example/a.png",
            id="a background by style",
        ),
        pytest.param(
            with_html('<style>@import "https://x.example/a.css";</style>'),
            Level.ERROR,
            "remote_content",
            "<style> https://x.example/a.css",
            id="an imported style sheet",
        ),
        pytest.param(
            with_html("<style>p { background: url(https://x.example/a.png) }</style>"),
            Level.ERROR,
            "remote_content",
            "<style> https://x.example/a.png",
            id="a background in a style sheet",
        ),
        pytest.param(
            with_html('<link rel="stylesheet" href="https://x.example/a.css">'),
            Level.ERROR,
            "remote_content",
            "<link> https://x.example/a.css",
            id="a style sheet",
        ),
        pytest.param(
            with_html("<script>x</script>"), Level.ERROR, "active_content", "<script>", id="script"
        ),
        pytest.param(
            with_html('<p onclick="x">x</p>'), Level.ERROR, "active_content", "<p>", id="a handler"
        ),
        pytest.param(
            with_html("<form><input></form>"), Level.ERROR, "active_content", "<form>", id="a form"
        ),
        pytest.param(
            with_html('<a href="https://evil.example/x">x</a>'),
            Level.ERROR,
            "link_host",
            "https://evil.example",
            id="a link to elsewhere",
        ),
        pytest.param(
            with_html('<a href="http://app.example.com/x">x</a>'),
            Level.ERROR,
            "link_host",
            "http://app.example.com",
            id="a link without TLS",
        ),
        pytest.param(
            mail(text="See https://evil.example/x\n"),
            Level.ERROR,
            "link_host",
            "https://evil.example",
            id="a link to elsewhere in the text",
        ),
        pytest.param(
            with_html('<p style="color: #999999">x</p>'),
            Level.WARNING,
            "low_contrast",
            "#999999 on #ffffff (light)",
            id="weak text",
        ),
    ],
)
def test_finds(message: AuthMessage, level: Level, code: str, words: str) -> None:
    [finding] = check(message, base_url=BASE)
    assert (finding.level, finding.code) == (level, code)
    assert words in finding.detail


def test_links_are_compared_with_a_base_only() -> None:
    assert check(with_html('<a href="https://elsewhere.example/x">x</a>')) == []


def test_attachments_are_no_part_of_the_size() -> None:
    invoice = Attachment("invoice.pdf", b"x" * 200_000, "application/pdf")
    assert check(mail(attachments=(invoice,)), base_url=BASE) == []


def test_details_are_in_the_active_language() -> None:
    with translation.override("ko"):
        [finding] = check(mail(text=""), base_url=BASE)
    assert (
        finding.detail == "메일에 텍스트 본문이 없습니다. 텍스트만 보여 주는 프로그램도 있습니다."
    )


def test_a_line_that_stayed_as_it_was_is_not_translated() -> None:
    english = mail("", "Hello Hong,\n\nYour code:\n\n482901\n\nIgnore this email.\n")
    korean = mail("", "안녕하세요, 홍길동님.\n\nYour code:\n\n482901\n\n무시하세요.\n")
    found = untranslated(korean, english, {"name": "Hong", "items": [{"code": "482901"}]})
    assert [finding.detail.partition(": ")[2] for finding in found] == ["Your link", "Your code:"]
    assert {(finding.level, finding.code) for finding in found} == {
        (Level.ERROR, "missing_translation")
    }


def test_a_line_of_the_html_that_stayed_as_it_was_is_found_too() -> None:
    english = with_html("<p>Hello Hong</p><p>Never tell it to <b>anyone</b>.</p>")
    korean = replace(
        with_html("<p>안녕하세요, Hong님</p><p>Never tell it to <b>anyone</b>.</p>"),
        subject="링크",
        text_body="안녕하세요",
    )
    found = untranslated(korean, english, ["Hong", "help@example.com"])
    assert [finding.detail.partition(": ")[2] for finding in found] == [
        "Never tell it to anyone.",
        "ContinueHelp",
    ]


def test_a_line_in_both_parts_is_told_once() -> None:
    original = mail("<p>Hello\u034f\u2007\u034f</p>", "Hello\n")
    found = untranslated(replace(original, subject="링크"), original)
    assert [finding.detail.partition(": ")[2] for finding in found] == ["Hello"]


def test_an_address_that_html_leads_to_needs_no_translation() -> None:
    html = (
        "<style>p { color: red }</style><title>Mail</title><p>482901</p>"
        '<a href="mailto:help@example.com">help@example.com</a>'
        f'<p><a href="{BASE}/x?token=t">{BASE}/x?token=t</a></p>'
    )
    original = mail(html, "482901\n")
    assert untranslated(replace(original, subject="링크"), original, ["help@example.com"]) == []


def test_what_a_mail_was_given_needs_no_translation() -> None:
    text = f"Seoul Pro plan\n₩50,000\n{BASE}/receipt?token=abc\n"
    lines = {"items": ("Pro plan", {"place": "Seoul"}), "subject": "Your link", "empty": ""}
    assert untranslated(mail("", text), mail("", text), lines) == []
