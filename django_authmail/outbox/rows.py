"""How messages, recipients and attempts are read and written, many at once.

Called by the verbs of `queue` alone, inside their transactions. Each function sends a fixed number
of statements to PostgreSQL, however many messages it is given; others may get one for each row.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from django.db import connections
from django.db.models import QuerySet

from django_authmail import statements, tracing
from django_authmail.conf import conf
from django_authmail.hashes import address_hash, folded_hash, mask
from django_authmail.message import Envelope, OnUnknown
from django_authmail.message import Priority as WantedPriority
from django_authmail.models import Attempt, Message, Priority, Recipient, State
from django_authmail.outbox import body
from django_authmail.outbox.lease import LEASE_MARGIN
from django_authmail.outbox.record import Record
from django_authmail.statements import Trip
from django_authmail.webhooks import callbacks
from django_authmail.webhooks.callbacks import Callback

#: What a change of state may write. The rest of a row stays as it was submitted.
_MESSAGE = (
    "state", "due_at", "lease", "resend_count", "attempt_count", "error_code", "reason",
    "provider_id", "accepted_at", "settled_at",
)  # fmt: skip
_FINAL = (*_MESSAGE, "sealed", "webhook", "supersede_hash")
_RECIPIENT = ("state", "error_code", "reason", "reply_code", "reply_enhanced", "reply_text")
_ATTEMPT = (
    "started_at", "duration_ms", "carrier", "result", "error_code", "reason", "reply_code",
    "reply_enhanced", "reply_text",
)  # fmt: skip


class Recordable(Protocol):
    """A mail that can be recorded: an AuthMessage, or bytes with the same facts about them."""

    @property
    def envelope(self) -> Envelope: ...
    @property
    def message_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def locale(self) -> str: ...
    @property
    def expires_in(self) -> timedelta | None: ...
    @property
    def on_unknown(self) -> OnUnknown: ...
    @property
    def priority(self) -> WantedPriority: ...
    @property
    def supersedes(self) -> bool: ...
    @property
    def supersede_key(self) -> str: ...
    @property
    def metadata(self) -> tuple[tuple[str, str], ...]: ...
    def as_bytes(self) -> bytes: ...


@dataclass(slots=True, kw_only=True)
class New:
    """A row that is not stored yet, and what it is made of."""

    row: Message
    recipients: list[Recipient]
    envelope: Envelope
    content: bytes = field(repr=False)


def new(
    message: Recordable,
    now: datetime,
    *,
    owner: str,
    request_id: str,
    deliver_using: Sequence[str],
    supersede_hash: str,
    is_test: bool = False,
    lease: timedelta | None = None,
    retry_of: uuid.UUID | None = None,
    callback: Callback | None = None,
) -> New:
    """Return the row for a new message.

    `supersede_hash` is what a newer one finds it by; empty: none takes its place. With `lease`, the
    row is one that is being sent, by a caller who waits that long. `retry_of` is the failed one
    that it takes up again, and `callback` where its outcome is to be sent to.
    """
    envelope = message.envelope
    content = message.as_bytes()
    row = Message(
        kind=message.kind,
        locale=message.locale,
        message_id=message.message_id[:255],
        owner=owner,
        request_id=request_id,
        is_test=is_test,
        masked_recipient=mask(envelope.recipients[0])[:320],
        recipient_count=len(envelope.recipients),
        size=len(content),
        expires_at=None if message.expires_in is None else now + message.expires_in,
        on_unknown=message.on_unknown,
        priority=Priority[message.priority.name],
        deliver_using=list(deliver_using),
        metadata=dict(message.metadata),
        traceparent=tracing.traceparent(),
        retry_of_id=retry_of,
        created_at=now,
        state=State.QUEUED if lease is None else State.SENDING,
        lease=None if lease is None else uuid.uuid4(),
        due_at=now if lease is None else now + lease + LEASE_MARGIN,
        supersede_hash=supersede_hash,
    )
    row.sealed = body.pack(row.id, envelope, content)
    if callback is not None:
        row.webhook = callbacks.pack(row.id, callback, envelope.recipients)
    recipients = [
        Recipient(
            message=row,
            position=position,
            masked=mask(address)[:320],
            address=address if conf.store_addresses else "",
            address_hash=address_hash(address),
            folded_hash=folded_hash(address),
        )
        for position, address in enumerate(envelope.recipients)
    ]
    return New(row=row, recipients=recipients, envelope=envelope, content=content)


def insert(created: Collection[New], trip: Trip) -> None:
    """Insert new messages and their recipients."""
    trip.insert([one.row for one in created])
    trip.insert([r for one in created for r in one.recipients])


def locks(using: str) -> bool:
    """Whether the database can lock rows and pass over those that others have locked."""
    return connections[using].features.has_select_for_update_skip_locked


@contextmanager
def in_order(using: str) -> Iterator[None]:
    """Let the database find what is due first by the order of its index, inside of the block.

    PostgreSQL goes by statistics, which know nothing of a new table, nor of a burst: to collect all
    that is due and sort it seems as good. With 20,000 mails due that was 60 ms for each claim.
    """
    if connections[using].vendor != "postgresql":
        yield
        return
    with Trip(using) as trip:
        trip.ask("SET LOCAL enable_bitmapscan = off")
    yield
    # The transaction may be the caller's. After an error there is nothing to be set any more.
    with Trip(using) as trip:
        trip.ask("SET LOCAL enable_bitmapscan TO DEFAULT")


def locked(rows: QuerySet[Message], using: str, *, skip: bool = False) -> QuerySet[Message]:
    """Lock what `rows` finds until the transaction ends, where the database can.

    With `skip`, those that others have locked are passed over, where the database can do that.
    """
    if skip and not locks(using):
        return rows
    # In one order, so that two that lock several of the same rows wait instead of deadlocking.
    return rows.select_for_update(skip_locked=skip)


def ask_leases(ids: Iterable[uuid.UUID], trip: Trip) -> Callable[[], dict[uuid.UUID, uuid.UUID]]:
    """Lock messages, where the database can; what comes back tells after the trip their leases."""
    key, lease = Message._meta.pk, Message._meta.get_field("lease")
    connection = connections[trip.using]
    # In one order, so that two that lock several of the same rows wait instead of deadlocking.
    wanted = [key.get_db_prep_value(id, connection) for id in sorted(ids)]
    locking = " FOR UPDATE" if connection.features.has_select_for_update else ""
    found = trip.ask(
        f"SELECT id, lease FROM {statements.table(Message, trip.using)} "  # noqa: S608 - a name of ours
        f"WHERE id IN {statements.marks(wanted)} ORDER BY id{locking}",
        wanted,
    )
    return lambda: {
        key.to_python(id): lease.to_python(held) for id, held in found if held is not None
    }


def load(rows: Iterable[Message], using: str) -> dict[uuid.UUID, Record]:
    """Return the records of `rows`, which are locked or claimed by the caller, by id."""
    records = {row.id: Record(row=row, recipients=[]) for row in rows}
    if not records:
        return records
    # Not row.recipients: a project's router may send that to a replica, which is behind.
    recipients = Recipient.objects.using(using).filter(message_id__in=list(records))
    for recipient in recipients.order_by("position"):
        records[recipient.message_id].recipients.append(recipient)
    # Most messages have not been tried before, and those that were say so.
    rows_ = [record.row for record in records.values()]
    tried = [row.id for row in rows_ if row.attempt_count or row.reason or row.carrier]
    if tried:
        attempts = Attempt.objects.using(using).filter(message_id__in=tried)
        for attempt in attempts.order_by("number"):
            records[attempt.message_id].last_attempt = attempt
    return records


def store(records: Collection[Record], using: str, *, ends: bool = False) -> None:
    """Write what has changed in `records`; with `ends`, as the last of a transaction."""
    attempts = [r.attempt for r in records if r.attempt is not None]
    with Trip(using, ends=ends) as trip:
        trip.update([r.row for r in records if not r.row.is_final], _MESSAGE)
        trip.update([r.row for r in records if r.row.is_final], _FINAL)
        trip.update([changed for r in records for changed in r.changed], _RECIPIENT)
        trip.update([a for a in attempts if not _is_new(a)], _ATTEMPT)
        trip.insert([a for a in attempts if _is_new(a)], keys=False)
    for record in records:
        if record.attempt is not None and _is_new(record.attempt):
            record.is_current = False  # the database was not asked for its key
        record.changed, record.attempt = [], None


def _is_new(attempt: Attempt) -> bool:
    return attempt.pk is None
