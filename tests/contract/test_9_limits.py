"""Contract, section 9: rate limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings

from django_authmail.client import AuthmailClient, RateLimited
from tests.contract.callers import CODE, KEY, TO, Socket, body_of
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

OTP = body_of("otp")


def test_a_key_and_minute(raw: Socket, smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 2
    first = raw.talk("POST", "/send/otp", OTP)
    assert first.headers.keys() >= {"ratelimit", "ratelimit-policy"}
    statuses = [raw.talk("POST", "/send/otp", OTP) for _ in range(4)]
    # Fixed windows: a minute may end in between.
    refused = [answer for answer in statuses if answer.status == 429]
    assert len(refused) >= 1
    assert refused[-1].json()["code"] == "rate_limited"
    assert 0 < int(refused[-1].headers["retry-after"]) == refused[-1].json()["retry_after"] <= 60


def test_nothing_but_POST_send_counts(
    raw: Socket, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 1
    for _ in range(3):
        assert raw.talk("GET", "/health").status == 200
        assert raw.talk("GET", "/messages/x").status == 404
    assert raw.talk("POST", "/send/otp", OTP).status == 200


def test_0_is_off(raw: Socket, smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    assert {raw.talk("POST", "/send/otp", OTP).status for _ in range(5)} == {200}


def test_a_mailbox_gets_five_in_ten_minutes(
    raw: Socket, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [
        (5, timedelta(minutes=10)),
        (20, timedelta(days=1)),
    ]
    # Case and plus-tags are no way around.
    for to in (TO, "Hong@Example.com", "hong+1@example.com", "hong+2@example.com", TO):
        assert raw.ask(to=to).status == 200
    told = raw.ask(to="HONG+3@example.com")
    assert (told.status, told["code"]) == (429, "recipient_cooldown")
    # Another kind, and another mailbox, have their own.
    assert raw.ask("magic-link").status == 200
    assert raw.ask(to="kim@example.com").status == 200


def test_the_client_is_told_how_long_to_wait(
    url: str, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    with AuthmailClient(url, KEY) as client:
        client.send_otp(TO, "홍길동", CODE)
        with pytest.raises(RateLimited) as caught:
            client.send_otp(TO, "홍길동", CODE)
    assert caught.value.retry_after is not None
    assert 10 < caught.value.retry_after <= 600


def test_failed_authentications_are_throttled_and_a_valid_key_is_not(
    raw: Socket, settings: Settings
) -> None:
    settings.AUTHMAIL_AUTH_FAILURES_PER_MINUTE = 2
    answers = [raw.talk("POST", "/send/otp", OTP, Authorization="Bearer x") for _ in range(6)]
    assert answers[0].status == 401
    # Fixed windows: a minute may end in between.
    refused = [answer for answer in answers if answer.status == 429]
    assert refused[-1].json()["code"] == "auth_throttled"
    assert 0 < int(refused[-1].headers["retry-after"]) <= 60
    assert raw.talk("POST", "/send/otp", OTP, X_Dry_Run="1").status == 200
