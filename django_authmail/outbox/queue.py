"""The verbs that change a message: the only code that writes its state.

                     submit(lease=…)
                   ┌──────────────────┐
    submit         │                  ▼
   ───────► queued ──── claim ───► sending ──┬─ settle ─► accepted
              ▲  │                  │  │     ├─ settle ─► partially_accepted
              │  │                  │  │     ├─ settle ─► failed
              │  └─ drop ► expired  │  │     └─ settle ─► unknown
              │              ▲      │  │
              │              └ drop ┘  │
              └── settle (deferred) ───┘

A claim is a lease: a token, and an end in `due_at`. A row whose lease has ended is due again, and
whoever claims it then takes it over; the worker that lost it cannot settle. What such a row's
outcome was, nobody knows: the server may have taken the message (`OnUnknown` decides).

Final states are final: the sealed body is gone, and nothing claims the row again.
"""

from __future__ import annotations

import logging
import random
import uuid
from dataclasses import replace
from datetime import datetime, timedelta

from django.db import DatabaseError, connections, router, transaction

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import LeaseLost, SealBroken
from django_authmail.hashes import log_hash
from django_authmail.logs import log_event
from django_authmail.message import AuthMessage, OnUnknown
from django_authmail.models import Message, State
from django_authmail.outbox import body, rows
from django_authmail.outbox.lease import LEASE_MARGIN, Claim, claim_of
from django_authmail.outbox.retry import next_delay
from django_authmail.outbox.transactions import retried
from django_authmail.outcomes import (
    ErrorCode,
    Failure,
    Reason,
    Retry,
    SendResult,
)
from django_authmail.signals import message_changed, message_queued

logger = logging.getLogger(__name__)

#: Due rows read beyond those wanted, where the database cannot pass over what others are taking.
SPARE_CANDIDATES = 8
#: Times that a worker looks again when what was due gave it nothing to do.
MOST_PASSED_OVER = 50
#: Messages that lose their use within this are tried again in seconds rather than minutes.
URGENT = timedelta(hours=1)


def submit(
    message: AuthMessage,
    *,
    owner: str = "site",
    request_id: str = "",
) -> Message:
    """Record `message` for sending in the background and return its row.

    Call it inside the transaction of what caused the mail: if that is rolled back, no mail leaves.
    """
    using = router.db_for_write(Message)
    with transaction.atomic(using=using):
        row, _ = rows.insert(message, using, owner=owner, request_id=request_id, lease=None)
        _announce(row, using, to=message.envelope.recipients[0])
        transaction.on_commit(lambda: message_queued.send_robust(Message, id=row.id), using=using)
    return row


def submit_claimed(
    message: AuthMessage, *, owner: str = "site", request_id: str = ""
) -> tuple[Message, Claim]:
    """Record `message` as being sent by the caller, and return its row and claim.

    The row is committed before this returns: were the process to die in the middle of the
    hand-over, the row would say so. Raises RuntimeError inside a transaction.
    """
    using = router.db_for_write(Message)
    with transaction.atomic(using=using, durable=True):
        row, content = rows.insert(
            message, using, owner=owner, request_id=request_id, lease=conf.sync_deadline
        )
    return row, claim_of(row, message.envelope, content, row.created_at)


def claim(id: uuid.UUID) -> Claim | None:
    """Claim one message if it is due; None if it is not, or another worker has it."""
    using = router.db_for_write(Message)

    def take() -> Claim | None:
        row = Message.objects.using(using).filter(id=id, due_at__lte=db_now(using)).first()
        return _take(row, using) if row is not None else None

    return retried(take, using=using)


def claim_due(limit: int) -> list[Claim]:
    """Claim up to `limit` due messages, the longest due first."""
    using = router.db_for_write(Message)

    def take() -> tuple[list[Claim], bool]:
        due = Message.objects.using(using).filter(due_at__lte=db_now(using)).order_by("due_at")
        if connections[using].features.has_select_for_update_skip_locked:
            # Workers pass each other instead of queueing for the same row.
            rows_ = due.select_for_update(skip_locked=True)[:limit]
        else:
            # Those that others take first are passed over; a few more are read for them.
            rows_ = due[: limit + SPARE_CANDIDATES]
        taken: list[Claim] = []
        seen = False
        for row in rows_:
            seen = True
            if len(taken) < limit and (claim := _take(row, using)) is not None:
                taken.append(claim)
        return taken, seen

    # Rows that were due and gave no claim (broken ones, which are ended, or ones that others took)
    # must not look like an empty queue to a worker that asks for one.
    for _ in range(MOST_PASSED_OVER):
        taken, seen = retried(take, using=using)
        if taken or not seen:
            return taken
    return []


def settle(
    claim: Claim,
    result: SendResult,
    *,
    carrier: str,
    final: bool = False,
    resend_now: bool = False,
) -> Message:
    """Record the outcome of a hand-over and return the row.

    With `final`, nothing is tried again later: a caller waits for the answer and gets it now. With
    `resend_now`, a message whose outcome is unknown and whose policy is to resend stays claimed,
    in the state `sending`, and the caller hands it over once more.

    Raises:
        LeaseLost: the lease ended and another worker took the message over. Nothing is written.
    """
    using = router.db_for_write(Message)
    written: list[Message] = []

    def announce(row: Message) -> Message:
        _announce(
            row,
            using,
            to=claim.envelope.recipients[0],
            duration_ms=round(result.duration_seconds * 1000),
        )
        return row

    def write() -> Message:
        now = db_now(using)
        try:
            row = _held(claim, using)
        except LeaseLost:
            if (
                written
                and Message.objects.using(using)
                .filter(id=claim.id, settled_at=written[-1].settled_at, state=written[-1].state)
                .exclude(settled_at=None)
                .exists()
            ):
                # The commit before was done, though its answer was lost: it is only to be told.
                return announce(written[-1])
            raise
        failure = result.failure
        # A carrier that cannot work says nothing about the message: no attempt is counted.
        counted = final or failure is None or failure.retry is not Retry.CARRIER
        row.attempt_count += counted
        may_retry = not final and (not counted or row.attempt_count < conf.max_attempts)
        rows.settle_recipients(row, claim.envelope, result, may_retry, using)
        if failure is not None and failure.retry is Retry.UNKNOWN:
            _settle_unknown(row, now, failure, final, resend_now, using)
        elif rows.has_pending(row, using):
            _defer(row, now, rows.why_pending(result))
        else:
            _finish(row, now, rows.end_state(row, using), failure, using)
        if result.sent:
            row.provider_id = result.provider_id[:255]
            row.accepted_at = now
        rows.record_attempt(row, claim, result, carrier, counted, using)
        row.save(using=using)
        written.append(row)
        return announce(row)

    return retried(write, using=using)


def as_if_settled(row: Message, result: SendResult) -> Message:
    """Return `row` as `settle` would have left it for a waiting caller; nothing is written."""
    failure = result.failure
    if failure is None:
        row.state = State.PARTIALLY_ACCEPTED if result.refused else State.ACCEPTED
    else:
        row.state = State.UNKNOWN if failure.retry is Retry.UNKNOWN else State.FAILED
    row.error_code = failure.error_code if failure else ""
    row.reason = failure.reason if failure else ""
    row.provider_id = result.provider_id[:255]
    return row


def drop(claim: Claim, failure: Failure, state: State) -> Message:
    """End a claimed message without a hand-over: it is too late, or its body cannot be opened.

    Raises:
        LeaseLost: another worker took the message over.
    """
    using = router.db_for_write(Message)

    def write() -> Message:
        row = _held(claim, using)
        _finish(row, db_now(using), state, failure, using)
        row.save(using=using)
        _announce(row, using, to=claim.envelope.recipients[0])
        return row

    return retried(write, using=using)


def _held(claim: Claim, using: str) -> Message:
    row = Message.objects.using(using).select_for_update().get(id=claim.id)
    if row.lease != claim.lease:
        raise LeaseLost(f"message {claim.id} was taken over by another worker")
    return row


# -- claiming -------------------------------------------------------------------------------


def _take(row: Message, using: str) -> Claim | None:
    now = db_now(using)
    lease = uuid.uuid4()
    # Compare and swap: of two workers that read the same row, one finds it unchanged.
    unchanged = Message.objects.using(using).filter(
        id=row.id, state=row.state, due_at=row.due_at, lease=row.lease
    )
    if not unchanged.update(
        state=State.SENDING, lease=lease, due_at=now + conf.send_deadline + LEASE_MARGIN
    ):
        return None
    abandoned = row.state == State.SENDING
    row.refresh_from_db(using=using)
    try:
        with transaction.atomic(using=using):
            envelope, content = body.unpack(row.id, bytes(row.sealed or b""))
            pending = rows.pending_only(row, envelope, using)
    except SealBroken:
        return _end_broken(row, now, Reason.SEAL_BROKEN, using)
    except DatabaseError:
        raise
    except Exception:
        # Edited by hand, or by something else: whatever it is, it must not stop the others.
        return _end_broken(row, now, Reason.ROW_BROKEN, using)
    if not pending.recipients:
        return _end_broken(row, now, Reason.ROW_BROKEN, using)
    claim = claim_of(row, pending, content, now)
    return _resume(row, claim, now, using) if abandoned else claim


def _end_broken(row: Message, now: datetime, reason: Reason, using: str) -> Claim | None:
    failure = Failure(error_code=ErrorCode.UNKNOWN, reason=reason, retry=Retry.NEVER)
    _finish(row, now, State.FAILED, failure, using)
    row.save(using=using)
    _announce(row, using)
    return None


def _resume(row: Message, claim: Claim, now: datetime, using: str) -> Claim | None:
    """Take over from a worker that died while sending: the outcome of its attempt is unknown."""
    lost = SendResult(
        message_id=row.message_id,
        failure=Failure(
            error_code=ErrorCode.UNKNOWN,
            reason=Reason.OUTCOME_UNKNOWN,
            retry=Retry.UNKNOWN,
            detail="the process that was sending it ended",
        ),
    )
    row.attempt_count += 1
    rows.record_attempt(row, claim, lost, "", True, using)
    if row.on_unknown == OnUnknown.RESEND and not row.resend_count:
        row.resend_count += 1
        row.save(using=using)
        return replace(claim, attempt=row.attempt_count + 1)
    _finish(row, now, State.UNKNOWN, lost.failure, using)
    row.save(using=using)
    _announce(row, using, to=claim.envelope.recipients[0])
    return None


# -- settling -------------------------------------------------------------------------------


def _settle_unknown(
    row: Message,
    now: datetime,
    failure: Failure,
    final: bool,
    resend_now: bool,
    using: str,
) -> None:
    may_resend = row.on_unknown == OnUnknown.RESEND and not row.resend_count
    if not may_resend or (final and not resend_now):
        _finish(row, now, State.UNKNOWN, failure, using)
        return
    row.resend_count += 1
    row.error_code, row.reason = failure.error_code, failure.reason
    if resend_now:
        row.due_at = now + conf.sync_deadline + LEASE_MARGIN
    else:
        row.state, row.lease, row.due_at = State.QUEUED, None, now


def _defer(row: Message, now: datetime, failure: Failure) -> None:
    urgent = row.expires_at is not None and row.expires_at - row.created_at <= URGENT
    delay = next_delay(
        failure,
        attempt=max(row.attempt_count, 1),
        urgent=urgent,
        jitter=random.random(),  # noqa: S311 - spreads load, protects nothing
    )
    row.state, row.lease = State.QUEUED, None
    row.due_at = now + delay
    if row.expires_at is not None:
        # Not past its end: an expired message shall say so in time.
        row.due_at = min(row.due_at, row.expires_at)
    row.error_code, row.reason = failure.error_code, failure.reason


def _finish(row: Message, now: datetime, state: State, failure: Failure | None, using: str) -> None:
    if row.resend_count and state in (State.FAILED, State.EXPIRED, State.UNKNOWN):
        # An earlier attempt ended in doubt, and only a 250 settles a doubt: a later refusal does
        # not say that the first one was not taken.
        state = State.UNKNOWN
        failure = Failure(
            error_code=ErrorCode.UNKNOWN, reason=Reason.OUTCOME_UNKNOWN, retry=Retry.UNKNOWN
        )
    row.state, row.lease, row.due_at = state, None, None
    # The one line that keeps the promise: what is final has no body.
    row.sealed = None
    row.settled_at = now
    row.error_code = failure.error_code if failure else ""
    row.reason = failure.reason if failure else ""
    rows.end_pending(row, state, using)


def _announce(row: Message, using: str, *, to: str = "", duration_ms: int | None = None) -> None:
    event = {"kind": row.kind, "error_code": str(row.error_code)}
    id, state = row.id, str(row.state)
    line = {
        "message_id": row.message_id,
        "reason": str(row.reason),
        "attempt": row.attempt_count,
        "duration_ms": duration_ms,
        "request_id": row.request_id,
        "to_hash": log_hash(to) if to else "",
    }

    def after_commit() -> None:
        log_event(logger, id=id, state=state, **event, **line)
        message_changed.send_robust(Message, id=id, state=state, **event)

    transaction.on_commit(after_commit, using=using)
