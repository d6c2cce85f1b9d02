"""How a claim ends: with an outcome, with a delay, or without a hand-over."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import router

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import LeaseLost
from django_authmail.logs import describe
from django_authmail.models import Message, State
from django_authmail.outbox import rows
from django_authmail.outbox.announcing import announce
from django_authmail.outbox.lease import Claim
from django_authmail.outbox.record import Record
from django_authmail.outbox.transactions import FAILED, PATIENCE, retried
from django_authmail.outcomes import Failure, Retry, SendResult

logger = logging.getLogger(__name__)

#: Seconds before the end of a lease after which its holder writes nothing any more.
CLOSING_SECONDS = 2.0
#: Seconds that a waiting caller's answer may be late because the database does not take it.
CALLER_PATIENCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of one claim: a hand-over and its result."""

    claim: Claim
    result: SendResult
    #: Name of the mailer that was tried.
    carrier: str


def settle(
    claim: Claim,
    result: SendResult,
    *,
    carrier: str,
    final: bool = False,
    resend_now: bool = False,
) -> Message:
    """Record the outcome of a hand-over and return the row.

    With `final`, nothing is tried again later and nothing held for a decision: a caller waits for
    the answer, and decides. With `resend_now`, a message whose outcome is unknown and whose policy
    is to resend stays claimed, in the state `sending`, and the caller hands it over once more.

    While the database fails, it is tried again for as long as the lease lasts: the mail is out.

    Raises:
        LeaseLost: the lease ended and another worker took the message over. Nothing is written.
    """
    end = _End(
        claim=claim,
        change=_settled(
            Settlement(claim=claim, result=result, carrier=carrier),
            final=final,
            stays_for=conf.sync_deadline if resend_now else None,
        ),
        duration_ms=_milliseconds(result),
    )
    return _write_one(end, patience=CALLER_PATIENCE if final else _patience([claim]))


def settle_many(settlements: Sequence[Settlement]) -> list[Message]:
    """Record outcomes as `settle` does, in one transaction, and return the rows.

    Those that another worker took over and those that cannot be recorded are logged and left out:
    one bad mail does not keep the outcomes of the others from being written.
    """
    ends = [
        _End(claim=one.claim, change=_settled(one), duration_ms=_milliseconds(one.result))
        for one in settlements
    ]
    try:
        return list(_write(ends, patience=_patience([end.claim for end in ends])).values())
    except FAILED:
        raise  # it would not take one of them either
    except Exception:
        return [row for end in ends if (row := _written_alone(end)) is not None]


def postpone(claim: Claim, *, until: datetime, failure: Failure) -> Message:
    """Give back a claimed message that was not handed over, due again at `until`.

    No attempt is counted or recorded. It is due before `until` where it loses its use before, so
    that it is `expired` in time. `failure` says why, on the row and in the log.

    Raises:
        LeaseLost: another worker took the message over.
    """
    return _write_one(_End(claim=claim, change=lambda record, now: record.requeue(until, failure)))


def drop(claim: Claim, failure: Failure, state: State) -> Message:
    """End a claimed message without a hand-over: it is too late, or cannot be sent.

    Raises:
        LeaseLost: another worker took the message over.
    """
    return _write_one(
        _End(claim=claim, change=lambda record, now: record.finish(state, failure, now))
    )


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


# -- writing --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """A claim, and what its end does to the record."""

    claim: Claim
    change: Callable[[Record, datetime], None]
    duration_ms: int | None = None


def _settled(
    one: Settlement, *, final: bool = False, stays_for: timedelta | None = None
) -> Callable[[Record, datetime], None]:
    def change(record: Record, now: datetime) -> None:
        record.settle(
            one.result,
            one.claim.envelope,
            now,
            carrier=one.carrier,
            started_at=one.claim.started_at,
            final=final,
            stays_for=stays_for,
        )

    return change


def _milliseconds(result: SendResult) -> int:
    return round(result.duration_seconds * 1000)


def _patience(claims: Sequence[Claim]) -> float:
    left = max((claim.lease_ends for claim in claims), default=0.0) - time.monotonic()
    return max(left - CLOSING_SECONDS, CALLER_PATIENCE)


def _write_one(end: _End, *, patience: float = PATIENCE) -> Message:
    rows_ = _write([end], patience=patience)
    if end.claim.id not in rows_:
        raise LeaseLost(f"message {end.claim.id} was taken over by another worker")
    return rows_[end.claim.id]


def _write(ends: Sequence[_End], *, patience: float) -> dict[uuid.UUID, Message]:
    """Write all ends in one transaction; return the rows of those whose lease still holds."""
    using = router.db_for_write(Message)
    written: dict[uuid.UUID, Message] = {}

    def write() -> None:
        claimed = Message.objects.using(using).filter(id__in=[end.claim.id for end in ends])
        # In one order, so that two that lock the same rows wait instead of deadlocking.
        records = rows.load(rows.locked(claimed.defer("sealed").order_by("id"), using), using)
        now = db_now(using)
        changed: list[Record] = []
        for end in ends:
            record = records.get(end.claim.id)
            if record is None:
                continue
            before = written.get(end.claim.id)
            if before is not None and _same(before, record.row):
                # The COMMIT before was done, though its answer was lost: it is only to be told.
                pass
            elif record.row.lease == end.claim.lease:
                end.change(record, now)
                changed.append(record)
            else:
                written.pop(end.claim.id, None)
                continue
            written[end.claim.id] = record.row
            to = end.claim.envelope.recipients[0]
            announce(record.row, using, to=to, duration_ms=end.duration_ms)
        rows.store(changed, using)

    retried(write, using=using, patience=patience)
    return written


def _same(one: Message, other: Message) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("state", "lease", "due_at", "settled_at", "attempt_count", "resend_count")
    )


def _written_alone(end: _End) -> Message | None:
    try:
        return _write_one(end, patience=_patience([end.claim]))
    except LeaseLost:
        logger.warning("email.lease_lost id=%s", end.claim.id)
    except FAILED:
        raise
    except Exception as error:
        # Its lease ends, and then its outcome is unknown, which is the truth.
        logger.error("email.settle_error id=%s error=%s", end.claim.id, describe(error))
    return None
