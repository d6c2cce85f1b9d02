"""Addresses that a server called dead: nothing is sent to them for a while.

Only a reply to RCPT that says so of the address itself adds one (contract, section 6); a policy, or
a mistake in the project's own SPF, must not lock its users out. Each belongs to the owner whose
mail found out, so that no caller learns of another's recipients.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import connections, router
from django.db.models import QuerySet

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import RecipientSuppressed
from django_authmail.hashes import address_hashes
from django_authmail.models import Recipient, Suppression
from django_authmail.outbox import statements
from django_authmail.outbox.record import Record
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry

logger = logging.getLogger(__name__)

#: The reasons that suppress an address. `smtp.replies` gives them to answers to RCPT alone.
SUPPRESSING = frozenset((Reason.BAD_RECIPIENT, Reason.MAILBOX_DISABLED))

#: Why a message, or a recipient of one, was not sent.
SUPPRESSED = Failure(
    error_code=ErrorCode.RECIPIENT_REFUSED, reason=Reason.SUPPRESSED, retry=Retry.NEVER
)


def among(addresses: Collection[str], now: datetime, using: str, *, owner: str) -> set[str]:
    """Return those of `addresses` that nothing of `owner` is sent to at the moment."""
    if not addresses or not conf.suppress_for:
        return set()
    # By every key: an address that was suppressed before a rotation has the hash of its time.
    by_hash = {found: address for address in addresses for found in address_hashes(address)}
    found = statements.execute(
        f"SELECT address_hash FROM {statements.table(Suppression, using)} "  # noqa: S608 - a name of ours
        f"WHERE owner = %s AND address_hash IN {statements.marks(by_hash)} AND ends_at > %s",
        [owner, *by_hash, statements.moment(now, using)],
        using,
    )
    return {by_hash[hash] for (hash,) in found}


def refuse(addresses: Collection[str], *, owner: str, now: datetime | None = None) -> None:
    """Raise RecipientSuppressed if nothing of `owner` is sent to one of `addresses`."""
    using = router.db_for_write(Suppression)
    if found := among(addresses, now or db_now(using), using, owner=owner):
        raise RecipientSuppressed(frozenset(found))


def learn(records: Iterable[Record], *, now: datetime, using: str) -> None:
    """Take over what servers said about the recipients of messages that are being settled.

    Inside of the transaction that settles them.
    """
    if not conf.suppress_for:
        return
    dead: dict[tuple[str, str], Suppression] = {}
    alive: list[tuple[str, str]] = []
    for record in records:
        owner = record.row.owner
        for recipient in record.changed:
            place = owner, recipient.address_hash
            if recipient.state == Recipient.State.ACCEPTED:
                alive.append(place)
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
    if alive:
        _forget(alive, using)
    if dead:
        # In one order: two that add the same addresses must not wait for each other.
        _remember([dead[place] for place in sorted(dead)], using)


def lift(rows: QuerySet[Suppression]) -> int:
    """Send to these addresses again; return how many there were."""
    return rows.delete()[0]


def _forget(places: Collection[tuple[str, str]], using: str) -> None:
    # Read first: it locks nothing, and nearly always there is nothing to delete.
    wanted = set(places)
    hashes = sorted({hash for _, hash in wanted})
    rows = statements.execute(
        f"SELECT id, owner, address_hash FROM {statements.table(Suppression, using)} "  # noqa: S608 - a name of ours
        f"WHERE address_hash IN {statements.marks(hashes)}",
        hashes,
        using,
    )
    ids = [id for id, owner, hash in rows if (owner, hash) in wanted]
    if ids:
        Suppression.objects.using(using).filter(id__in=ids).delete()


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
