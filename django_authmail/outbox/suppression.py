"""Addresses that a server called dead: nothing is sent to them for a while.

Only a reply to RCPT that says so of the address itself adds one (contract, section 6); a policy, or
a mistake in the project's own SPF, must not lock its users out. Each belongs to the owner whose
mail found out, so that no caller learns of another's recipients.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from django.db import connections, router
from django.db.models import QuerySet

from django_authmail import statements
from django_authmail.conf import conf
from django_authmail.exceptions import RecipientSuppressed
from django_authmail.hashes import address_hashes
from django_authmail.models import Recipient, Suppression
from django_authmail.outbox.record import Record
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry
from django_authmail.statements import Rows, Trip

logger = logging.getLogger(__name__)

#: The reasons that suppress an address. `smtp.replies` gives them to answers to RCPT alone.
SUPPRESSING = frozenset((Reason.BAD_RECIPIENT, Reason.MAILBOX_DISABLED))

#: Why a message, or a recipient of one, was not sent.
SUPPRESSED = Failure(
    error_code=ErrorCode.RECIPIENT_REFUSED, reason=Reason.SUPPRESSED, retry=Retry.NEVER
)


def ask(addresses: Collection[str], trip: Trip, *, owner: str) -> Callable[[datetime], set[str]]:
    """Return what tells after the trip to which of `addresses` nothing of `owner` is sent.

    It takes the time that this is asked for.
    """
    if not addresses or not conf.suppress_for:
        return lambda now: set()
    using = trip.using
    # By every key: an address that was suppressed before a rotation has the hash of its time.
    by_hash = {found: address for address in addresses for found in address_hashes(address)}
    found = trip.ask(
        f"SELECT address_hash, ends_at FROM {statements.table(Suppression, using)} "  # noqa: S608 - a name of ours
        f"WHERE owner = %s AND address_hash IN {statements.marks(by_hash)}",
        [owner, *by_hash],
    )
    return lambda now: {
        by_hash[hash] for hash, ends_at in found if statements.moment(ends_at, using) > now
    }


def refuse(addresses: Collection[str], *, owner: str) -> None:
    """Raise RecipientSuppressed if nothing of `owner` is sent to one of `addresses`."""
    with Trip(router.db_for_write(Suppression)) as trip:
        now = trip.ask_time()
        suppressed = ask(addresses, trip, owner=owner)
    if found := suppressed(now()):
        raise RecipientSuppressed(frozenset(found))


def ask_known(addresses: Iterable[Recipient], trip: Trip) -> Rows:
    """Return what will have the rows that `learn` may delete."""
    hashes = sorted({recipient.address_hash for recipient in addresses})
    if not hashes or not conf.suppress_for:
        return []
    # It locks nothing, and nearly always there is nothing to delete.
    return trip.ask(
        f"SELECT id, owner, address_hash FROM {statements.table(Suppression, trip.using)} "  # noqa: S608 - a name of ours
        f"WHERE address_hash IN {statements.marks(hashes)}",
        hashes,
    )


def learn(records: Iterable[Record], known: Rows, *, now: datetime, using: str) -> None:
    """Take over what servers said about the recipients of messages that are being settled.

    Inside of the transaction that settles them; `known` is from `ask_known`.
    """
    if not conf.suppress_for:
        return
    dead: dict[tuple[str, str], Suppression] = {}
    alive: set[tuple[str, str]] = set()
    for record in records:
        owner = record.row.owner
        for recipient in record.changed:
            place = owner, recipient.address_hash
            if recipient.state == Recipient.State.ACCEPTED:
                alive.add(place)
            elif recipient.reason in SUPPRESSING and recipient.reply_code is not None:
                dead[place] = Suppression(
                    owner=owner,
                    address_hash=recipient.address_hash,
                    masked=recipient.masked,
                    address=recipient.address,
                    reason=recipient.reason,
                    created_at=now,
                    ends_at=now + conf.suppress_for,
                )
    if ids := [id for id, owner, hash in known if (owner, hash) in alive]:
        Suppression.objects.using(using).filter(id__in=ids).delete()
    if dead:
        # In one order: two that add the same addresses must not wait for each other.
        _remember([dead[place] for place in sorted(dead)], using)


def lift(rows: QuerySet[Suppression]) -> int:
    """Send to these addresses again; return how many there were."""
    return rows.delete()[0]


def _remember(rows: list[Suppression], using: str) -> None:
    # MySQL finds the unique key that is in the way by itself, and takes no name for it.
    takes_target = connections[using].features.supports_update_conflicts_with_target
    Suppression.objects.using(using).bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["owner", "address_hash"] if takes_target else None,
        update_fields=["masked", "address", "reason", "created_at", "ends_at"],
    )
    for row in rows:
        logger.info("recipient.suppressed owner=%s reason=%s", row.owner, row.reason)
