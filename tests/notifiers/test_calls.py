"""How `send` and `build` are called: by which names, and what is said of wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from django_authmail.exceptions import (
    InvalidAddress,
    MissingName,
    RepeatedName,
    UnknownName,
    UnsafeHeader,
)
from django_authmail.message import Attachment
from django_authmail.notifiers import MagicLinkNotifier, OTPNotifier

TO = "hong@example.org"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((TO, "홍길동", "482901"), {}),
        ((TO, "홍길동"), {"code": "482901"}),
        ((TO,), {"user_name": "홍길동", "code": "482901"}),
        ((), {"to": TO, "user_name": "홍길동", "code": "482901"}),
        ((TO, "홍길동"), {"payload": "482901"}),
        ((), {"to_email": TO, "user_name": "홍길동", "payload": "482901"}),
    ],
)
def test_the_same_call_in_every_form(args: tuple[str, ...], named: dict[str, str]) -> None:
    message = OTPNotifier().build(*args, **named)
    assert message.to == (TO,)
    assert "홍길동" in message.text_body
    assert "482901" in message.text_body


def test_payload_is_the_token_of_a_link() -> None:
    notifier = MagicLinkNotifier(base_url="https://app.example.com")
    assert "?token=abc" in notifier.build(to_email=TO, user_name="", payload="abc").text_body


@pytest.mark.parametrize(
    ("named", "name"),
    [({"user_name": ""}, "code"), ({"code": "1234"}, "user_name"), ({}, "user_name")],
)
def test_a_missing_value_is_refused_by_name(named: dict[str, str], name: str) -> None:
    with pytest.raises(MissingName, match=f"^{name}: this value is missing") as caught:
        OTPNotifier().build(TO, **named)
    assert caught.value.name == name
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, KeyError)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"kode": "1"}, "kode: there is no such value; did you mean code?"),
        ({"local": "ko"}, "local: there is no such value; did you mean locale?"),
        ({"zzz": 1}, "zzz: there is no such value; it takes user_name, code"),
        ({"payloads": "1"}, "payloads: there is no such value"),
    ],
)
def test_an_unknown_value_is_refused_by_name(named: dict[str, Any], said: str) -> None:
    with pytest.raises(UnknownName) as caught:
        OTPNotifier().build(TO, "", "1234", **named)
    assert str(caught.value).startswith(said)


def test_a_value_is_given_once() -> None:
    with pytest.raises(RepeatedName, match="^code: this value is given twice"):
        OTPNotifier().build(TO, "", "1234", payload="1234")
    with pytest.raises(TypeError, match="takes 3 positional values, not 4"):
        OTPNotifier().build(TO, "", "1234", "ko")


def test_a_mail_may_have_copies_a_reply_address_and_files() -> None:
    message = OTPNotifier().build(
        TO,
        user_name="",
        code="1234",
        cc=["cc@example.org"],
        bcc=("bcc@example.org",),
        reply_to=["고객센터 <help@example.com>"],
        attachments=[Attachment("a.txt", b"x", "text/plain")],
        supersede_key="login",
    )
    assert message.envelope.recipients == (TO, "cc@example.org", "bcc@example.org")
    assert message.reply_to == ("고객센터 <help@example.com>",)
    assert message.attachments[0].filename == "a.txt"
    assert message.supersede_key == "login"
    assert message.supersedes


@pytest.mark.parametrize("name", ["cc", "bcc", "reply_to"])
def test_addresses_are_guarded_wherever_they_go(name: str) -> None:
    with pytest.raises(UnsafeHeader):
        OTPNotifier().build(TO, "", "1234", **{name: ["a@example.org\r\nBcc: b@example.org"]})
    with pytest.raises(InvalidAddress):
        OTPNotifier().build(TO, "", "1234", **{name: ["nobody"]})
    with pytest.raises(TypeError, match=f"{name} takes a list or tuple of addresses"):
        OTPNotifier().build(TO, "", "1234", **{name: "a@example.org"})
