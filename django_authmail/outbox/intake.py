"""What a request of the API adds to the transaction that records its message.

Its Idempotency-Key and its use of the recipients' limits stand or fall with the message: a repeat
that finds itself outrun has used nothing up, and neither has one that is refused, or a process that
died.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.db import Error, IntegrityError

from django_authmail.exceptions import Outrun, RecipientSuppressed
from django_authmail.logs import named
from django_authmail.models import Message
from django_authmail.outbox import counters, limits, suppression
from django_authmail.outbox.counters import Use
from django_authmail.outbox.idempotency import Entry
from django_authmail.outbox.rows import Recordable
from django_authmail.outbox.settlement import CALLER_PATIENCE
from django_authmail.statements import Trip
from django_authmail.webhooks.callbacks import Callback

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Intake:
    """One request. Without an `entry`, it has no Idempotency-Key."""

    entry: Entry | None = None
    #: Where the outcome is to be sent to.
    callback: Callback | None = None
    _use: Use | None = field(default=None, init=False)

    @property
    def retry_of(self) -> uuid.UUID | None:
        """The failed message that is taken up again."""
        retried = None if self.entry is None else self.entry.retried
        return None if retried is None else retried.id

    @contextmanager
    def trip(self, using: str) -> Iterator[Trip]:
        """Give the way to the database that comes before the message's row; begin with `ask`.

        Raises:
            Outrun: another request with the same key was faster.
        """
        try:
            with Trip(using) as trip:
                if self.entry is not None:
                    self.entry.begin(trip)
                yield trip
        except IntegrityError as error:
            if self.entry is None:
                raise
            # The key of its record, unless the tables are not this package's own.
            raise Outrun from error

    def ask(
        self, message: Recordable, trip: Trip, *, owner: str, is_test: bool
    ) -> Callable[[datetime], None]:
        """Ask whether the message may be sent, and count it.

        What comes back raises after the trip, and takes the time of the transaction.

        Raises:
            RecipientSuppressed: nothing is sent to a recipient.
            RecipientCooldown: a recipient had enough of this kind.
        """
        suppressed = suppression.ask(message.envelope.recipients, trip, owner=owner)
        use = limits.ask_within(message, trip, is_test=is_test)

        def admit(now: datetime) -> None:
            if found := suppressed(now):
                raise RecipientSuppressed(frozenset(found))
            self._use = use(now)

        return admit

    def close(self, row: Message, trip: Trip) -> None:
        """Do what needs the message's row to be there, along with it."""
        if self.entry is not None:
            self.entry.point_to(row, trip)

    def give_back(self) -> None:
        """Count nothing against the recipients: the message surely was not sent.

        A database that fails is logged, and it counts: the outcome is more urgent.
        """
        if self._use is None:
            return
        try:
            counters.give_back(self._use, patience=CALLER_PATIENCE)
        except Error as error:
            logger.warning("recipient.use_not_given_back error=%s", named(error))
