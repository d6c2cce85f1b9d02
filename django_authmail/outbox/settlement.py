"""How a claim ends: with an outcome, with a delay, or without a hand-over."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import connections, router

from django_authmail.conf import conf
from django_authmail.exceptions import LeaseLost
from django_authmail.logs import describe, named
from django_authmail.models import Message, State
from django_authmail.outbox import rows, suppression
from django_authmail.outbox.announcing import announce
from django_authmail.outbox.lease import Claim
from django_authmail.outbox.record import Record
from django_authmail.outcomes import Failure, Retry, SendResult
from django_authmail.statements import Trip
from django_authmail.transactions import FAILED, PATIENCE, retried
from django_authmail.webhooks import recording

logger = logging.getLogger(__name__)

#: Seconds before the end of a lease after which its holder writes nothing any more.
CLOSING_SECONDS = 2.0
#: Seconds that a waiting caller's answer may be late because the database does not take it.
CALLER_PATIENCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The end of a claim by a hand-over: what became of it."""

    claim: Claim
    result: SendResult
    #: Name of the mailer that was tried.
    carrier: str
    #: Nothing is tried again later and nothing held: a caller waits for the answer, and decides.
    final: bool = False
    #: If it is in doubt and to be resent, it stays claimed for so long.
    stays_for: timedelta | None = None

    @property
    def duration_ms(self) -> int | None:
        return round(self.result.duration_seconds * 1000)

    def apply(self, record: Record, now: datetime) -> None:
        record.settle(
            self.result,
            self.claim.envelope,
            now,
            carrier=self.carrier,
            started_at=self.claim.started_at,
            final=self.final,
            stays_for=self.stays_for,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponement:
    """The end of a claim without a hand-over: it is due again at `until`."""

    claim: Claim
    until: datetime
    failure: Failure
    duration_ms: int | None = None

    def apply(self, record: Record, now: datetime) -> None:
        record.requeue(self.until, self.failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """The end of a claim and of its message, without a hand-over."""

    claim: Claim
    failure: Failure
    state: State
    duration_ms: int | None = None

    def apply(self, record: Record, now: datetime) -> None:
        record.finish(self.state, self.failure, now)


#: How a claim can end.
End = Settlement | Postponement | Drop


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

    While the database fails, it is tried again for as long as the lease lasts: the mail is out. A
    caller who waits is not kept that long: the error is raised, and a thread goes on.

    Raises:
        LeaseLost: the lease ended and another worker took the message over. Nothing is written.
        Error: the database did not recover in time.
    """
    end = Settlement(
        claim=claim,
        result=result,
        carrier=carrier,
        final=final,
        stays_for=conf.sync_deadline if resend_now else None,
    )
    if not final:
        return _write_one(end, patience=_patience([claim]))
    try:
        return _write_one(end, patience=CALLER_PATIENCE)
    except FAILED:
        # Who is told of the error hands nothing over any more.
        end = replace(end, stays_for=None)
        threading.Thread(
            target=_go_on, args=(end,), name=f"authmail-settle-{claim.id}", daemon=True
        ).start()
        raise


def settle_many(ends: Sequence[End]) -> list[Message]:
    """Record how claims ended, in one transaction and few queries, and return the rows.

    Those that another worker took over and those that cannot be recorded are logged and left out:
    one bad mail does not keep the outcomes of the others from being written.

    Raises:
        Error: the database did not recover while the leases lasted.
    """
    try:
        written = _write(ends, patience=_patience([end.claim for end in ends]))
    except FAILED:
        raise  # it would not take one of them either
    except Exception:
        written = {end.claim.id: row for end in ends if (row := _written_alone(end)) is not None}
    else:
        for end in ends:
            if end.claim.id not in written:
                _log_lost(end)
    return list(written.values())


def postpone(claim: Claim, *, until: datetime, failure: Failure) -> Message:
    """Give back a claimed message that was not handed over, due again at `until`.

    No attempt is counted or recorded. It is due before `until` where it loses its use before, so
    that it is `expired` in time. `failure` says why, on the row and in the log.

    Raises:
        LeaseLost: another worker took the message over.
    """
    return _write_one(Postponement(claim=claim, until=until, failure=failure))


def drop(claim: Claim, failure: Failure, state: State) -> Message:
    """End a claimed message without a hand-over: it is too late, or cannot be sent.

    Raises:
        LeaseLost: another worker took the message over.
    """
    return _write_one(Drop(claim=claim, failure=failure, state=state))


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


def _patience(claims: Sequence[Claim]) -> float:
    left = max((claim.lease_ends for claim in claims), default=0.0) - time.monotonic()
    return max(left - CLOSING_SECONDS, CALLER_PATIENCE)


def _write_one(end: End, *, patience: float = PATIENCE) -> Message:
    rows_ = _write([end], patience=patience)
    if end.claim.id not in rows_:
        raise LeaseLost(f"message {end.claim.id} was taken over by another worker")
    return rows_[end.claim.id]


def _write(ends: Sequence[End], *, patience: float) -> dict[uuid.UUID, Message]:
    """Write all ends in one transaction; return the rows of those whose lease still holds."""
    using = router.db_for_write(Message)
    written: dict[uuid.UUID, Message] = {}
    claimed = {end.claim.id: end.claim for end in ends}
    # What the claims know is used once: a run that failed has left its marks in it.
    known: dict[uuid.UUID, Record] = {}
    if all(claim.record.is_current for claim in claimed.values()):
        known = {id: claim.record for id, claim in claimed.items()}

    def write() -> None:
        nonlocal known
        with Trip(using) as trip:
            leases = rows.ask_leases(claimed, trip)
            # Behind what the rows may have waited for.
            time = trip.ask_time()
            everybody = [r for claim in claimed.values() for r in claim.record.recipients]
            suppressed = suppression.ask_known(everybody, trip)
            endpoints = recording.ask_whether_any(trip)
        held, now = leases(), time()
        if known:
            records = {id: it for id, it in known.items() if held.get(id) == claimed[id].lease}
            known = {}
        else:
            stored = Message.objects.using(using).filter(id__in=list(claimed)).order_by("id")
            records = rows.load(stored.defer("sealed"), using)
        for loaded in records.values():
            loaded.is_current = False
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
                end.apply(record, now)
                changed.append(record)
            else:
                written.pop(end.claim.id, None)
                continue
            written[end.claim.id] = record.row
            to = end.claim.envelope.recipients[0]
            announce(record.row, using, to=to, duration_ms=end.duration_ms)
        suppression.learn(changed, suppressed, now=now, using=using)
        recording.record(changed, now, using, has_endpoints=bool(endpoints))
        rows.store(changed, using, ends=True)

    retried(write, using=using, patience=patience)
    return written


def _same(one: Message, other: Message) -> bool:
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("state", "lease", "due_at", "settled_at", "attempt_count", "resend_count")
    )


def _written_alone(end: End) -> Message | None:
    try:
        return _write_one(end, patience=_patience([end.claim]))
    except LeaseLost:
        _log_lost(end)
    except FAILED:
        raise
    except Exception as error:
        # Its lease ends, and then its outcome is unknown, which is the truth.
        logger.error("email.settle_error id=%s error=%s", end.claim.id, describe(error))
    return None


def _go_on(end: End) -> None:
    """Settle what a caller could not wait for: not settled, it would be sent again."""
    try:
        _written_alone(end)
    except FAILED as error:
        logger.error("email.not_recorded id=%s error=%s", end.claim.id, named(error))
    finally:
        connections.close_all()


def _log_lost(end: End) -> None:
    logger.warning("email.lease_lost id=%s", end.claim.id)
