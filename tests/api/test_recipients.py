"""What the API answers about recipients that get nothing for now."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail.clock import db_now
from django_authmail.conf import Conf
from django_authmail.hashes import address_hash, log_hash
from django_authmail.models import Carrier, Counter, Message, Suppression
from django_authmail.outbox import carriers
from django_authmail.signals import message_changed
from tests.api.conftest import OTP, TO, Api, MakeKey, problem
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def suppress(owner: str, address: str = TO) -> None:
    now = db_now("default")
    Suppression.objects.create(
        owner=owner,
        address_hash=address_hash(address),
        masked="h***@example.com",
        reason="bad_recipient",
        created_at=now,
        ends_at=now + timedelta(days=1),
    )


@pytest.fixture
def key(make_key: MakeKey) -> tuple[str, Api]:
    row, secret = make_key()
    return f"key:{row.pk}", Api(key=secret)


@pytest.mark.parametrize(
    "headers", [{}, {"Prefer": "respond-async"}, {"X-Dry-Run": "true"}], ids=str
)
def test_409_for_an_address_that_a_server_called_dead(
    key: tuple[str, Api], smtp_server: SmtpServer, headers: dict[str, str]
) -> None:
    owner, api = key
    suppress(owner)
    body = problem(api.post(**headers), 409, "recipient_suppressed")
    assert body["errors"] == [{"pointer": "/to", "detail": "is an address that nothing is sent to"}]
    assert body["retryable"] is False
    assert TO not in str(body)
    assert not Message.objects.exists()


def test_409_names_each_by_its_place(key: tuple[str, Api]) -> None:
    owner, api = key
    suppress(owner, "kim@example.com")
    mail: dict[str, Any] = {
        "to": [TO, "Kim <kim@example.com>"],
        "bcc": ["kim@example.com"],
        "subject": "Hello",
        "html_body": "<p>Hello</p>",
    }
    body = problem(api.post("/send", mail), 409, "recipient_suppressed")
    assert [error["pointer"] for error in body["errors"]] == ["/to/1", "/bcc/0"]


def test_a_suppression_is_learnt_from_the_servers_answer(
    key: tuple[str, Api], smtp_server: SmtpServer, make_key: MakeKey
) -> None:
    _, api = key
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    assert problem(api.post(), 502, "recipient_refused")["reason"] == "bad_recipient"
    problem(api.post(), 409, "recipient_suppressed")
    # Another caller learns nothing by it.
    other = Api(key=make_key()[1])
    problem(other.post(), 502, "recipient_refused")


def test_429_when_an_address_had_enough(
    key: tuple[str, Api], smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = Conf.recipient_limits.default
    _, api = key
    for _ in range(9):
        assert api.post(**{"X-Dry-Run": "1"}).status_code == 200  # uses nothing up
    for n in range(5):
        answer = api.post(**{"Prefer": "respond-async"} if n % 2 else {})
        assert answer.status_code in (200, 202)
    answer = api.post()
    body = problem(answer, 429, "recipient_cooldown")
    assert body["retry_after"] == int(answer["Retry-After"])
    assert 590 <= body["retry_after"] <= 600
    assert body["retryable"] is True
    # It says when, and neither what is counted nor how far.
    assert body.keys() == {
        "type", "title", "status", "detail", "instance", "code", "request_id", "retryable",
        "hint", "retry_after",
    }  # fmt: skip
    assert Message.objects.count() == 5
    assert api.post(body={**OTP, "to": "kim@example.com"}).status_code == 200


def test_what_was_not_sent_counts_for_nothing(
    key: tuple[str, Api], smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = Conf.recipient_limits.default
    _, api = key
    smtp_server.refuse[TO] = "451 4.3.0 busy"
    for _ in range(9):
        problem(api.post(), 502, "smtp_transient")
    smtp_server.refuse.clear()
    assert api.post().status_code == 200


def test_a_repeat_that_begins_with_the_end_of_the_first_finds_nothing_used(
    key: tuple[str, Api], smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    _, api = key
    smtp_server.refuse[TO] = "451 4.3.0 busy"
    used: list[int] = []

    def look(sender: object, state: str, **extra: object) -> None:
        if state == "failed":
            counters = Counter.objects.filter(key__startswith="recipient:")
            used.extend(counters.values_list("used", flat=True))

    message_changed.connect(look)
    try:
        problem(api.post(), 502, "smtp_transient")
    finally:
        message_changed.disconnect(look)
    assert used == [0]


@pytest.fixture
def refusals(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines about requests that were refused, which show no address."""
    caplog.set_level(logging.INFO)

    def lines() -> list[str]:
        assert not [each for each in (TO, "kim@example.com") if each in caplog.text]
        messages = [record.getMessage() for record in caplog.records]
        return [line for line in messages if line.startswith("api.refused")]

    return lines


@pytest.mark.parametrize(
    "code", ["recipient_suppressed", "recipient_cooldown", "paused", "mailer_unavailable"]
)
def test_a_request_without_a_row_is_found_in_the_log_by_its_recipient(
    code: str,
    key: tuple[str, Api],
    smtp_server: SmtpServer,
    settings: Settings,
    refusals: Callable[[], list[str]],
) -> None:
    owner, api = key
    if code == "recipient_suppressed":
        suppress(owner)
    elif code == "recipient_cooldown":
        settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
        assert api.post(Prefer="respond-async").status_code == 202
    elif code == "paused":
        carriers.pause()
    else:
        later = db_now("default") + timedelta(seconds=20)
        Carrier.objects.create(name="default", broken_until=later)
    count = Message.objects.count()
    body = json.loads(api.post(body={**OTP, "to": f"Hong <{TO}>"}).content)
    assert (body["code"], Message.objects.count()) == (code, count)
    [line] = refusals()
    assert f"code={code} " in line
    assert line.endswith(f" to_hash={log_hash(TO)}")


def test_of_several_recipients_the_log_has_each_once(
    make_key: MakeKey, refusals: Callable[[], list[str]]
) -> None:
    row, secret = make_key()
    suppress(f"key:{row.pk}")
    mail = {"to": [TO, "kim@example.com"], "bcc": TO, "subject": "Hello", "html_body": "<p>Hi</p>"}
    problem(Api(key=secret).post("/send", mail), 409, "recipient_suppressed")
    [line] = refusals()
    assert line.endswith(f" to_hash={log_hash(TO)},{log_hash('kim@example.com')}")


def test_recipients_that_cannot_be_told_are_not_in_the_log(
    key: tuple[str, Api], refusals: Callable[[], list[str]]
) -> None:
    problem(key[1].post(body={**OTP, "to": "nobody"}), 422, "invalid_recipient")
    problem(key[1].post(body={**OTP, "code": ""}), 422, "validation_error")
    assert len(refusals()) == 2
    assert not any("to_hash" in line for line in refusals())
