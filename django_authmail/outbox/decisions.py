"""What a person says about a held message: the server may have taken it, nobody knows."""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import router

from django_authmail.clock import db_now
from django_authmail.exceptions import NotHeld
from django_authmail.models import Message, State
from django_authmail.outbox import rows
from django_authmail.outbox.announcing import announce, announce_queued
from django_authmail.outbox.record import IN_DOUBT, Record
from django_authmail.transactions import retried
from django_authmail.webhooks import recording

logger = logging.getLogger(__name__)


class Decision(StrEnum):
    """What becomes of a held message."""

    #: It is handed over once more, with the same Message-ID: the recipient may get it twice.
    SEND_AGAIN = "send_again"
    #: Its recipient has it, or the provider's log says that it was taken.
    DELIVERED = "delivered"
    #: Nobody will ever know.
    GIVE_UP = "give_up"


def decide(id: uuid.UUID, decision: Decision, *, by: str) -> Message:
    """Do with a held message as a person decided, and return its row.

    `by` names that person in the log: a user's key, not an address.

    Raises:
        NotHeld: there is no such message, or it is not held any more.
    """
    using = router.db_for_write(Message)

    def write() -> Message:
        held = Message.objects.using(using).filter(id=id, state=State.HELD).defer("sealed")
        record = rows.load(rows.locked(held, using), using).get(id)
        if record is None:
            raise NotHeld(f"message {id} is not held")
        now = db_now(using)
        row = record.row
        match decision:
            case Decision.SEND_AGAIN:
                row.resend_count += 1
                record.requeue(now, IN_DOUBT)
                announce_queued(row, using)
            case Decision.DELIVERED:
                record.finish(State.ACCEPTED, None, now)
                row.accepted_at = _ended_at(record) or now
            case Decision.GIVE_UP:
                record.finish(State.UNKNOWN, IN_DOUBT, now)
        recording.record([record], now, using)
        rows.store([record], using)
        announce(row, using)
        return row

    row = retried(write, using=using)
    logger.warning("email.decided id=%s decision=%s by=%s state=%s", id, decision, by, row.state)
    return row


def _ended_at(record: Record) -> datetime | None:
    """When the hand-over that is in doubt ended: if the server took the message, it did then."""
    attempt = record.last_attempt
    if attempt is None:
        return None
    return attempt.started_at + timedelta(milliseconds=attempt.duration_ms)
