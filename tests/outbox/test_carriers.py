"""Pause, breaker and quotas of a single carrier."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from pytest_django.fixtures import Settings

from django_authmail import dispatch, outbox
from django_authmail.clock import db_now
from django_authmail.exceptions import MailerUnavailable
from django_authmail.logs import Formatter
from django_authmail.models import Attempt, Carrier, Counter, Message
from django_authmail.outbox import carriers, quotas
from django_authmail.outbox.carriers import Pass, Stop
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from tests import smtp_server as servers
from tests.conftest import UseMailer
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = SendResult(
    message_id="<1@example.com>",
    failure=Failure(
        error_code=ErrorCode.SMTP_CONNECTION,
        reason=Reason.CONNECTION_REFUSED,
        retry=Retry.LATER,
    ),
)
ACCEPTED = SendResult(message_id="<1@example.com>", accepted=("hong@example.com",))


def admitted(recipients: int = 1) -> Pass:
    leave = carriers.admit("default", recipients)
    assert isinstance(leave, Pass)
    return leave


def stopped() -> Stop:
    stop = carriers.admit("default", 1)
    assert isinstance(stop, Stop)
    return stop


def open_breaker(settings: Settings) -> None:
    settings.AUTHMAIL_BREAKER_FAILURES = 1
    carriers.report(admitted(), REFUSED)


def end_rest() -> None:
    """Let the time pass that an open breaker keeps mail away."""
    Carrier.objects.update(broken_until=db_now("default"))
    carriers.forget()


def make_due() -> None:
    Message.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))


def state() -> tuple[str, str, int]:
    row = Message.objects.get()
    return row.state, row.reason, row.attempt_count


# -- The breaker ---------------------------------------------------------------------------------


def test_failures_in_a_row_open_it(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.AUTHMAIL_BREAKER_FAILURES = 3
    for _ in range(2):
        carriers.report(admitted(), REFUSED)
    # One that worked: they are not in a row any more.
    carriers.report(admitted(), ACCEPTED)
    for _ in range(3):
        carriers.report(admitted(), REFUSED)
    stop = stopped()
    assert stop.reason == "mailer_unavailable"
    assert timedelta(seconds=25) < stop.wait <= timedelta(seconds=30)
    assert caplog.text.count("email.breaker_open carrier=default reason=connection_refused") == 1


def test_the_log_says_until_when_in_the_time_zone_of_its_stamps(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    open_breaker(settings)
    [record] = [record for record in caplog.records if "email.breaker_open" in record.message]
    until = re.search(r" until=(\S+)", record.message)
    assert until is not None
    stamped = datetime.fromisoformat(Formatter().formatTime(record))
    said = datetime.fromisoformat(until[1])
    assert said.utcoffset() == stamped.utcoffset() == timedelta(hours=9)
    assert timedelta(seconds=25) < said - stamped < timedelta(seconds=35)


@pytest.mark.parametrize("reason", ["recipient", "doubt"])
def test_what_says_nothing_about_the_carrier_does_not_open_it(
    reason: str, settings: Settings
) -> None:
    settings.AUTHMAIL_BREAKER_FAILURES = 1
    failure = {
        "recipient": Failure(
            error_code=ErrorCode.RECIPIENT_REFUSED, reason=Reason.BAD_RECIPIENT, retry=Retry.NEVER
        ),
        "doubt": Failure(
            error_code=ErrorCode.SMTP_CONNECTION,
            reason=Reason.OUTCOME_UNKNOWN,
            retry=Retry.UNKNOWN,
        ),
    }[reason]
    carriers.report(admitted(), SendResult(message_id="<1@example.com>", failure=failure))
    admitted()


def test_queued_mail_waits_for_it_and_no_attempt_is_counted(
    use_mailer: UseMailer, dead_port: int, settings: Settings
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    open_breaker(settings)
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert state() == ("queued", "mailer_unavailable", 0)
    assert Attempt.objects.count() == 0
    row = Message.objects.get()
    assert row.due_at == Carrier.objects.get().broken_until


def test_a_code_that_waits_for_it_expires_honestly(settings: Settings) -> None:
    open_breaker(settings)
    outbox.submit(auth_message(expires_in=timedelta(seconds=20)))
    assert dispatch.dispatch_due() == 1
    row = Message.objects.get()
    assert row.due_at == row.expires_at
    Message.objects.update(expires_at=db_now("default"), due_at=db_now("default"))
    assert dispatch.dispatch_due() == 0
    assert Message.objects.get().state == "expired"


def test_exactly_one_message_tries_it_again(settings: Settings) -> None:
    open_breaker(settings)
    end_rest()
    barrier = threading.Barrier(4)

    def ask(_: int) -> Pass | Stop:
        barrier.wait(10)
        try:
            return carriers.admit("default", 1)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    assert sorted(type(answer).__name__ for answer in answers) == ["Pass", "Stop", "Stop", "Stop"]


def test_a_success_closes_it_and_wakes_what_waited(
    smtp_server: servers.SmtpServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    open_breaker(settings)
    for _ in range(3):
        outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 3
    end_rest()
    first = Message.objects.order_by("created_at")[0]
    Message.objects.filter(id=first.id).update(due_at=db_now("default"))
    # The first one tries it; the others are due at once when it has worked.
    assert dispatch.dispatch_due() == 3
    assert len(smtp_server.mails) == 3
    assert Carrier.objects.filter(failure_count=0, broken_until=None).exists()
    assert "email.breaker_closed carrier=default" in caplog.text


def test_a_trial_that_fails_opens_it_again(settings: Settings) -> None:
    open_breaker(settings)
    end_rest()
    trial = admitted()
    assert trial.trial is not None
    carriers.report(trial, REFUSED)
    assert timedelta(seconds=25) < stopped().wait <= timedelta(seconds=30)


def test_a_trial_whose_process_dies_is_followed_by_another(settings: Settings) -> None:
    open_breaker(settings)
    end_rest()
    admitted()
    # No longer than a lease lasts.
    assert timedelta(seconds=50) < stopped().wait <= timedelta(seconds=60)
    end_rest()
    admitted()


def test_a_trial_that_is_not_made_is_the_next_one_s(settings: Settings) -> None:
    open_breaker(settings)
    end_rest()
    carriers.release(admitted())
    admitted()


def test_a_database_that_fails_loses_the_count_and_not_the_mail(
    use_mailer: UseMailer, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    outbox.submit(auth_message())

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "authmail_carrier" in sql and not sql.startswith("SELECT"):
            raise DatabaseError("read-only")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        assert dispatch.dispatch_due() == 1
    assert state() == ("queued", "connection_refused", 1)
    assert "email.carrier_not_recorded carrier=default" in caplog.text


def test_a_healthy_carrier_costs_no_query_for_each_mail(
    smtp_server: servers.SmtpServer, django_assert_num_queries: Any
) -> None:
    carriers.admit("default", 1)
    with django_assert_num_queries(0):
        leave = carriers.admit("default", 1)
        assert isinstance(leave, Pass)
        carriers.report(leave, ACCEPTED)


# -- Pause ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["default", ""])
def test_nothing_is_sent_during_a_pause_and_all_of_it_after(
    name: str, smtp_server: servers.SmtpServer
) -> None:
    assert carriers.pause(name)
    assert not carriers.pause(name)
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert state() == ("queued", "paused", 0)
    assert dispatch.dispatch_due() == 0
    assert carriers.resume(name)
    assert not carriers.resume(name)
    assert dispatch.dispatch_due() == 1
    assert state() == ("accepted", "", 1)
    assert len(smtp_server.mails) == 1


def test_the_pause_of_all_does_not_end_with_that_of_one() -> None:
    carriers.pause("default")
    carriers.pause()
    carriers.resume("default")
    assert stopped().reason == "paused"


def test_a_code_expires_during_a_pause() -> None:
    carriers.pause()
    outbox.submit(auth_message(expires_in=timedelta(seconds=20)))
    assert dispatch.dispatch_due() == 1
    row = Message.objects.get()
    assert row.due_at == row.expires_at


@pytest.mark.parametrize("why", ["paused", "mailer_unavailable", "quota_exceeded"])
def test_a_caller_who_waits_is_told_and_nothing_is_recorded(
    why: str, smtp_server: servers.SmtpServer, settings: Settings
) -> None:
    if why == "paused":
        carriers.pause()
    elif why == "mailer_unavailable":
        open_breaker(settings)
    else:
        settings.AUTHMAIL_QUOTAS = {"default": {"minute": 1}}
        carriers.report(admitted(), ACCEPTED)
    with pytest.raises(MailerUnavailable) as caught:
        dispatch.send_now(auth_message())
    assert caught.value.code == why
    assert 0 < caught.value.retry_after <= 60
    assert not Message.objects.exists()
    assert smtp_server.mails == []


def test_a_message_that_cannot_be_recorded_uses_up_nothing(settings: Settings) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 5}}

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT") and "authmail_message" in sql:
            raise DatabaseError("disk full")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse), pytest.raises(DatabaseError):
        dispatch.send_now(auth_message())
    assert Counter.objects.get().used == 0


# -- Quotas --------------------------------------------------------------------------------------


def test_a_spent_quota_keeps_mail_until_its_window_ends(
    smtp_server: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"minute": 2}}
    outbox.submit(auth_message(to=("a@example.com", "b@example.com")))
    last = outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 2
    last.refresh_from_db()
    assert (last.state, last.reason, last.attempt_count) == ("queued", "quota_exceeded", 0)
    assert last.due_at is not None
    assert abs(last.due_at - Counter.objects.get().ends_at) < timedelta(seconds=2)
    Counter.objects.update(ends_at=db_now("default"))
    make_due()
    assert dispatch.dispatch_due() == 1
    assert len(smtp_server.mails) == 2


def test_recipients_that_were_refused_are_not_counted(
    smtp_server: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 10}}
    smtp_server.refuse["b@example.com"] = "550 5.1.1 no such user"
    outbox.submit(auth_message(to=("a@example.com", "b@example.com")))
    assert dispatch.dispatch_due() == 1
    assert Counter.objects.get().used == 1


def test_warns_once_when_four_fifths_are_used(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 10}}
    for _ in range(10):
        carriers.report(admitted(), ACCEPTED)
    assert caplog.text.count("email.quota_low") == 1
    assert "email.quota_low carrier=default window=day used=8 most=10" in caplog.text


SPENT = Failure(
    error_code=ErrorCode.SMTP_TRANSIENT, reason=Reason.QUOTA_EXCEEDED, retry=Retry.LATER
)


def test_a_provider_that_says_so_closes_the_window(
    smtp_server: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 500, "minute": 100}}
    smtp_server.refuse["hong@example.com"] = "550 5.4.5 Daily user sending quota exceeded"
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert state()[:2] == ("queued", "quota_exceeded")
    stop = stopped()
    assert stop.reason == "quota_exceeded"
    assert stop.wait > timedelta(hours=23)


def test_a_provider_that_says_so_is_left_alone_for_an_hour_where_no_quota_is_known() -> None:
    carriers.report(admitted(), SendResult(message_id="<1@example.com>", failure=SPENT))
    stop = stopped()
    assert stop.reason == "quota_exceeded"
    assert timedelta(minutes=59) < stop.wait <= timedelta(hours=1)


@pytest.mark.parametrize(
    ("preset", "own", "expected"),
    [
        ("gmail", {}, {"day": 500}),
        ("google-workspace", {}, {"day": 2000}),
        ("naver", {}, {"day": 500}),
        ("naver", {"day": 300, "minute": 20}, {"minute": 20, "day": 300}),
        ("gmail", {"day": 0}, {}),
        ("mailgun", {}, {}),
    ],
)
def test_the_preset_s_quota_counts_where_the_project_names_none(
    preset: str, own: dict[str, int], expected: dict[str, int], settings: Settings
) -> None:
    settings.MAILERS = {
        "default": {
            "BACKEND": "django_authmail.smtp.EmailBackend",
            "OPTIONS": {"preset": preset, "username": "a@example.com", "password": "secret"},
        }
    }
    settings.AUTHMAIL_QUOTAS = {"default": own}
    assert quotas.quotas_of("default") == expected


# -- For people ----------------------------------------------------------------------------------


def test_tells_how_each_carrier_stands(settings: Settings) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 10}}
    carriers.report(admitted(), ACCEPTED)
    open_breaker(settings)
    carriers.pause()
    [status] = carriers.statuses()
    assert (status.name, status.all_paused, status.paused_at) == ("default", True, None)
    assert (status.is_open, status.reason) == (True, "connection_refused")
    [quota] = status.quotas
    assert (quota.window, quota.used, quota.remaining, quota.is_low) == ("day", 1, 9, False)


def test_a_breaker_can_be_closed_by_hand(settings: Settings) -> None:
    open_breaker(settings)
    assert carriers.close_breaker("default")
    assert not carriers.close_breaker("default")
    admitted()
