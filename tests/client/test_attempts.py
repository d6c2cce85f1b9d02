"""What is repeated, when, and above all what is not."""

from __future__ import annotations

import logging
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from django_authmail.client import (
    Conflict,
    IdempotencyUnavailable,
    NotSent,
    RateLimited,
    ServiceTimeout,
    ServiceUnavailable,
    ServiceUnreachable,
    UnexpectedAnswer,
)
from tests.client import scripted
from tests.client.conftest import CODE, KEY, MakeClient
from tests.client.scripted import Service, Step, answer, problem

OTP = ("hong@example.com", "홍길동", CODE)

BROKEN = [
    pytest.param(scripted.reset_at_once, id="reset before the request"),
    pytest.param(scripted.reset_after_the_request, id="reset after the request"),
    pytest.param(scripted.close_after_the_request, id="closed without an answer"),
    pytest.param(scripted.cut_the_answer, id="closed within the answer"),
]
SURE = [
    pytest.param(problem(429, "rate_limited", retry_after="0"), id="too many calls"),
    pytest.param(problem(503, "mailer_unavailable", retry_after="0"), id="nothing sends now"),
]


# Nobody knows where in the request the database went away.
UNSURE = problem(503, "database_unavailable", retry_after="0")


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_connection_is_repeated_with_the_same_key(
    client: Any, service: Service, fault: Step
) -> None:
    service.script(fault, fault, answer(Idempotent_Replayed="true"))
    sent = client.send_otp(*OTP)
    assert (sent.sent, sent.replayed) == (True, True)
    assert service.connections == 3
    for name in ("idempotency-key", "x-request-id"):
        assert len({request.headers[name] for request in service.requests}) == 1


def test_two_calls_have_two_keys(client: Any, service: Service) -> None:
    service.script(answer())
    client.send_otp(*OTP)
    client.send_otp(*OTP)
    first, second = (request.headers["idempotency-key"] for request in service.requests)
    assert first != second


@pytest.mark.parametrize("fault", [*BROKEN[1:], pytest.param(scripted.stay_silent, id="silence")])
def test_without_idempotency_nothing_is_repeated_that_was_perhaps_taken(
    make_client: MakeClient, service: Service, fault: Step
) -> None:
    service.script(fault, answer())
    with pytest.raises(ServiceUnreachable) as caught:
        make_client(service.url, timeout=0.5, idempotency=False).send_otp(*OTP)
    assert caught.value.may_have_been_sent
    assert "a repeat would be another" in caught.value.hint
    assert caught.value.idempotency_key is None
    assert service.connections == 1
    assert "idempotency-key" not in service.requests[0].headers


def test_without_idempotency_a_page_of_a_proxy_is_not_repeated(
    make_client: MakeClient, service: Service
) -> None:
    page = answer(503, b"<h1>Try later</h1>", content_type="text/html", Retry_After="0")
    service.script(page, answer())
    with pytest.raises(UnexpectedAnswer) as caught:
        make_client(service.url, idempotency=False).send_otp(*OTP)
    assert caught.value.may_have_been_sent
    assert service.connections == 1


def test_without_idempotency_a_database_that_went_away_is_not_asked_again(
    make_client: MakeClient, service: Service
) -> None:
    service.script(UNSURE, answer())
    with pytest.raises(ServiceUnavailable) as caught:
        make_client(service.url, idempotency=False).send_otp(*OTP)
    assert caught.value.may_have_been_sent
    assert len(service.requests) == 1


@pytest.mark.parametrize("fault", SURE)
def test_without_idempotency_what_surely_did_nothing_is_repeated(
    make_client: MakeClient, service: Service, fault: Step
) -> None:
    service.script(fault, answer())
    assert make_client(service.url, idempotency=False).send_otp(*OTP).sent


def test_a_port_where_nobody_listens_is_tried_four_times(
    make_client: MakeClient, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, "django_authmail.client"),
        pytest.raises(ServiceUnreachable) as caught,
    ):
        make_client(f"http://127.0.0.1:{dead_port}", idempotency=False).send_otp(*OTP)
    assert not caught.value.may_have_been_sent
    records = [r for r in caplog.records if r.name.startswith("django_authmail.client")]
    assert [record.getMessage().split("wait_seconds=")[1][:3] for record in records] == [
        "0.1",
        "0.4",
        "1.6",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        *SURE,
        pytest.param(UNSURE, id="its database is away"),
        pytest.param(problem(409, "idempotency_in_progress", retry_after="0"), id="still running"),
        pytest.param(
            answer(503, b"<h1>Try later</h1>", content_type="text/html", Retry_After="0"),
            id="a page of a proxy",
        ),
    ],
)
def test_what_may_pass_is_waited_for(client: Any, service: Service, fault: Step) -> None:
    service.script(fault, fault, answer())
    assert client.send_otp(*OTP).sent
    assert len(service.requests) == 3


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
def test_as_long_as_the_service_says(client: Any, service: Service, as_date: bool) -> None:
    begun = time.monotonic()
    # A date has no fractions: at most a second is lost.
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    service.script(problem(429, "rate_limited", retry_after=at if as_date else "1"), answer())
    client.send_otp(*OTP)
    assert 0.9 < time.monotonic() - begun < 8


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (problem(429, "recipient_cooldown", retry_after="600"), RateLimited),
        (problem(503, "paused", retry_after="10"), ServiceUnavailable),
        (problem(409, "idempotency_in_progress", retry_after="30"), Conflict),
    ],
)
def test_a_wait_beyond_the_time_of_the_call_is_the_caller_s_decision(
    client: Any, service: Service, step: Step, error: type[RateLimited]
) -> None:
    service.script(step)
    with pytest.raises(error) as caught:
        client.send_otp(*OTP)
    assert caught.value.retry_after in (600, 10, 30)
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("step", "error"),
    [
        pytest.param(problem(503, "magic_link_not_configured"), ServiceUnavailable, id="setting"),
        pytest.param(
            problem(409, "recipient_suppressed", retry_after="0"), Conflict, id="dead address"
        ),
        pytest.param(problem(502, "smtp_transient", retryable=True), NotSent, id="refused for now"),
        pytest.param(problem(429, "rate_limited"), RateLimited, id="no time to wait"),
        pytest.param(
            problem(429, "rate_limited", retry_after="soon"), RateLimited, id="a time that is none"
        ),
        pytest.param(
            problem(429, "rate_limited", retry_after="Fri, 31 Dec 9999 23:59:59 -2300"),
            RateLimited,
            id="a time beyond all",
        ),
    ],
)
def test_what_a_repeat_does_not_cure_is_told_at_once(
    client: Any, service: Service, step: Step, error: type[NotSent]
) -> None:
    service.script(step)
    with pytest.raises(error):
        client.send_otp(*OTP)
    assert len(service.requests) == 1


@pytest.mark.parametrize("fault", [scripted.stay_silent, scripted.drip])
def test_the_timeout_is_that_of_the_whole_call(
    make_client: MakeClient, service: Service, fault: Step
) -> None:
    service.script(scripted.reset_after_the_request, fault)
    begun = time.monotonic()
    with pytest.raises(ServiceTimeout) as caught:
        make_client(service.url, timeout=0.6).send_otp(*OTP)
    assert 0.5 < time.monotonic() - begun < 5
    assert caught.value.may_have_been_sent
    assert caught.value.code == "timeout"
    assert caught.value.hint.startswith("A mail may have been sent. Repeat the call with")
    assert caught.value.idempotency_key == service.requests[0].headers["idempotency-key"]


def test_a_health_that_failed_is_not_hidden(client: Any, service: Service) -> None:
    service.script(scripted.close_after_the_request, answer(body={"status": "ok"}))
    with pytest.raises(ServiceUnreachable) as caught:
        client.health()
    assert service.connections == 1
    assert not caught.value.may_have_been_sent


def test_a_service_without_idempotency_is_named_with_the_way_out(
    client: Any, service: Service
) -> None:
    service.script(problem(501, "idempotency_unavailable", hint="Leave the header out."))
    with pytest.raises(IdempotencyUnavailable, match="client with idempotency=False") as caught:
        client.send_otp(*OTP)
    assert len(service.requests) == 1
    assert not caught.value.may_have_been_sent


@pytest.mark.parametrize("fault", [*BROKEN, pytest.param(scripted.stay_silent, id="silence")])
def test_no_error_and_no_log_has_the_key_or_the_body(
    make_client: MakeClient, service: Service, fault: Step, caplog: pytest.LogCaptureFixture
) -> None:
    service.script(fault)
    client = make_client(service.url, timeout=0.5)
    with caplog.at_level(logging.DEBUG), pytest.raises(ServiceUnreachable) as caught:
        client.send_otp(*OTP)
    error = caught.value
    assert error.__context__ is None
    shown = [
        str(error),
        repr(error),
        repr(vars(error)),
        repr(error.request.headers),
        error.request.read().decode(),
        "".join(traceback.format_exception(error)),
        *(record.getMessage() for record in caplog.records),
    ]
    assert not [text for text in shown if KEY in text or CODE in text or OTP[0] in text]
