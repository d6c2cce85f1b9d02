from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, InterfaceError, OperationalError, connection, connections
from django.db.backends.signals import connection_created
from pytest_django.fixtures import Settings

from django_authmail import drain, outbox
from django_authmail.clock import db_now
from django_authmail.drain import Drain
from django_authmail.message import OnUnknown, Priority
from django_authmail.models import Message
from django_authmail.models import Priority as Lane
from django_authmail.outbox import carriers, queue, settlement
from tests import smtp_server as servers
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import end_lease, submitted

pytestmark = pytest.mark.django_db(transaction=True)


def submit(count: int, **changes: Any) -> None:
    queue.submit_many([auth_message(to=(f"u{n}@example.com",), **changes) for n in range(count)])


def states() -> set[str]:
    return set(Message.objects.values_list("state", flat=True))


def counts() -> dict[str, int]:
    """Count the states, from a thread that is not the test's."""
    try:
        found = list(Message.objects.values_list("state", flat=True))
        return {state: found.count(state) for state in ("queued", "sending")}
    finally:
        connections.close_all()


def test_sends_what_is_due_and_ends(smtp_server: servers.SmtpServer) -> None:
    submit(25)
    assert Drain(4).run(threading.Event(), until_empty=True) == 25
    assert states() == {"accepted"}
    assert sorted(m.recipients[0] for m in smtp_server.mails) == sorted(
        f"u{n}@example.com" for n in range(25)
    )
    assert 1 < smtp_server.connections <= 4
    assert Drain(4).run(threading.Event(), until_empty=True) == 0


def test_one_that_hangs_holds_up_no_other(smtp_server: servers.SmtpServer) -> None:
    smtp_server.hold_one = True
    outbox.submit(auth_message(to=("slow@example.com",)))
    all_came: list[bool] = []

    def others_pass() -> None:
        all_came.append(smtp_server.wait_for(10, seconds=20))
        smtp_server.release.set()

    helper = threading.Thread(target=others_pass)
    helper.start()
    submit(9)
    assert Drain(2).run(threading.Event(), until_empty=True) == 10
    helper.join(30)
    assert all_came == [True]
    assert len(smtp_server.mails) == 10
    assert states() == {"accepted"}


def test_no_more_are_claimed_than_can_be_sent(smtp_server: servers.SmtpServer) -> None:
    smtp_server.hold = True
    submit(10)
    stop = threading.Event()
    seen: list[dict[str, int]] = []

    def look() -> None:
        assert smtp_server.holding.wait(30)
        seen.append(counts())
        stop.set()
        smtp_server.hold = False
        smtp_server.release.set()

    helper = threading.Thread(target=look)
    helper.start()
    Drain(3).run(stop)
    helper.join(30)
    # Those in hand were finished, and nothing more was claimed.
    assert seen[0]["sending"] <= 3
    assert states() == {"accepted", "queued"}
    assert Message.objects.filter(state="accepted").count() == len(smtp_server.mails) <= 3


def test_serves_one_lane(smtp_server: servers.SmtpServer) -> None:
    submit(2, priority=Priority.LOW)
    submit(1)
    assert Drain(2, priority=Lane.LOW).run(threading.Event(), until_empty=True) == 2
    call_command("authmail_dispatch", "--once", "--priority=high", "--connections=1")
    assert states() == {"accepted"}


def test_the_command_wants_a_connection() -> None:
    with pytest.raises(CommandError, match="must be 1 or more"):
        call_command("authmail_dispatch", "--once", "--connections=0")


def once() -> list[str]:
    out = StringIO()
    call_command("authmail_dispatch", "--once", stdout=out)
    return out.getvalue().splitlines()


def test_once_says_what_became_of_them(smtp_server: servers.SmtpServer) -> None:
    assert once() == ["Nothing was due."]
    outbox.submit(auth_message(to=("one@example.com",)))
    assert once() == ["1 mail handled: 1 accepted."]
    smtp_server.refuse["bad@example.com"] = "550 5.1.1 nobody here"
    smtp_server.refuse["late@example.com"] = "450 4.7.1 greylisted"
    for name in ("bad", "late", "good", "fine"):
        outbox.submit(auth_message(to=(f"{name}@example.com",)))
    assert once() == [
        "4 mails handled: 2 accepted, 1 failed (bad_recipient), 1 queued again (greylisted)."
    ]


def test_once_says_what_ended_without_a_hand_over(smtp_server: servers.SmtpServer) -> None:
    submit(3)
    long_ago = db_now("default") - timedelta(seconds=1)
    Message.objects.update(expires_at=long_ago)
    assert once() == ["3 mails settled without a hand-over: 3 expired."]
    assert states() == {"expired"}
    assert once() == ["Nothing was due."]
    claim = submitted(on_unknown=OnUnknown.HOLD)
    end_lease(claim)
    outbox.submit(auth_message(to=("one@example.com",)))
    assert once() == [
        "1 mail handled: 1 accepted.",
        "1 mail settled without a hand-over: 1 held (outcome_unknown).",
    ]
    assert len(smtp_server.mails) == 1


def test_once_says_that_the_login_was_refused(
    smtp_server: servers.SmtpServer, settings: Settings
) -> None:
    settings.MAILERS = {
        "default": {
            "BACKEND": "django_authmail.smtp.EmailBackend",
            "OPTIONS": smtp_server.options | {"password": "another"},
        }
    }
    outbox.submit(auth_message())
    assert once() == ["1 mail handled: 1 queued again (auth_failed)."]


def test_once_says_that_sending_is_paused(smtp_server: servers.SmtpServer) -> None:
    carriers.pause("default")
    outbox.submit(auth_message())
    paused = "Paused: default. Resume by: manage.py authmail_resume default"
    assert once() == ["1 mail handled: 1 queued again (paused).", paused]
    assert once() == ["Nothing was due.", paused]
    carriers.pause()
    assert once()[1:] == ["Paused: every mailer. Resume by: manage.py authmail_resume"]


@contextmanager
def refusing_updates(first: int, last: int) -> Iterator[None]:
    """Let the database refuse the updates of messages from the `first` (from 1) to the `last`."""
    seen: list[str] = []

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE") and "authmail_message" in sql:
            seen.append(sql)
            if first <= len(seen) <= last:
                # By psycopg2, the one of a connection that is closed; no DatabaseError of Django.
                raise InterfaceError("the database is restarting")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield


def test_goes_on_when_the_database_is_back(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "PATIENCE", 0.0)
    submit(3)
    told: list[Error] = []
    stop = threading.Event()

    def stop_at_last() -> None:
        smtp_server.wait_for(3)
        stop.set()

    helper = threading.Thread(target=stop_at_last)
    helper.start()
    with refusing_updates(1, 1):
        assert Drain(2, on_trouble=told.append).run(stop) == 3
    helper.join(30)
    assert [str(error) for error in told] == ["the database is restarting"]
    assert states() == {"accepted"}


def test_what_is_in_hand_is_settled_while_nothing_can_be_claimed(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "CLAIM_PATIENCE", 0.0)
    smtp_server.hold_one = True
    submit(3)
    refused = threading.Event()
    told: list[Error] = []
    stop = threading.Event()

    def fail_a_claim(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        # The first mail hangs, the second is back: the third is to be claimed in its place.
        is_claim = sql.startswith("UPDATE") and "authmail_message" in sql and "lease" in sql
        if is_claim and smtp_server.mails and not refused.is_set() and " IN (" in sql:
            refused.set()
            raise OperationalError("the database is restarting")
        return execute(sql, *rest)

    def let_go() -> None:
        assert refused.wait(30)
        smtp_server.release.set()
        smtp_server.wait_for(3)
        stop.set()

    helper = threading.Thread(target=let_go)
    helper.start()
    with connection.execute_wrapper(fail_a_claim):
        Drain(2, on_trouble=told.append).run(stop)
    helper.join(30)
    assert told == []
    assert len(smtp_server.mails) == 3
    assert states() == {"accepted"}


def test_without_anybody_to_tell_it_raises(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "PATIENCE", 0.0)
    submit(1)
    with refusing_updates(1, 1), pytest.raises(InterfaceError):
        Drain(2).run(threading.Event(), until_empty=True)
    assert states() == {"queued"}


def test_a_mail_that_cannot_be_settled_while_its_lease_lasts_is_not_sent_again_at_once(
    smtp_server: servers.SmtpServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(settlement, "CLOSING_SECONDS", 1000.0)  # as if the lease were over
    row = outbox.submit(auth_message())
    with refusing_updates(2, 10**6):
        assert Drain(2).run(threading.Event(), until_empty=True) == 1
    assert f"email.not_recorded id={row.id} error=InterfaceError" in caplog.text
    assert len(smtp_server.mails) == 1
    assert states() == {"sending"}


class Watched(threading.Event):
    """Notes how long the loop would pause, and ends it at the tenth time."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        if len(self.pauses) == 10:
            self.set()
        return self.is_set()


def test_a_mail_that_comes_after_hours_of_nothing_is_found_within_a_moment() -> None:
    stop = Watched()
    assert Drain(1).run(stop) == 0
    # It is to be under way within 0.3 s, whenever it comes.
    assert max(stop.pauses) <= 0.2


def test_a_backlog_does_not_connect_to_the_database_for_each_turn(
    smtp_server: servers.SmtpServer,
) -> None:
    made: list[object] = []

    def count(sender: object, connection: Any, **extra: object) -> None:
        if threading.current_thread() is threading.main_thread():
            made.append(connection)

    submit(20)
    connection_created.connect(count)
    try:
        assert Drain(2).run(threading.Event(), until_empty=True) == 20
    finally:
        connection_created.disconnect(count)
    # CONN_MAX_AGE is 0 here, as it is by default.
    assert connection.settings_dict["CONN_MAX_AGE"] == 0
    assert len(made) <= 1
