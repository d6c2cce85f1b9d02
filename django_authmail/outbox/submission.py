"""How a message enters the queue, and what it takes the place of."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import chain

from django.db import router, transaction

from django_authmail import statements
from django_authmail.conf import conf
from django_authmail.hashes import supersede_hashes
from django_authmail.models import Message, State
from django_authmail.outbox import counters, rows, suppression
from django_authmail.outbox.announcing import announce, announce_queued
from django_authmail.outbox.intake import Intake
from django_authmail.outbox.lease import Claim, claim_of
from django_authmail.outbox.record import Record
from django_authmail.outbox.rows import New, Recordable
from django_authmail.outbox.settlement import CALLER_PATIENCE
from django_authmail.statements import Rows, Trip
from django_authmail.transactions import explained, retried
from django_authmail.webhooks import recording


def submit(
    message: Recordable,
    *,
    owner: str = "site",
    request_id: str = "",
    deliver_using: Sequence[str] = (),
    is_test: bool = False,
    intake: Intake | None = None,
) -> Message:
    """Record `message` for sending in the background and return its row.

    Call it inside the transaction of what caused the mail: if that is rolled back, no mail leaves.
    `deliver_using` names the carriers that it may leave by, in their order; none stands for
    AUTHMAIL_DELIVER_USING. An address that is suppressed is left out, and a message for no other
    is `failed` at once. One that `is_test` is `accepted` in its turn, and leaves by no carrier.
    `intake` is of a request of the API; its errors are passed on.
    """
    if intake is not None:
        return _taken_in(
            message,
            intake,
            owner=owner,
            request_id=request_id,
            deliver_using=deliver_using,
            is_test=is_test,
        ).row
    [row] = submit_many(
        [message],
        owner=owner,
        request_id=request_id,
        deliver_using=deliver_using,
        is_test=is_test,
    )
    return row


def submit_many(
    messages: Collection[Recordable],
    *,
    owner: str = "site",
    request_id: str = "",
    deliver_using: Sequence[str] = (),
    is_test: bool = False,
) -> list[Message]:
    """Record `messages` as `submit` does, all of them or none, in few queries."""
    using = router.db_for_write(Message)
    with explained(using), transaction.atomic(using=using):
        now, dead = _time_and_suppressed(messages, using, owner=owner)
        hashes = [_supersede_hashes(message, owner=owner) for message in messages]
        created = [
            rows.new(
                message,
                now,
                owner=owner,
                request_id=request_id,
                deliver_using=deliver_using,
                supersede_hash=own[0] if own else "",
                is_test=is_test,
            )
            for message, own in zip(messages, hashes, strict=True)
        ]
        ended = _left_out(created, dead, now)
        with Trip(using) as trip:
            rows.insert(created, trip)
            older = _ask_older(list(chain.from_iterable(hashes)), trip)
        recording.record(ended, now, using)
        # Of several new ones the last stays, as if they had been submitted one by one.
        newest = {one.row.supersede_hash: one.row.id for one in created if one.row.supersede_hash}
        _supersede(older, now, using, but=newest.values())
        _announce(created, using)
    return [one.row for one in created]


def submit_claimed(
    message: Recordable,
    *,
    owner: str = "site",
    request_id: str = "",
    deliver_using: Sequence[str] = (),
    is_test: bool = False,
    intake: Intake | None = None,
) -> tuple[Message, Claim]:
    """Record `message` as being sent by the caller, and return its row and claim.

    The row is committed before this returns: were the process to die in the middle of the
    hand-over, the row would say so. Who waits for an answer asks `suppression.refuse` before.
    `intake` is of a request of the API; its errors are passed on. Raises RuntimeError inside a
    transaction.
    """
    one = _taken_in(
        message,
        intake,
        owner=owner,
        request_id=request_id,
        deliver_using=deliver_using,
        is_test=is_test,
        lease=conf.sync_deadline,
    )
    record = Record(row=one.row, recipients=one.recipients)
    # MySQL does not tell the keys of what was inserted: what is to be changed is read again then.
    record.is_current = all(recipient.pk is not None for recipient in one.recipients)
    return one.row, claim_of(record, one.envelope, one.content, one.row.created_at)


def _taken_in(
    message: Recordable,
    intake: Intake | None,
    *,
    owner: str,
    request_id: str,
    deliver_using: Sequence[str],
    is_test: bool,
    lease: timedelta | None = None,
) -> New:
    """Record a message that a caller waits for, by one transaction; with `lease`, a durable one."""
    using = router.db_for_write(Message)
    hashes = _supersede_hashes(message, owner=owner)
    written: list[New] = []

    def record() -> New:
        if written and Message.objects.using(using).filter(id=written[-1].row.id).exists():
            # The COMMIT before was done, though its answer was lost: a second row would be a
            # second mail.
            if lease is None:
                _announce(written, using)
            return written[-1]
        opened = Trip(using) if intake is None else intake.trip(using)
        with opened as trip:
            admit = (
                None if intake is None else intake.ask(message, trip, owner=owner, is_test=is_test)
            )
            # Behind the count, which waits for another message to the same mailbox: to find it.
            is_counted = counters.count_along(using)
            older = _ask_older(hashes, trip) if is_counted else []
            # Last: counting may have waited for another message to the same mailbox, and this one
            # is the later of the two.
            time = trip.ask_time()
        now = time()
        if admit is not None:
            admit(now)
        if not is_counted:
            with Trip(using) as trip:
                older = _ask_older(hashes, trip)
        _supersede(older, now, using)
        one = rows.new(
            message,
            now,
            owner=owner,
            request_id=request_id,
            deliver_using=deliver_using,
            supersede_hash=hashes[0] if hashes else "",
            is_test=is_test,
            lease=lease,
            retry_of=None if intake is None else intake.retry_of,
            callback=None if intake is None else intake.callback,
        )
        # Before the trip, which may fail at nothing but COMMIT's answer.
        written[:] = [one]
        with Trip(using, ends=True) as trip:
            rows.insert([one], trip)
            if intake is not None:
                intake.close(one.row, trip)
        if lease is None:
            _announce([one], using)
        return one

    return retried(record, using=using, patience=CALLER_PATIENCE, durable=lease is not None)


def _announce(created: Collection[New], using: str) -> None:
    for one in created:
        announce(one.row, using, to=one.envelope.recipients[0])
        if not one.row.is_final:
            announce_queued(one.row, using)


def _time_and_suppressed(
    messages: Collection[Recordable], using: str, *, owner: str
) -> tuple[datetime, set[str]]:
    """Return the time of the transaction, and the addresses that are suppressed."""
    addresses = {address for message in messages for address in message.envelope.recipients}
    with Trip(using) as trip:
        time = trip.ask_time()
        suppressed = suppression.ask(addresses, trip, owner=owner)
    now = time()
    return now, suppressed(now)


def _left_out(created: list[New], dead: Collection[str], now: datetime) -> list[Record]:
    """Leave out the addresses that are suppressed, and return the messages that end by that."""
    if not dead:
        return []
    ended = []
    for one in created:
        out = [r for r in one.recipients if one.envelope.recipients[r.position] in dead]
        record = Record(row=one.row, recipients=one.recipients)
        record.leave_out(out, suppression.SUPPRESSED, now)
        if one.row.is_final:
            ended.append(record)
    return ended


def _supersede_hashes(message: Recordable, *, owner: str) -> list[str]:
    """Return what messages are known by that `message` takes the place of, its own hash first."""
    recipients = message.envelope.recipients
    if not message.supersedes or len(recipients) != 1:
        return []
    return supersede_hashes(owner, message.kind, recipients[0], message.supersede_key)


def _ask_older(hashes: Sequence[str], trip: Trip) -> Rows:
    """Return what will have the ids of queued messages that are known by these."""
    if not hashes:
        return []
    return trip.ask(
        f"SELECT id FROM {statements.table(Message, trip.using)} "  # noqa: S608 - a name of ours
        f"WHERE supersede_hash IN {statements.marks(hashes)} AND state = %s",
        [*hashes, State.QUEUED],
    )


def _supersede(older: Rows, now: datetime, using: str, *, but: Collection[uuid.UUID] = ()) -> None:
    """End older messages that new ones take the place of: nearly always none.

    One that a worker is claiming at this moment leaves: it is locked, and is passed over instead
    of being waited for. Two that are submitted at the same moment do not see each other, and both
    leave, as they would have a moment earlier.
    """
    ids = {Message._meta.pk.to_python(id) for (id,) in older} - set(but)
    if not ids:
        return
    queued = Message.objects.using(using).filter(id__in=ids, state=State.QUEUED).defer("sealed")
    records = rows.load(rows.locked(queued, using, skip=True), using)
    for record in records.values():
        record.finish(State.SUPERSEDED, None, now)
    recording.record(records.values(), now, using)
    rows.store(records.values(), using)
    for record in records.values():
        announce(record.row, using)
