"""Whose key it is, by the database, and for a few seconds by the memory of this process.

What is remembered are keys that are valid: nobody can fill the memory with guesses. A key is found
by its SHA-256, so how long an index or a dict takes says nothing about any key. One that is not
known costs one query, and so does one that is not given: both take the same time.
"""

from __future__ import annotations

import ipaddress
import logging
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error, router
from django.db.models import Q
from django.views.decorators.debug import sensitive_variables

from django_authmail import keys
from django_authmail.clock import db_now
from django_authmail.logs import named
from django_authmail.models import ApiKey

logger = logging.getLogger(__name__)

#: Seconds that a process goes by what it knows of a key: so long does a key that is revoked
#: elsewhere go on. In the process that revokes it, it ends at once.
REVOCATION_DELAY = 5.0
#: `last_used_at` is for people; a write per request would cost more than it tells.
_LAST_USE_PRECISION = timedelta(minutes=1)
#: More keys than anybody has in use at once; at about 1 kB each.
_MOST_REMEMBERED = 1000

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class KeyUnknown(Exception):
    """Raised for a key that never was, or was revoked."""


class KeyExpired(Exception):
    """Raised for a key whose time is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever holds the key of a request, and what the key allows."""

    #: As in `Message.owner`.
    owner: str
    scopes: frozenset[str]
    #: Empty: from anywhere.
    networks: tuple[Network, ...] = ()
    #: Addresses, and domains as `@example.com`. Empty: anybody.
    recipients: frozenset[str] = frozenset()
    #: None: AUTHMAIL_RATE_LIMIT_PER_MINUTE; 0: no limit.
    rate_per_minute: int | None = None
    is_test: bool = False

    def may_come_from(self, address: Address | None) -> bool:
        """Tell whether the key may be used from `address`; None is one that is not known."""
        if not self.networks:
            return True
        return address is not None and any(address in network for network in self.networks)

    def may_send_to(self, address: str) -> bool:
        """Tell whether the key may send to `address`, an envelope address."""
        address = address.lower()
        domain = f"@{address.rpartition('@')[2]}"
        return not self.recipients or address in self.recipients or domain in self.recipients


@dataclass(slots=True, kw_only=True)
class _Known:
    """What this process knows of a key. Times are those of `time.monotonic`."""

    caller: Caller
    id: uuid.UUID
    prefix: str
    until: float
    #: When the key expires; infinite: never.
    ends: float
    #: When its use is to be noted again.
    note_at: float


_known: dict[str, _Known] = {}


@sensitive_variables()
def find(key: str) -> Caller:
    """Return who holds `key`, and note that it was used.

    Raises:
        KeyUnknown: it never was, or was revoked.
        KeyExpired: its time is over.
    """
    digest = keys.digest(key)
    now = time.monotonic()
    known = _known.get(digest)
    if known is None or known.until <= now:
        known = _load(digest, now)
    if known.ends <= now:
        raise KeyExpired
    if known.note_at <= now:
        # Before the write: of several threads one is enough.
        known.note_at = now + _LAST_USE_PRECISION.total_seconds()
        _note_use(known)
    return known.caller


def forget() -> None:
    """Ask the database anew: a key was revoked, or has other terms."""
    _known.clear()


def _load(digest: str, now: float) -> _Known:
    using = router.db_for_write(ApiKey)  # a replica may not know of a revocation yet
    row = ApiKey.objects.using(using).filter(digest=digest, revoked_at=None).first()
    if row is None:
        _known.pop(digest, None)
        raise KeyUnknown
    clock = db_now(using)
    known = _Known(
        caller=Caller(
            owner=f"key:{row.holder}",
            scopes=frozenset(row.scopes),
            networks=tuple(map(ipaddress.ip_network, row.networks)),
            recipients=frozenset(row.recipients),
            rate_per_minute=row.rate_per_minute,
            is_test=keys.is_test(row.prefix),
        ),
        id=row.pk,
        prefix=row.prefix,
        until=now + REVOCATION_DELAY,
        ends=now + _seconds(row.expires_at, clock, never=float("inf")),
        note_at=now + _seconds(_note_at(row), clock, never=0),
    )
    if len(_known) >= _MOST_REMEMBERED:
        _known.clear()
    _known[digest] = known
    return known


def _note_at(row: ApiKey) -> datetime | None:
    return None if row.last_used_at is None else row.last_used_at + _LAST_USE_PRECISION


def _seconds(until: datetime | None, now: datetime, *, never: float) -> float:
    return never if until is None else (until - now).total_seconds()


def _note_use(known: _Known) -> None:
    using = router.db_for_write(ApiKey)
    try:
        now = db_now(using)
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - _LAST_USE_PRECISION)
        ApiKey.objects.using(using).filter(stale, pk=known.id).update(last_used_at=now)
    except Error as error:
        # A busy database must not turn a note about a key into a refused mail.
        logger.warning("last use of key %s not recorded: %s", known.prefix, named(error))
