"""The mail that confirms an address: by a code, a link, or both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail.exceptions import InvalidContext, MissingName
from django_authmail.message import AuthMessage
from django_authmail.notifiers import EmailVerificationNotifier

TO = "hong@example.org"
LINK = "https://app.example.com/verify-email?token=t1"


@pytest.fixture(autouse=True)
def _base_url(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"


def build(**values: Any) -> AuthMessage:
    return EmailVerificationNotifier().build(TO, **{"user_name": "", "locale": "en"} | values)


def test_by_a_code() -> None:
    message = build(code="482901")
    assert message.text_body.startswith(
        "Hello,\n\nEnter this code to confirm that this address is yours:\n\n482901\n\n"
        "The code is valid for 1 hour.\n"
    )
    assert "<a " not in message.html_body


def test_by_a_link() -> None:
    message = build(token="t1", expires_in=timedelta(days=3))
    assert message.text_body.startswith(
        f"Hello,\n\nOpen this link to confirm that this address is yours:\n\n{LINK}\n\n"
        "The link is valid for 3 days.\n"
    )
    assert 'class="am-code"' not in message.html_body
    assert message.expires_in == timedelta(days=3)


def test_by_either() -> None:
    message = build(code="482901", token="t1", locale="ko", user_name="홍길동")
    assert message.subject == "이메일 주소 확인 안내"
    assert message.text_body.startswith(
        "안녕하세요, 홍길동님.\n\n"
        "본인의 이메일 주소인지 확인하기 위해 아래 인증 코드를 입력하거나 링크를 열어 주세요.\n\n"
        f"482901\n\n{LINK}\n\n코드와 링크는 1시간 동안 유효합니다.\n"
    )
    assert message.html_body.count(">482901<") == 1
    assert message.html_body.count(f'href="{LINK}"') == 2


def test_one_of_them_is_needed() -> None:
    with pytest.raises(MissingName, match="code: this value is missing; it takes a code, a"):
        build()
    with pytest.raises(InvalidContext, match="code"):
        build(code="12", token="t1")


def test_a_code_alone_needs_no_base_url(settings: Settings) -> None:
    del settings.AUTHMAIL_LINK_BASE_URL
    assert "482901" in build(code="482901").text_body


def test_a_setting_shows_the_code_in_the_subject_and_in_a_last_line(settings: Settings) -> None:
    settings.AUTHMAIL_CODE_IN_SUBJECT = True
    settings.AUTHMAIL_AUTOFILL_DOMAIN = "example.com"
    message = build(code="482901", token="t1")
    assert message.subject == "482901 is your verification code"
    assert message.text_body.splitlines()[-1] == "@example.com #482901"
    message = build(token="t1")
    assert message.subject == "Confirm your email address"
    assert "@example.com" not in message.text_body
