"""All that is stored about one address: found by typing it, and erased when its owner asks.

GDPR article 17; 개인정보 보호법 제36조.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.db import router
from django.db.models import Q, QuerySet

from django_authmail.clock import db_now
from django_authmail.guards import envelope_address
from django_authmail.hashes import address_hashes, folded_hashes
from django_authmail.models import Counter, Message, Recipient, State, Suppression
from django_authmail.outbox import limits, rows
from django_authmail.outbox.announcing import announce
from django_authmail.outbox.record import Record
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry
from django_authmail.transactions import retried
from django_authmail.webhooks import erasure as webhooks
from django_authmail.webhooks import recording

BATCH = 200
#: What stands in a row instead of an address that was erased.
NOBODY = "***"
_ERASED = Failure(error_code=ErrorCode.UNKNOWN, reason=Reason.ERASED, retry=Retry.NEVER)


@dataclass(slots=True, kw_only=True)
class Erased:
    """What became of all that was stored about an address."""

    #: Messages for it alone, deleted.
    messages: int = 0
    #: Messages for others too, in which nothing is left of it.
    shared: int = 0
    #: Of both, those that were still to be sent to it, and are not.
    ended: int = 0
    suppressions: int = 0
    counters: int = 0
    #: Messages that a worker is handing over at this moment. They are left: ask again in a minute.
    busy: int = 0


def messages_to(address: str, *, all_spellings: bool = False) -> QuerySet[Message]:
    """Return the messages to `address`, newest first, without their sealed content.

    As it is written, and in lower case. With `all_spellings`, to the same mailbox, whatever the
    case and the +tag; that reads the whole table.

    Raises:
        InvalidAddress, UnsafeHeader: it is no address.
    """
    found = recipients_of(address, all_spellings=all_spellings)
    return (
        Message.objects.using(found.db)
        .filter(id__in=found.values("message_id"))
        .defer("sealed")
        .order_by("-created_at")
    )


def recipients_of(address: str, *, all_spellings: bool = False) -> QuerySet[Recipient]:
    """Return what messages have about `address` alone, as `messages_to` finds them."""
    matches = Q(address_hash__in=_exact(address))
    if all_spellings:
        matches |= Q(folded_hash__in=folded_hashes(envelope_address(address, "address")))
    return Recipient.objects.using(router.db_for_write(Message)).filter(matches)


def suppressions_of(address: str) -> QuerySet[Suppression]:
    """Return the suppressions of `address`, of every owner."""
    return Suppression.objects.using(router.db_for_write(Suppression)).filter(
        address_hash__in=_exact(address)
    )


def counters_of(address: str) -> QuerySet[Counter]:
    """Return how often the mailbox of `address` was written to, where that is limited."""
    matches = Q()
    for prefix in limits.prefixes(envelope_address(address, "address")):
        matches |= Q(key__startswith=prefix)
    return Counter.objects.using(router.db_for_write(Counter)).filter(matches).order_by("key")


def erase(address: str, *, all_spellings: bool = False) -> Erased:
    """Delete what is stored about `address`, and end what is still to be sent to it.

    Encrypted copies of open mail may outlive it in a database's log or backup.

    Raises:
        InvalidAddress, UnsafeHeader: it is no address.
    """
    using = router.db_for_write(Message)
    erased = Erased(suppressions=suppressions_of(address).delete()[0])
    erased.counters = counters_of(address).delete()[0]
    found = recipients_of(address, all_spellings=all_spellings)
    ids = list(found.order_by("message_id").values_list("message_id", flat=True).distinct())
    for start in range(0, len(ids), BATCH):
        _erase(ids[start : start + BATCH], found, erased, using)
    return erased


def _erase(ids: list[uuid.UUID], found: QuerySet[Recipient], erased: Erased, using: str) -> None:
    def work() -> tuple[list[Record], list[Record], int, int]:
        wanted = Message.objects.using(using).filter(id__in=ids).defer("sealed").order_by("id")
        records = rows.load(rows.locked(wanted, using), using)
        now = db_now(using)
        theirs = set(found.filter(message_id__in=ids).values_list("id", flat=True))
        free = [r for r in records.values() if r.row.state != State.SENDING]
        ended = 0
        finished = []
        for record in free:
            if not (pending := [r for r in record.pending if r.id in theirs]):
                continue  # it is final, or has been settled for them
            ended += 1
            record.leave_out(pending, _ERASED, now)
            if record.row.is_final:
                announce(record.row, using)
                finished.append(record)
        alone = [r for r in free if all(each.id in theirs for each in r.recipients)]
        shared = [r for r in free if r not in alone]
        # Those for it alone take their webhooks along.
        recording.record([r for r in finished if r in shared], now, using)
        rows.store(free, using)
        Message.objects.using(using).filter(id__in=[r.row.id for r in alone]).delete()
        hashes = {each.address_hash for r in shared for each in r.recipients if each.id in theirs}
        webhooks.forget([r.row.id for r in shared], hashes, using)
        _anonymise(shared, theirs, using)
        return alone, shared, ended, len(records) - len(free)

    alone, shared, ended, busy = retried(work, using=using)
    erased.messages += len(alone)
    erased.shared += len(shared)
    erased.ended += ended
    erased.busy += busy


def _anonymise(shared: list[Record], theirs: set[int], using: str) -> None:
    """Take what names the recipients `theirs` out of messages that others got too."""
    Recipient.objects.using(using).filter(
        message_id__in=[r.row.id for r in shared], id__in=theirs
    ).update(masked=NOBODY, address="", address_hash="", folded_hash="", reply_text="")
    # A message shows the first of its recipients.
    first = [r.row.id for r in shared if r.recipients[0].id in theirs]
    Message.objects.using(using).filter(id__in=first).update(masked_recipient=NOBODY)


def _exact(address: str) -> list[str]:
    bare = envelope_address(address, "address")
    # The local part is case-sensitive by the book only.
    return [found for each in {bare, bare.lower()} for found in address_hashes(each)]
