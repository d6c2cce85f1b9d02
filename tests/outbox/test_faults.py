"""What happens to a message when something else than the mail server fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend
from django.db import OperationalError, connection, connections

from django_authmail import dispatch, outbox, schedule, transactions
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.models import Attempt, IdempotencyRecord, Message, Recipient, State
from django_authmail.outbox import queue, settlement
from django_authmail.outbox.idempotency import Entry, find, keyed_request
from django_authmail.outbox.intake import Intake
from django_authmail.outbox.lease import Claim
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from django_authmail.signals import message_changed
from tests import smtp_server as servers
from tests.conftest import LoseAnswer, UseMailer
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import CARRIER, LATER, NEVER, UNKNOWN, failed

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def failing_writes(times: int) -> Iterator[list[str]]:
    """Let the database refuse so many writes of messages, as one that restarts does."""
    refused: list[str] = []

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith("UPDATE") and "authmail_message" in sql and len(refused) < times:
            refused.append(sql)
            raise OperationalError("the database is restarting")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield refused


def test_an_outcome_is_recorded_when_the_database_comes_back(
    smtp_server: servers.SmtpServer,
) -> None:
    row = outbox.submit(auth_message())
    with failing_writes(3) as refused:
        assert dispatch.dispatch_due() == 1
    assert len(refused) == 3
    row.refresh_from_db()
    assert row.state == "accepted"
    assert len(smtp_server.mails) == 1
    assert row.attempts.count() == 1


def test_an_outcome_whose_commit_was_done_and_not_confirmed_is_told_once(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = outbox.submit(auth_message())
    told: list[str] = []

    def listen(sender: object, state: str, **extra: object) -> None:
        told.append(state)

    real = connection.commit
    settling: list[str] = []
    lost: list[str] = []

    def watch(execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        if "INSERT" in sql and "authmail_attempt" in sql:
            settling.append(sql)
        return execute(sql, params, *rest)

    def commit() -> None:
        real()
        if settling and not lost:
            lost.append("answer")
            raise OperationalError("the connection broke at COMMIT")

    monkeypatch.setattr(connections["default"], "commit", commit)
    message_changed.connect(listen)
    try:
        with connection.execute_wrapper(watch):
            assert dispatch.dispatch_due() == 1
    finally:
        message_changed.disconnect(listen)
    assert lost
    assert told == ["accepted"]
    assert len(smtp_server.mails) == 1
    assert row.attempts.count() == 1


@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_row_whose_commit_failed_or_was_not_confirmed_is_there_once(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch, has_key: bool, is_done: bool
) -> None:
    request = keyed_request(owner="key:1", method="POST", path="/send/otp", key="a", body={})
    entry = Entry(standing=find(request)) if has_key else None
    real = connection.commit
    failed: list[str] = []

    def commit() -> None:
        if failed:
            return real()
        if is_done:
            real()
        failed.append("COMMIT")
        raise OperationalError("the connection broke at COMMIT")

    monkeypatch.setattr(connections["default"], "commit", commit)
    row = dispatch.send_now(auth_message(), intake=Intake(entry=entry))
    assert failed
    assert (row.state, Message.objects.get()) == ("accepted", row)
    assert len(smtp_server.mails) == 1
    assert [record.message for record in IdempotencyRecord.objects.all()] == [row] * has_key


def test_a_caller_learns_what_the_mail_server_said_even_if_nothing_can_record_it(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "CALLER_PATIENCE", 0.0)
    with failing_writes(10**6):
        row = dispatch.send_now(auth_message())
    assert (row.state, row.provider_id) == ("accepted", "Ok: queued as 000001")
    # A thread goes on where the caller could not wait: not settled, it would be sent again.
    for thread in threading.enumerate():
        if thread.name == f"authmail-settle-{row.id}":
            thread.join(30)
    assert Message.objects.get().state == "accepted"
    assert len(smtp_server.mails) == 1


@pytest.mark.parametrize("failure", [NEVER, LATER, CARRIER])
def test_a_doubt_stays_a_doubt_when_the_second_attempt_fails(failure: Failure) -> None:
    row = queue.submit(auth_message())
    first = queue.claim(row.id)
    assert first is not None
    queue.settle(first, failed(first, UNKNOWN), carrier="default")
    second = queue.claim(row.id)
    assert second is not None
    row = queue.settle(second, failed(second, failure), carrier="default", final=True)
    # The first may have arrived: nothing that was said later takes that back.
    assert (row.state, row.reason) == ("unknown", "outcome_unknown")
    assert [r.state for r in Recipient.objects.all()] == ["unknown"]
    assert [a.result for a in Attempt.objects.order_by("number")] == ["unknown", "failed"]


def test_a_doubt_that_grows_too_old_is_not_called_unsent() -> None:
    row = queue.submit(auth_message())
    claim = queue.claim(row.id)
    assert claim is not None
    queue.settle(claim, failed(claim, UNKNOWN), carrier="default")
    again = queue.claim(row.id)
    assert again is not None
    too_late = Failure(error_code=ErrorCode.UNKNOWN, reason=Reason.EXPIRED, retry=Retry.NEVER)
    assert queue.drop(again, too_late, State.EXPIRED).state == "unknown"


class SendsNothing(LocmemBackend):
    """A carrier that reports that it sent nothing, and not why."""

    def send_messages(self, messages: Any) -> int:
        return 0


def test_a_carrier_that_says_it_sent_nothing(use_mailer: UseMailer) -> None:
    use_mailer({}, backend="tests.outbox.test_faults.SendsNothing")
    assert dispatch.send_now(auth_message()).state == "failed"
    row = outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    row.refresh_from_db()
    assert row.state == "queued"


@pytest.mark.parametrize("harm", ["position", "recipients", "sealed"])
def test_a_row_that_somebody_edited_does_not_stop_the_others(
    harm: str, smtp_server: servers.SmtpServer
) -> None:
    broken = outbox.submit(auth_message())
    good = outbox.submit(auth_message())
    if harm == "position":
        Recipient.objects.filter(message=broken).update(position=7)
    elif harm == "recipients":
        Recipient.objects.filter(message=broken).delete()
    else:
        Message.objects.filter(id=broken.id).update(sealed=b"\xff\x00")
    assert dispatch.dispatch_due() == 1
    broken.refresh_from_db()
    good.refresh_from_db()
    assert (broken.state, good.state) == ("failed", "accepted")
    assert broken.reason in ("row_broken", "seal_broken")


def test_a_carrier_that_is_down_for_days_leaves_one_attempt(settings: Any) -> None:
    row = queue.submit(auth_message(expires_in=None))
    for _ in range(5):
        Message.objects.update(due_at=db_now("default"))
        claim = queue.claim(row.id)
        assert claim is not None
        queue.settle(claim, failed(claim, CARRIER), carrier="default")
    assert Attempt.objects.count() == 1
    claim = _due_again(row)
    queue.settle(claim, failed(claim, LATER), carrier="default")
    assert [a.number for a in Attempt.objects.order_by("number")] == [1, 2]


def _due_again(row: Message) -> Claim:
    Message.objects.update(due_at=db_now("default"))
    claim = queue.claim(row.id)
    assert claim is not None
    return claim


class Replica:
    """Django's documented router: reads go to a replica, writes to the primary."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, one: Any, two: Any, **hints: Any) -> bool:
        return True


def test_a_replica_that_is_behind_is_not_asked(
    settings: Any, smtp_server: servers.SmtpServer
) -> None:
    # There is no database of this name: whatever asks for it fails at once.
    settings.DATABASE_ROUTERS = ["tests.outbox.test_faults.Replica"]
    now = dispatch.send_now(auth_message())
    assert now.state == "accepted"
    later = outbox.submit(auth_message(to=("a@example.com", "b@example.com")))
    assert dispatch.dispatch_one(later.id) is not None
    settings.DATABASE_ROUTERS = []
    assert set(Message.objects.values_list("state", flat=True)) == {"accepted"}


def test_many_submitters_and_workers_at_once_lose_and_repeat_nothing(
    smtp_server: servers.SmtpServer,
) -> None:
    submitted: list[Any] = []
    done = threading.Event()

    def submit(number: int) -> None:
        try:
            for count in range(15):
                submitted.append(
                    outbox.submit(auth_message(to=(f"u{number}-{count}@example.com",))).id
                )
        finally:
            connections.close_all()

    def work() -> None:
        try:
            while dispatch.dispatch_due(5) or not done.is_set():
                pass
        finally:
            connections.close_all()

    with ThreadPoolExecutor(5) as pool:
        workers = [pool.submit(work) for _ in range(2)]
        for submitter in [pool.submit(submit, number) for number in range(3)]:
            submitter.result()
        done.set()
        for worker in workers:
            worker.result()
    while dispatch.dispatch_due():
        pass
    assert len(submitted) == 45
    assert sorted(m.recipients[0] for m in smtp_server.mails) == sorted(
        f"u{number}-{count}@example.com" for number in range(3) for count in range(15)
    )
    assert set(Message.objects.values_list("state", "attempt_count")) == {("accepted", 1)}


def test_a_result_that_says_nothing_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs a failure"):
        SendResult(message_id="<1@example.org>")


#: How a database is made to refuse every change on this connection, and to take them again.
_READ_ONLY = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": (
        "SET SESSION default_transaction_read_only = on",
        "SET SESSION default_transaction_read_only = off",
    ),
    "mysql": ("SET SESSION TRANSACTION READ ONLY", "SET SESSION TRANSACTION READ WRITE"),
}


def test_a_database_that_becomes_read_only_gets_the_outcome_and_no_second_mail(
    smtp_server: servers.SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = outbox.submit(auth_message())
    claim = queue.claim(row.id)
    assert claim is not None
    end = dispatch.hand_over(claim)
    off, on = _READ_ONLY[connection.vendor]
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        """What happens while a verb waits to try again: somebody mends the database."""
        pauses.append(seconds)
        with connection.cursor() as cursor:
            cursor.execute(on)

    monkeypatch.setattr(
        transactions, "time", SimpleNamespace(sleep=pause, monotonic=time.monotonic)
    )
    with connection.cursor() as cursor:
        cursor.execute(off)
    queue.settle_many([end])
    assert len(pauses) == 1
    row.refresh_from_db()
    assert row.state == "accepted"
    assert row.attempts.count() == len(smtp_server.mails) == 1


def test_a_claim_whose_commit_was_done_and_not_confirmed_is_not_in_doubt(
    lose_answer: LoseAnswer,
) -> None:
    submitted = {queue.submit(auth_message()).id for _ in range(2)}
    lost = lose_answer()
    claims = queue.claim_due(2)
    assert lost
    assert {claim.id for claim in claims} == submitted
    assert not any(claim.in_doubt for claim in claims)
    assert not Attempt.objects.exists()
    for claim in claims:
        assert queue.settle(claim, failed(claim, NEVER), carrier="default").state == "failed"


def test_a_killed_worker_s_mail_is_under_way_again_within_70_seconds() -> None:
    row = queue.submit(auth_message())
    claim = queue.claim(row.id)
    assert claim is not None
    row.refresh_from_db()
    assert row.due_at is not None
    lease = row.due_at - claim.started_at
    # The worker that has it is done before, and then has time to say so.
    assert conf.send_deadline + timedelta(seconds=transactions.PATIENCE) < lease
    assert lease + timedelta(seconds=schedule.SWEEP_EVERY) < timedelta(seconds=70)
