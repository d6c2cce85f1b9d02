"""What a receiver is told: the types of events, and the JSON of each.

Nothing here has an address, a subject, a code or a body in it, but for the one member of a
request's own webhook that is its caller's.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from django_authmail.models import Message, Recipient, State
from django_authmail.outcomes import Reason

ACCEPTED: Final = "email.accepted"
PARTIALLY_ACCEPTED: Final = "email.partially_accepted"
DEFERRED: Final = "email.deferred"
FAILED: Final = "email.failed"
EXPIRED: Final = "email.expired"
SUPERSEDED: Final = "email.superseded"
HELD: Final = "email.held"
UNKNOWN: Final = "email.unknown"
SUPPRESSED: Final = "email.suppressed"
TEST: Final = "webhook.test"

#: Every type that an endpoint can choose. A test is sent to whichever is tested.
MESSAGE_TYPES: Final = (
    ACCEPTED,
    PARTIALLY_ACCEPTED,
    DEFERRED,
    FAILED,
    EXPIRED,
    SUPERSEDED,
    HELD,
    UNKNOWN,
    SUPPRESSED,
)

#: What S0 calls a message that a server took, be it for some recipients only.
_DELIVERED = (State.ACCEPTED, State.PARTIALLY_ACCEPTED)


def type_of(row: Message, *, tried: bool) -> str | None:
    """Return the type of the event that a message is now in its state; None: that is none.

    `tried`: a hand-over was written down together with it.
    """
    match row.state:
        case State.QUEUED:
            # To wait for a carrier that is paused, or for a person's word, is no news.
            return DEFERRED if tried else None
        case State.SENDING:
            return None
        case State.FAILED if row.reason == Reason.SUPPRESSED:
            return SUPPRESSED
    return f"email.{row.state}"


def envelope(type: str, row: Message, recipients: Iterable[Recipient], now: datetime) -> bytes:
    """Return the body for an endpoint: `{type, timestamp, data}` of Standard Webhooks."""
    return _enveloped(
        type,
        now,
        {
            "id": str(row.pk),
            "message_id": row.message_id,
            "kind": row.kind,
            "state": str(row.state),
            "error_code": row.error_code or None,
            "reason": row.reason or None,
            "recipients": [_recipient(recipient) for recipient in recipients],
            "metadata": row.metadata,
            "attempts": row.attempt_count,
            "created_at": _time(row.created_at),
            "accepted_at": _time(row.accepted_at),
            "settled_at": _time(row.settled_at),
            "test": row.is_test,
            "request_id": row.request_id or None,
        },
    )


def test_envelope(endpoint: uuid.UUID, now: datetime) -> bytes:
    """Return the body of a test event, which is about no message."""
    return _enveloped(TEST, now, {"endpoint": str(endpoint)})


def callback_body(
    type: str,
    row: Message,
    recipients: Iterable[Recipient],
    addresses: Sequence[str],
    now: datetime,
) -> bytes:
    """Return the body for a request's own webhook: S0's members, and three more.

    `addresses` are the recipients' own, in the order of their positions.
    """
    refused = [
        addresses[recipient.position]
        for recipient in recipients
        # One without a hash was erased since.
        if recipient.state == Recipient.State.REFUSED and recipient.address_hash
    ]
    return _json(
        {
            "message_id": row.message_id,
            "status": "delivered" if row.state in _DELIVERED else "failed",
            "error_code": row.error_code or None,
            "refused": refused,
            "sent_at": _time(row.accepted_at) if row.state in _DELIVERED else None,
            "attempts": row.attempt_count,
            "id": str(row.pk),
            "type": type,
            "timestamp": _time(now),
        }
    )


def _enveloped(type: str, now: datetime, data: dict[str, Any]) -> bytes:
    return _json({"type": type, "timestamp": _time(now), "data": data})


def _recipient(row: Recipient) -> dict[str, Any]:
    return {
        "hash": row.address_hash,
        "state": str(row.state),
        "error_code": row.error_code or None,
        "reason": row.reason or None,
        "reply_code": row.reply_code,
        "enhanced_code": row.reply_enhanced or None,
    }


def _time(value: datetime | None) -> str | None:
    """Return a time in ISO 8601 with the offset `+00:00`."""
    return None if value is None else value.astimezone(UTC).isoformat()


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
