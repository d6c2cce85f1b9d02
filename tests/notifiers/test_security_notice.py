"""The mail that tells somebody what happened to their account."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail.exceptions import InvalidAddress, InvalidContext, MissingName
from django_authmail.message import AuthMessage
from django_authmail.notifiers import SecurityEvent, SecurityNoticeNotifier

OLD, NEW = "hong@example.org", "gildong@example.net"


def build(to: str = OLD, **values: Any) -> AuthMessage:
    return SecurityNoticeNotifier().build(to, **{"user_name": "Alex", "locale": "en"} | values)


def test_a_changed_password() -> None:
    message = build(event=SecurityEvent.PASSWORD_CHANGED)
    assert message.subject == "Your password was changed"
    assert "The password of your Example account was changed." in message.text_body
    assert "If it was not you, change your password at once." in message.text_body
    assert "If it was not you, change your password at once." in message.html_body


def test_a_new_sign_in_says_when_where_and_by_what(settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    message = build(
        event="new-sign-in",
        at=datetime(2026, 11, 26, 5, 5, tzinfo=UTC),
        place="서울",
        device="Chrome 131.0 on Windows",
    )
    assert message.subject == "New sign-in to your account"
    rows = ["Time: Nov 26, 2026, 14:05 (UTC+9)", "Place: 서울", "Device: Chrome 131.0 on Windows"]
    assert message.text_body.splitlines()[2:5] == rows
    for row in rows:
        assert row.partition(": ")[2] in message.html_body


def test_a_changed_address_is_told_to_both_and_shown_in_full_to_neither() -> None:
    values = {"event": "email-changed", "old_email": OLD, "new_email": NEW}
    to_old, to_new = build(OLD, **values), build(f"Gildong <{NEW.upper()}>", **values)
    assert "was changed to g***@example.net." in to_old.text_body
    assert "This is now the address of your Example account" in to_new.text_body
    assert "Before, it was h***@example.org." in to_new.text_body
    for message in (to_old, to_new):
        assert message.subject == "Your email address was changed"
        assert "contact us at once" in message.text_body
        for part in (message.text_body, message.html_body):
            assert OLD not in part
            assert NEW not in part.lower()


def test_no_korean_particle_hangs_on_the_last_sound_of_an_address() -> None:
    values = {"event": "email-changed", "old_email": OLD, "new_email": NEW}
    message = build(OLD, **values, locale="ko")
    assert "Example 계정의 이메일 주소가 g***@example.net(으)로 변경되었습니다." in (
        message.text_body
    )


def test_a_button_is_there_where_the_project_has_a_page(settings: Settings) -> None:
    assert "<a " not in build(event="new-sign-in").html_body
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    assert "<a " not in build(event="new-sign-in").html_body
    settings.AUTHMAIL_LINK_PATHS = {"security-notice": "/account/security"}
    message = build(event="new-sign-in")
    assert 'href="https://app.example.com/account/security"' in message.html_body
    assert "\nhttps://app.example.com/account/security\n" in message.text_body


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"event": "hacked"}, InvalidContext, "event: must be one of password-changed, email-"),
        ({"event": "email-changed"}, MissingName, "^old_email: this value is missing"),
        ({"event": "email-changed", "old_email": OLD}, MissingName, "^new_email: this value"),
        (
            {"event": "email-changed", "old_email": OLD, "new_email": "x"},
            InvalidAddress,
            "^new_email is not a usable email address",
        ),
        ({"event": "new-sign-in", "at": "now"}, InvalidContext, "^at: is no time as in 2026-"),
        ({"event": "new-sign-in", "place": 7}, InvalidContext, "^place: must be a string"),
        ({"event": "new-sign-in", "device": None}, InvalidContext, "^device: must be a string"),
    ],
)
def test_a_notice_refuses_what_it_cannot_show(
    values: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        build(**values)
