"""What a worker holds while it hands a message over: a claim, which ends by itself."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django_authmail.message import Envelope
from django_authmail.models import Message

if TYPE_CHECKING:
    from django_authmail.outbox.record import Record

#: A lease outlives the longest hand-over by this: a slow worker is not taken for a dead one.
LEASE_MARGIN = timedelta(seconds=15)
#: A mail that arrives in the last moment of its validity is of no use to a person any more.
EXPIRY_MARGIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A message that this worker may hand over until its lease ends."""

    id: uuid.UUID
    lease: uuid.UUID
    message_id: str
    kind: str
    envelope: Envelope
    content: bytes = field(repr=False)
    #: Number of the hand-over that is about to be made, from 1.
    attempt: int
    started_at: datetime
    #: Seconds until the message loses its use; None: never.
    valid_seconds: float | None
    #: When the lease ends, by `time.monotonic` of this process.
    lease_ends: float
    #: Whether the message may have been taken already: it is being sent again.
    in_doubt: bool = False
    #: Names of the carriers that it may leave by, in their order; empty: AUTHMAIL_DELIVER_USING.
    deliver_using: tuple[str, ...] = ()
    #: The one of several that it left by the last time; it may be there, if it is in doubt.
    carrier: str = ""
    owner: str = ""
    request_id: str = ""
    traceparent: str = ""
    #: Whether it ends here: nothing of a test is handed over.
    is_test: bool = False
    #: The rows as they were claimed. While the lease holds, nobody but its holder changes them.
    record: Record = field(repr=False, compare=False)


def claim_of(record: Record, envelope: Envelope, content: bytes, now: datetime) -> Claim:
    """Return the claim on a message that is being sent."""
    row = record.row
    if row.lease is None or row.due_at is None:
        raise ValueError("only a row that is being sent has a claim")
    valid = valid_until(row)
    return Claim(
        id=row.id,
        lease=row.lease,
        message_id=row.message_id,
        kind=row.kind,
        envelope=envelope,
        content=content,
        attempt=row.attempt_count + 1,
        started_at=now,
        valid_seconds=None if valid is None else (valid - now).total_seconds(),
        lease_ends=time.monotonic() + (row.due_at - now).total_seconds(),
        in_doubt=row.resend_count > 0,
        deliver_using=tuple(row.deliver_using),
        carrier=row.carrier,
        owner=row.owner,
        request_id=row.request_id,
        traceparent=row.traceparent,
        is_test=row.is_test,
        record=record,
    )


def valid_until(row: Message) -> datetime | None:
    """Return when it is too late to hand the message over; None: never."""
    return None if row.expires_at is None else row.expires_at - EXPIRY_MARGIN
