from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.message import Attachment, AuthMessage

EXPECTED_HEADERS = {
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "content-language",
    "auto-submitted",
    "x-auto-response-suppress",
    "x-entity-ref-id",
    "mime-version",
    "content-type",
}


def build(**changes: Any) -> AuthMessage:
    values: dict[str, Any] = {
        "to": ("홍길동 <hong@example.com>",),
        "subject": "로그인 코드",
        "text_body": "안녕하세요\n코드 482901\n",
        "html_body": "<p>코드 <b>482901</b></p>",
        "from_email": "Example <no-reply@example.org>",
        "kind": "otp",
        "locale": "ko",
    }
    return AuthMessage(**values | changes)


def parse(message: AuthMessage) -> Any:
    return message_from_bytes(message.as_bytes(), policy=policy.default)


def test_what_is_parsed_is_what_was_given() -> None:
    mail = parse(build(created_at=datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)))
    assert str(mail["To"]) == "홍길동 <hong@example.com>"
    assert mail["Subject"] == "로그인 코드"
    assert mail["Date"] == "Fri, 20 Nov 2026 03:04:05 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail["Content-Language"] == "ko"
    assert mail.get_body(("plain",)).get_content() == "안녕하세요\r\n코드 482901\r\n"
    assert "482901" in mail.get_body(("html",)).get_content()


def test_leaves_in_seven_bit_with_crlf_and_short_lines() -> None:
    content = build(text_body="가" * 5000, subject="제목 " * 100).as_bytes()
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_bcc_is_in_the_envelope_and_on_no_line() -> None:
    message = build(cc=("c@example.com",), bcc=("hidden@example.com", "c@example.com"))
    assert message.envelope.recipients == (
        "hong@example.com",
        "c@example.com",
        "hidden@example.com",
    )
    assert b"hidden" not in message.as_bytes()


def test_the_message_id_is_on_the_from_domain_and_stays() -> None:
    message = build()
    assert message.message_id.endswith("@example.org>")
    assert message.message_id == parse(message)["Message-ID"] == parse(message)["Message-ID"]


def test_two_mails_carry_different_references_so_that_no_thread_hides_the_code() -> None:
    one, two = build(), build()
    assert parse(one)["X-Entity-Ref-ID"] != parse(two)["X-Entity-Ref-ID"]
    assert parse(one)["X-Entity-Ref-ID"] == parse(one)["X-Entity-Ref-ID"]


def test_the_repr_shows_neither_address_nor_content() -> None:
    text = repr(build(bcc=("hidden@example.com",)))
    assert "482901" not in text
    assert "hong@" not in text
    assert "hidden@" not in text
    assert "h***@example.com" in text


@pytest.mark.parametrize("name", ["to", "cc", "bcc", "reply_to"])
def test_a_hostile_address_makes_no_message(name: str) -> None:
    with pytest.raises(UnsafeHeader) as caught:
        build(**{name: ("a@example.com\r\nBcc: x@example.com",)})
    assert caught.value.field == name


@pytest.mark.parametrize("name", ["subject", "message_id", "from_email"])
def test_a_hostile_field_makes_no_message(name: str) -> None:
    with pytest.raises(UnsafeHeader):
        build(**{name: "x@example.com\r\nBcc: x@example.com"})


def test_needs_a_recipient() -> None:
    with pytest.raises(InvalidAddress, match="at least one recipient"):
        build(to=())


def test_one_string_is_not_a_list_of_letters() -> None:
    with pytest.raises(TypeError, match="not one string"):
        build(to="a@example.com")


@given(st.text(max_size=200), st.text(max_size=60))
def test_no_text_becomes_a_header_that_was_not_asked_for(subject: str, name: str) -> None:
    quoted = name.replace("\\", "").replace('"', "").replace("<", "").replace(">", "")
    try:
        message = build(subject=subject, to=(f'"{quoted}" <hong@example.com>',))
    except (UnsafeHeader, InvalidAddress):
        return
    head = message.as_bytes().partition(b"\r\n\r\n")[0]
    fields = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert {field.decode().lower() for field in fields} <= EXPECTED_HEADERS
    assert message.envelope.recipients == ("hong@example.com",)


@given(st.text(max_size=500))
def test_any_text_makes_a_body_that_can_be_sent(text: str) -> None:
    content = build(text_body=text, html_body=text or "x").as_bytes()
    assert content.isascii()
    assert b"\0" not in content


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8*en"])
def test_an_encoded_word_smuggles_nothing(charset: str) -> None:
    word = f"=?{charset}?q?x=0D=0ABcc=3A_y=40example.com?="
    for change in ({"to": (f"{word} <hong@example.com>",)}, {"subject": f"code {word}"}):
        with pytest.raises(UnsafeHeader):
            build(**change)


@pytest.mark.parametrize(
    "message_id",
    [
        "x@example.com",
        "<x>",
        "<a b@example.com>",
        "<가@example.com>",
        "<a@b><c@d>",
        "<@>",
        f"<{'x' * 900}@example.com>",
    ],
)
def test_a_message_id_has_its_form(message_id: str) -> None:
    with pytest.raises(UnsafeHeader, match="message_id needs the form <name@domain>"):
        build(message_id=message_id)


@pytest.mark.parametrize("locale", ["ko\r\nBcc: x@example.com", "ko\0", "ko en", "한국어", "-"])
def test_a_locale_is_a_language_tag(locale: str) -> None:
    with pytest.raises(UnsafeHeader) as caught:
        build(locale=locale)
    assert caught.value.field == "locale"


def test_a_locale_in_djangos_spelling_is_a_language_tag_in_the_header() -> None:
    message = build(locale="zh_Hans")
    assert message.locale == "zh_Hans"
    assert parse(message)["Content-Language"] == "zh-Hans"


def test_replacing_a_value_keeps_the_rest() -> None:
    message = build(extra_headers=(("X-A", " 1 "),), attachments=(Attachment("a", b"x"),))
    assert message.extra_headers == (("X-A", "1"),)
    assert replace(message).as_bytes() == message.as_bytes()


@pytest.mark.parametrize(
    ("content_id", "content_type", "field"),
    [
        ("a>\r\nX: y", "image/png", "content_id"),
        ("a b", "image/png", "content_id"),
        ("<logo>", "image/png", "content_id"),
        ("x" * 101, "image/png", "content_id"),
        ("logo", "image/svg+xml", "content_type"),
        ("logo", "text/html", "content_type"),
    ],
)
def test_what_html_shows_is_a_picture_with_a_plain_name(
    content_id: str, content_type: str, field: str
) -> None:
    with pytest.raises(UnsafeHeader) as caught:
        Attachment("logo", b"x", content_type, content_id=content_id)
    assert caught.value.field == field


def test_a_picture_is_shown_by_html_or_not_at_all() -> None:
    logo = Attachment("logo.png", b"x", "image/png", content_id="logo")
    with pytest.raises(UnsafeHeader, match="is of use in HTML alone, and the mail has none"):
        build(html_body="", attachments=(logo,))
    assert build(html_body="<img src='cid:logo'>", attachments=(logo,)).attachments == (logo,)
