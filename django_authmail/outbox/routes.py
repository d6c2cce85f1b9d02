"""What is recorded on a message's way: the carrier that has it, and those that failed."""

from __future__ import annotations

from dataclasses import replace

from django.db import router

from django_authmail.clock import db_now
from django_authmail.exceptions import LeaseLost
from django_authmail.models import Message, State
from django_authmail.outbox import rows
from django_authmail.outbox.lease import Claim
from django_authmail.outbox.settlement import Settlement
from django_authmail.outcomes import Reason
from django_authmail.transactions import retried


def leave_by(claim: Claim, carrier: str) -> Claim:
    """Record which carrier a claimed message is about to leave by, and return its claim.

    Raises:
        LeaseLost: another worker took the message over.
    """
    using = router.db_for_write(Message)
    held = Message.objects.using(using).filter(id=claim.id, lease=claim.lease)
    if not retried(lambda: held.update(carrier=carrier[:64]), using=using):
        raise LeaseLost(f"message {claim.id} was taken over by another worker")
    claim.record.row.carrier = carrier[:64]
    return replace(claim, carrier=carrier)


def note(one: Settlement) -> None:
    """Record a hand-over that is not the last one: another carrier is about to be tried.

    The message stays claimed. Of one that another worker took over, nothing is recorded.
    """
    using = router.db_for_write(Message)

    def write() -> None:
        held = Message.objects.using(using).filter(id=one.claim.id, lease=one.claim.lease)
        records = rows.load(rows.locked(held.defer("sealed"), using), using)
        for record in records.values():
            record.note(one.result, carrier=one.carrier, started_at=one.claim.started_at)
        rows.store(records.values(), using)

    one.claim.record.is_current = False  # it does not have this attempt
    retried(write, using=using)


def wake(reason: Reason) -> int:
    """Make due at once what was postponed for `reason`, and return how many that were."""
    using = router.db_for_write(Message)

    def write() -> int:
        now = db_now(using)
        waiting = Message.objects.using(using).filter(
            state=State.QUEUED, reason=reason, due_at__gt=now
        )
        return waiting.update(due_at=now)

    return retried(write, using=using)
