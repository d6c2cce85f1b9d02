from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction

from django_authmail.clock import db_now
from django_authmail.exceptions import LeaseLost
from django_authmail.models import Attempt, Message, Recipient, State
from django_authmail.outbox import queue
from django_authmail.outbox.lease import LEASE_MARGIN, Claim
from django_authmail.outcomes import (
    ErrorCode,
    Failure,
    Reason,
    Refusal,
    Reply,
    Retry,
    SendResult,
)
from django_authmail.signals import message_changed, message_queued
from tests.outbox.factories import CODE, auth_message

pytestmark = pytest.mark.django_db(transaction=True)

LATER = Failure(
    error_code=ErrorCode.SMTP_TRANSIENT,
    reason=Reason.SERVER_BUSY,
    retry=Retry.LATER,
    reply=Reply(code=451, enhanced="4.3.0", text="busy"),
)
NEVER = Failure(
    error_code=ErrorCode.RECIPIENT_REFUSED,
    reason=Reason.BAD_RECIPIENT,
    retry=Retry.NEVER,
    reply=Reply(code=550, enhanced="5.1.1", text="no such user"),
)
CARRIER = Failure(
    error_code=ErrorCode.SMTP_AUTH_FAILED, reason=Reason.AUTH_FAILED, retry=Retry.CARRIER
)
UNKNOWN = Failure(
    error_code=ErrorCode.SMTP_CONNECTION, reason=Reason.OUTCOME_UNKNOWN, retry=Retry.UNKNOWN
)


def accepted(claim: Claim) -> SendResult:
    return SendResult(
        message_id=claim.message_id,
        accepted=claim.envelope.recipients,
        reply=Reply(code=250, enhanced="2.0.0", text="Ok: queued as 4XYZ"),
        provider_id="Ok: queued as 4XYZ",
        duration_seconds=0.0214,
    )


def failed(claim: Claim, failure: Failure) -> SendResult:
    return SendResult(message_id=claim.message_id, failure=failure)


def submitted(**changes: Any) -> Claim:
    row = queue.submit(auth_message(**changes))
    claim = queue.claim(row.id)
    assert claim is not None
    return claim


def row_of(claim: Claim) -> Message:
    return Message.objects.get(id=claim.id)


def end_lease(claim: Claim) -> None:
    """Let the lease end, as if its worker had died long ago."""
    past = db_now("default") - timedelta(seconds=1)
    assert Message.objects.filter(id=claim.id, lease=claim.lease).update(due_at=past) == 1


def test_what_is_submitted_is_queued_and_sealed() -> None:
    message = auth_message(to=("홍길동 <hong@example.com>",), bcc=("b@example.com",))
    row = queue.submit(message, owner="key:1", request_id="r-1")
    row.refresh_from_db()
    assert (row.state, row.kind, row.locale) == ("queued", "otp", "en")
    assert (row.owner, row.request_id) == ("key:1", "r-1")
    assert row.message_id == message.message_id
    assert row.masked_recipient == "h***@example.com"
    assert row.recipient_count == 2
    assert row.expires_at is not None
    assert row.expires_at - row.created_at == timedelta(minutes=5)
    assert [r.masked for r in row.recipients.all()] == ["h***@example.com", "b***@example.com"]
    columns = repr(Message.objects.filter(id=row.id).values()) + repr(Recipient.objects.values())
    for secret in (CODE, "hong@example.com", "Your code"):
        assert secret not in columns


def test_a_claim_gives_back_what_was_submitted() -> None:
    message = auth_message(bcc=("b@example.com",))
    row = queue.submit(message)
    claim = queue.claim(row.id)
    assert claim is not None
    assert claim.envelope == message.envelope
    assert CODE.encode() in claim.content
    assert claim.attempt == 1
    assert claim.valid_seconds is not None
    assert 280 < claim.valid_seconds <= 290
    assert CODE not in repr(claim)
    assert "hong@" not in repr(claim)


def test_a_message_whose_transaction_is_rolled_back_was_never_there() -> None:
    heard: list[object] = []

    def listen(sender: object, id: object, **extra: object) -> None:
        heard.append(id)

    message_queued.connect(listen)
    try:
        with transaction.atomic():
            queue.submit(auth_message())
            transaction.set_rollback(True)
        assert not Message.objects.exists()
        assert heard == []
        with transaction.atomic():
            row = queue.submit(auth_message())
            assert heard == []
        assert heard == [row.id]
    finally:
        message_queued.disconnect(listen)


def test_accepted_is_final_and_leaves_no_body() -> None:
    claim = submitted()
    queue.settle(claim, accepted(claim), carrier="default")
    row = row_of(claim)
    assert row.state == "accepted"
    assert row.is_final
    assert (row.sealed, row.due_at, row.lease) == (None, None, None)
    assert row.provider_id == "Ok: queued as 4XYZ"
    assert row.accepted_at == row.settled_at
    assert row.error_code == ""
    [attempt] = row.attempts.all()
    assert (attempt.number, attempt.result, attempt.carrier) == (1, "accepted", "default")
    assert (attempt.duration_ms, attempt.reply_code) == (21, 250)
    [recipient] = row.recipients.all()
    assert (recipient.state, recipient.reply_text) == ("accepted", "Ok: queued as 4XYZ")
    assert queue.claim(row.id) is None


def test_a_refused_recipient_beside_an_accepted_one() -> None:
    claim = submitted(to=("a@example.com", "b@example.com"))
    result = SendResult(
        message_id=claim.message_id,
        accepted=("a@example.com",),
        refused=(Refusal(address="b@example.com", failure=NEVER),),
        provider_id="1",
    )
    row = queue.settle(claim, result, carrier="default")
    assert (row.state, row.error_code) == ("partially_accepted", "")
    assert [(r.state, r.reason) for r in row.recipients.all()] == [
        ("accepted", ""),
        ("refused", "bad_recipient"),
    ]


def test_a_retry_goes_to_those_who_are_still_pending() -> None:
    claim = submitted(to=("a@example.com", "b@example.com", "c@example.com"))
    result = SendResult(
        message_id=claim.message_id,
        accepted=("b@example.com",),
        refused=(
            Refusal(address="a@example.com", failure=LATER),
            Refusal(address="c@example.com", failure=NEVER),
        ),
    )
    row = queue.settle(claim, result, carrier="default")
    assert (row.state, row.reason) == ("queued", "server_busy")
    Message.objects.update(due_at=db_now("default"))
    again = queue.claim(row.id)
    assert again is not None
    assert again.envelope.recipients == ("a@example.com",)
    row = queue.settle(again, accepted(again), carrier="default")
    assert row.state == "partially_accepted"
    assert [a.result for a in row.attempts.all()] == ["deferred", "accepted"]


def test_a_refusal_for_good_fails_the_message() -> None:
    claim = submitted()
    row = queue.settle(claim, failed(claim, NEVER), carrier="default")
    assert (row.state, row.error_code, row.reason) == (
        "failed",
        "recipient_refused",
        "bad_recipient",
    )
    assert row.sealed is None
    [attempt] = row.attempts.all()
    assert (attempt.result, attempt.reply_code, attempt.reply_enhanced) == ("failed", 550, "5.1.1")


def test_a_refusal_for_now_waits_and_comes_back() -> None:
    claim = submitted()
    row = queue.settle(claim, failed(claim, LATER), carrier="default")
    assert (row.state, row.attempt_count, row.lease) == ("queued", 1, None)
    assert row.due_at is not None
    # Urgent: the first wait is 5 s, and up to a fifth more.
    assert timedelta(seconds=4) < row.due_at - db_now("default") < timedelta(seconds=7)
    assert queue.claim(row.id) is None
    assert row.sealed is not None


def test_gives_up_after_the_last_attempt(settings: Any) -> None:
    settings.AUTHMAIL_MAX_ATTEMPTS = 2
    claim = submitted()
    queue.settle(claim, failed(claim, LATER), carrier="default")
    Message.objects.update(due_at=db_now("default"))
    [again] = queue.claim_due(10)
    row = queue.settle(again, failed(again, LATER), carrier="default")
    assert (row.state, row.reason, row.attempt_count) == ("failed", "server_busy", 2)
    assert [r.state for r in row.recipients.all()] == ["unsent"]


def test_a_carrier_s_trouble_counts_no_attempt(settings: Any) -> None:
    settings.AUTHMAIL_MAX_ATTEMPTS = 1
    claim = submitted()
    row = queue.settle(claim, failed(claim, CARRIER), carrier="default")
    assert (row.state, row.attempt_count, row.reason) == ("queued", 0, "auth_failed")
    assert row.attempts.count() == 1


def test_a_waiting_caller_gets_a_final_state() -> None:
    for failure in (LATER, CARRIER, UNKNOWN):
        row, claim = queue.submit_claimed(auth_message())
        assert (row.state, row.lease) == ("sending", claim.lease)
        row = queue.settle(claim, failed(claim, failure), carrier="default", final=True)
        assert row.is_final
        assert row.sealed is None


def test_an_unknown_outcome_is_sent_again_once() -> None:
    claim = submitted()
    row = queue.settle(claim, failed(claim, UNKNOWN), carrier="default")
    assert (row.state, row.reason, row.resend_count) == ("queued", "outcome_unknown", 1)
    again = queue.claim(row.id)
    assert again is not None
    assert again.message_id == claim.message_id
    assert again.content == claim.content
    row = queue.settle(again, failed(again, UNKNOWN), carrier="default")
    assert row.state == "unknown"
    assert [a.result for a in row.attempts.all()] == ["unknown", "unknown"]
    assert [r.state for r in row.recipients.all()] == ["unknown"]


def test_an_unknown_outcome_is_not_sent_again_when_it_is_too_late() -> None:
    claim = submitted()
    claim.record.row.expires_at = db_now("default")  # as if the hand-over had taken so long
    row = queue.settle(claim, failed(claim, UNKNOWN), carrier="default")
    assert (row.state, row.reason, row.resend_count) == ("unknown", "outcome_unknown", 0)


def test_a_dead_worker_s_message_is_taken_over_and_its_outcome_is_unknown() -> None:
    claim = submitted()
    assert queue.claim(claim.id) is None
    end_lease(claim)
    again = queue.claim(claim.id)
    assert again is not None
    assert again.lease != claim.lease
    assert (again.message_id, again.content) == (claim.message_id, claim.content)
    assert again.attempt == 2
    [attempt] = Attempt.objects.all()
    assert (attempt.result, attempt.reason) == ("unknown", "outcome_unknown")
    # It is sent again once, and no more.
    end_lease(again)
    assert queue.claim(claim.id) is None
    assert row_of(claim).state == "unknown"


def test_a_worker_whose_lease_ended_cannot_settle() -> None:
    claim = submitted()
    end_lease(claim)
    again = queue.claim(claim.id)
    assert again is not None
    before = Message.objects.filter(id=claim.id).values().get()
    with pytest.raises(LeaseLost):
        queue.settle(claim, failed(claim, NEVER), carrier="default")
    with pytest.raises(LeaseLost):
        queue.drop(claim, NEVER, State.EXPIRED)
    assert Message.objects.filter(id=claim.id).values().get() == before
    assert queue.settle(again, accepted(again), carrier="default").state == "accepted"
    with pytest.raises(LeaseLost):
        queue.settle(again, accepted(again), carrier="default")


def test_the_lease_outlives_the_longest_hand_over(settings: Any) -> None:
    settings.AUTHMAIL_SEND_DEADLINE = timedelta(seconds=30)
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=8)
    now = db_now("default")
    due = row_of(submitted()).due_at
    assert due is not None
    assert due - now >= timedelta(seconds=30) + LEASE_MARGIN
    row, _ = queue.submit_claimed(auth_message())
    assert row.due_at is not None
    assert row.due_at - now >= timedelta(seconds=8) + LEASE_MARGIN


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda row, other: b"not sealed by us", id="other octets"),
        pytest.param(lambda row, other: bytes(other.sealed), id="the body of another row"),
        pytest.param(lambda row, other: bytes(row.sealed)[:-4] + b"AAA=", id="a changed body"),
    ],
)
def test_a_body_that_does_not_open_fails_and_does_not_stop_the_queue(
    tamper: Callable[[Message, Message], bytes],
) -> None:
    bad, good = queue.submit(auth_message()), queue.submit(auth_message())
    Message.objects.filter(id=bad.id).update(sealed=tamper(bad, good))
    claims = queue.claim_due(10)
    assert [claim.id for claim in claims] == [good.id]
    bad.refresh_from_db()
    assert (bad.state, bad.reason, bad.sealed) == ("failed", "seal_broken", None)


def test_keys_rotate(settings: Any) -> None:
    old, new = "o" * 40, "n" * 40
    settings.AUTHMAIL_SEALING_KEYS = [old]
    row = queue.submit(auth_message())
    settings.AUTHMAIL_SEALING_KEYS = [new, old]
    claim = queue.claim(row.id)
    assert claim is not None
    assert CODE.encode() in claim.content


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.ACCEPTED},
        {"sealed": None},
        {"due_at": None},
        {"state": State.SENDING},
        {"lease": uuid.uuid4()},
    ],
)
def test_the_database_refuses_a_state_that_cannot_be(change: dict[str, Any]) -> None:
    row = queue.submit(auth_message())
    with pytest.raises(IntegrityError):
        Message.objects.filter(id=row.id).update(**change)


def test_each_message_is_claimed_by_one_of_many_workers() -> None:
    ids = {queue.submit(auth_message()).id for _ in range(40)}
    workers = 4
    barrier = threading.Barrier(workers)

    def work() -> list[uuid.UUID]:
        try:
            barrier.wait(10)
            taken: list[uuid.UUID] = []
            while claims := queue.claim_due(3):
                for claim in claims:
                    queue.settle(claim, accepted(claim), carrier="default")
                    taken.append(claim.id)
            return taken
        finally:
            connections.close_all()

    with ThreadPoolExecutor(workers) as pool:
        taken = [
            id for worker in [pool.submit(work) for _ in range(workers)] for id in worker.result()
        ]
    # A worker may have found every row taken and left; those rows are claimed by the others.
    assert sorted(taken) == sorted(ids)
    assert set(Message.objects.values_list("state", "attempt_count")) == {("accepted", 1)}


def test_announces_each_change_after_its_commit() -> None:
    heard: list[tuple[str, str]] = []

    def listen(sender: object, state: str, error_code: str, **extra: object) -> None:
        assert not connection.in_atomic_block
        heard.append((state, error_code))

    message_changed.connect(listen)
    try:
        claim = submitted()
        queue.settle(claim, failed(claim, NEVER), carrier="default")
    finally:
        message_changed.disconnect(listen)
    assert heard == [("queued", ""), ("failed", "recipient_refused")]


def test_one_log_line_for_each_change_and_no_address_in_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO", logger="django_authmail"):
        claim = submitted()
        queue.settle(claim, failed(claim, LATER), carrier="default")
    lines = [r.getMessage() for r in caplog.records if r.name.startswith("django_authmail")]
    assert len(lines) == 2
    assert lines[0].startswith(f"email.queued id={claim.id} type=otp ")
    assert "error_code=smtp_transient" in lines[1]
    assert "reason=server_busy" in lines[1]
    assert all(" to_hash=" in line for line in lines)
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING"]
    for secret in ("hong@", CODE, "Your code"):
        assert not any(secret in line for line in lines)


@pytest.mark.parametrize("earlier", [LATER, UNKNOWN], ids=["a deferral", "a doubt"])
def test_who_is_accepted_in_the_end_keeps_nothing_of_what_went_before(earlier: Failure) -> None:
    claim = submitted()
    queue.settle(claim, failed(claim, earlier), carrier="default")
    Message.objects.update(due_at=db_now("default"))
    again = queue.claim(claim.id)
    assert again is not None
    assert queue.settle(again, accepted(again), carrier="default").state == "accepted"
    recipient = Recipient.objects.get()
    assert (recipient.state, recipient.error_code, recipient.reason) == ("accepted", "", "")
    assert (recipient.reply_code, recipient.reply_text) == (250, "Ok: queued as 4XYZ")
