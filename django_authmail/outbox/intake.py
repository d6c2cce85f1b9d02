"""What a request of the API adds to the transaction that records its message.

Its Idempotency-Key and its use of the recipients' limits stand or fall with the message: a repeat
that finds itself outrun has used nothing up, and neither has a process that died.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from django_authmail.models import Message
from django_authmail.outbox import counters, limits
from django_authmail.outbox.counters import Use
from django_authmail.outbox.idempotency import Entry
from django_authmail.outbox.rows import Recordable
from django_authmail.webhooks.callbacks import Callback


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

    def open(self, message: Recordable, using: str, *, is_test: bool) -> None:
        """Do what comes before the message's row.

        Raises:
            Outrun: another request with the same key was faster.
            RecipientCooldown: a recipient had enough of this kind.
        """
        if self.entry is not None:
            self.entry.begin(using)
        self._use = limits.admit(message, is_test=is_test)

    def close(self, row: Message, using: str) -> None:
        """Do what needs the message's row to be there."""
        if self.entry is not None:
            self.entry.point_to(row, using)

    def give_back(self) -> None:
        """Count nothing against the recipients: the message surely was not sent."""
        if self._use is not None:
            counters.give_back(self._use)
