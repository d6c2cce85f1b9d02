"""What a worker holds while it hands a message over: a claim, which ends by itself."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django_authmail.message import Envelope
from django_authmail.models import Message

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
    request_id: str = ""


def claim_of(row: Message, envelope: Envelope, content: bytes, now: datetime) -> Claim:
    """Return the claim on a row that is being sent."""
    if row.lease is None:
        raise ValueError("only a row that is being sent has a claim")
    valid = None
    if row.expires_at is not None:
        valid = (row.expires_at - EXPIRY_MARGIN - now).total_seconds()
    return Claim(
        id=row.id,
        lease=row.lease,
        message_id=row.message_id,
        kind=row.kind,
        envelope=envelope,
        content=content,
        attempt=row.attempt_count + 1,
        started_at=now,
        valid_seconds=valid,
        request_id=row.request_id,
    )
