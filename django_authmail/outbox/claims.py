"""How a worker gets a message: a claim on rows that are due."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db import router
from django.db.models import QuerySet

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import SealBroken
from django_authmail.message import Envelope
from django_authmail.models import Message, Priority, State
from django_authmail.outbox import body, rows
from django_authmail.outbox.announcing import announce
from django_authmail.outbox.lease import LEASE_MARGIN, Claim, claim_of, valid_until
from django_authmail.outbox.record import EXPIRED, IN_DOUBT, Record
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry
from django_authmail.transactions import PATIENCE, retried
from django_authmail.webhooks import recording

#: Times that a worker looks again when what was due gave it nothing to do.
MOST_PASSED_OVER = 50
#: Rows that are read at once where many end without a hand-over: a code's life after an outage.
MOST_AT_ONCE = 200

# Finds rows that are due, locked where the database can: time, database -> rows.
_Finder = Callable[[datetime, str], list[Message]]


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of rows that were due."""

    claims: list[Claim] = field(default_factory=list)
    #: How many were settled without a hand-over, too late, broken or in doubt: by state and reason.
    settled: Counter[tuple[str, str]] = field(default_factory=Counter)
    was_any_due: bool = False


def claim(id: uuid.UUID) -> Claim | None:
    """Claim one message if it is due; None if it is not, or another worker has it."""

    def find(now: datetime, using: str) -> list[Message]:
        return list(rows.locked(_due(now, using).filter(id=id), using, skip=True))

    claims = _Taking(find, limit=1).run().claims
    return claims[0] if claims else None


def claim_due(
    limit: int, *, priority: Priority | None = None, patience: float = PATIENCE
) -> list[Claim]:
    """Return the claims of `take_due`, for who does not ask what was settled meanwhile."""
    return take_due(limit, priority=priority, patience=patience).claims


def take_due(limit: int, *, priority: Priority | None = None, patience: float = PATIENCE) -> Taken:
    """Claim up to `limit` due messages: high priority before low, the longest due first.

    Due ones that cannot be handed over are settled. Hand the claimed over at once, side by side:
    their leases begin now, and what a worker has claimed when it dies is in doubt. With `priority`,
    messages of another are left alone. A database that fails is tried again for `patience`, in
    seconds.
    """
    lanes = tuple(Priority) if priority is None else (priority,)
    wanted = limit

    def find(now: datetime, using: str) -> list[Message]:
        found: list[Message] = []
        with rows.in_order(using):
            for lane in lanes:
                if len(found) < wanted:
                    # One query for each: the index has each lane in order, not all together.
                    first = _due(now, using).filter(priority=lane).order_by("due_at")
                    found += rows.locked(first, using, skip=True)[: wanted - len(found)]
        return found

    # Rows that were due and gave no claim (too late, or broken, and ended; or taken by others)
    # must not look like an empty queue to a worker that asks for one.
    settled: Counter[tuple[str, str]] = Counter()
    for _ in range(MOST_PASSED_OVER):
        taken = _Taking(find, limit).run(patience)
        settled += taken.settled
        if taken.claims or not taken.was_any_due:
            break
        wanted = min(wanted * 2, MOST_AT_ONCE)
    return replace(taken, settled=settled)


def _due(now: datetime, using: str) -> QuerySet[Message]:
    return Message.objects.using(using).filter(due_at__lte=now)


class _Taking:
    """Takes rows once, even if the answer to its COMMIT is lost and it has to run again."""

    def __init__(self, find: _Finder, limit: int) -> None:
        self._find = find
        self._limit = limit
        self._using = router.db_for_write(Message)
        self._lease = uuid.uuid4()
        self._tried: list[uuid.UUID] = []

    def run(self, patience: float = PATIENCE) -> Taken:
        return retried(self._take, using=self._using, patience=patience)

    def _take(self) -> Taken:
        now = db_now(self._using)
        if self._tried and (records := self._taken()):
            # The COMMIT before was done after all.
            claims = [c for r in records if (c := _claim(r, _opened(r), now)) is not None]
            return Taken(claims=claims, was_any_due=True)
        found = self._find(now, self._using)
        # What will be ended is not limited: nobody has to hand it over.
        over = [row for row in found if row.state == State.HELD or _is_late(row, now)]
        live = [row for row in found if row not in over][: self._limit]
        if not (over or live):
            return Taken()
        before = {row.id: row.state for row in (*over, *live)}
        self._tried = list(before)
        end = now + conf.send_deadline + LEASE_MARGIN
        for state in set(before.values()):
            # Compare and swap, where nothing was locked: a row that another worker took since it
            # was read has another state, or is not due any more.
            ids = [id for id in before if before[id] == state]
            _due(now, self._using).filter(id__in=ids, state=state).update(
                state=State.SENDING, lease=self._lease, due_at=end
            )
        if rows.locks(self._using):
            for row in (*over, *live):
                row.state, row.lease, row.due_at = State.SENDING, self._lease, end
            records = list(rows.load((*over, *live), self._using).values())
        else:
            records = self._taken()
        taken = Taken(was_any_due=True)
        changed = []
        for record in records:
            opened = _opened(record)
            if _ended_or_doubtful(record, opened, before[record.row.id], now):
                changed.append(record)
                announce(record.row, self._using, to=_first(opened))
            if (claim := _claim(record, opened, now)) is not None:
                taken.claims.append(claim)
        recording.record(changed, now, self._using)
        rows.store(changed, self._using)
        taken.settled.update(
            (str(r.row.state), str(r.row.reason)) for r in changed if r.row.state != State.SENDING
        )
        return taken

    def _taken(self) -> list[Record]:
        mine = Message.objects.using(self._using).filter(id__in=self._tried, lease=self._lease)
        return list(rows.load(mine.order_by("priority", "created_at"), self._using).values())


def _is_late(row: Message, now: datetime) -> bool:
    valid = valid_until(row)
    return valid is not None and valid <= now


def _opened(record: Record) -> tuple[Envelope, bytes] | Failure:
    """Return the envelope of those who are still to be sent to, and the content."""
    reason = Reason.ROW_BROKEN
    try:
        envelope, content = body.unpack(record.row.id, bytes(record.row.sealed or b""))
        recipients = tuple(envelope.recipients[r.position] for r in record.pending)
        if recipients:
            return replace(envelope, recipients=recipients), content
    except SealBroken:
        reason = Reason.SEAL_BROKEN
    except Exception:  # noqa: S110 - see below
        # Edited by hand, or by something else: whatever it is, it must not stop the others.
        pass
    return Failure(error_code=ErrorCode.UNKNOWN, reason=reason, retry=Retry.NEVER)


def _ended_or_doubtful(
    record: Record, opened: tuple[Envelope, bytes] | Failure, before: str, now: datetime
) -> bool:
    """Do to a row that was taken what has to be done before a hand-over; tell whether it was."""
    if before == State.HELD:
        record.finish(State.UNKNOWN, IN_DOUBT, now)
    elif before == State.SENDING:
        # Its worker died, or lost the database: the server may have taken the message.
        record.abandoned(now, can_resend=not isinstance(opened, Failure))
    elif isinstance(opened, Failure):
        record.finish(State.FAILED, opened, now)
    elif _is_late(record.row, now):
        record.finish(State.EXPIRED, EXPIRED, now)
    else:
        return False
    return True


def _claim(record: Record, opened: tuple[Envelope, bytes] | Failure, now: datetime) -> Claim | None:
    if record.row.state != State.SENDING or isinstance(opened, Failure):
        return None
    return claim_of(record, *opened, now)


def _first(opened: tuple[Envelope, bytes] | Failure) -> str:
    return "" if isinstance(opened, Failure) else opened[0].recipients[0]
