"""How messages, recipients and attempts are written; called by the verbs of `queue` alone."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from django_authmail.clock import db_now
from django_authmail.hashes import address_hash, folded_hash, mask
from django_authmail.message import AuthMessage, Envelope
from django_authmail.models import Attempt, Message, Recipient, State
from django_authmail.outbox import body
from django_authmail.outbox.lease import LEASE_MARGIN, Claim
from django_authmail.outcomes import Failure, Reply, Retry, SendResult


def insert(
    message: AuthMessage,
    using: str,
    *,
    owner: str,
    request_id: str,
    lease: timedelta | None,
) -> tuple[Message, bytes]:
    """Insert the row of a new message and its recipients; return it and the mail's bytes.

    With `lease`, the row is one that is being sent, by a caller who waits that long.
    """
    now = db_now(using)
    envelope = message.envelope
    content = message.as_bytes()
    row = Message(
        kind=message.kind,
        locale=message.locale,
        message_id=message.message_id,
        owner=owner,
        request_id=request_id,
        masked_recipient=mask(envelope.recipients[0])[:320],
        recipient_count=len(envelope.recipients),
        size=len(content),
        expires_at=None if message.expires_in is None else now + message.expires_in,
        on_unknown=message.on_unknown,
        created_at=now,
        state=State.QUEUED if lease is None else State.SENDING,
        lease=None if lease is None else uuid.uuid4(),
        due_at=now if lease is None else now + lease + LEASE_MARGIN,
    )
    row.sealed = body.pack(row.id, envelope, content)
    row.save(using=using, force_insert=True)
    Recipient.objects.using(using).bulk_create(
        Recipient(
            message=row,
            position=position,
            masked=mask(address)[:320],
            address_hash=address_hash(address),
            folded_hash=folded_hash(address),
        )
        for position, address in enumerate(envelope.recipients)
    )
    return row, content


def pending_only(row: Message, envelope: Envelope) -> Envelope:
    """Return the envelope without the recipients that are settled already."""
    positions = row.recipients.filter(state=Recipient.State.PENDING).values_list(
        "position", flat=True
    )
    return replace(envelope, recipients=tuple(envelope.recipients[p] for p in positions))


def settle_recipients(
    row: Message, envelope: Envelope, result: SendResult, may_retry: bool
) -> None:
    """Write what the server said about each recipient that was pending."""
    refusals = {refusal.address: refusal.failure for refusal in result.refused}
    pending = row.recipients.filter(state=Recipient.State.PENDING).order_by("position")
    for recipient, address in zip(pending, envelope.recipients, strict=True):
        # One that was not named shares the fate of the whole message.
        failure = refusals.get(address, result.failure)
        if address in result.accepted:
            recipient.state = Recipient.State.ACCEPTED
            _set_reply(recipient, result.reply)
        elif failure is None:
            raise ValueError("a recipient was neither accepted nor refused")
        else:
            recipient.state = _recipient_state(failure, may_retry)
            recipient.error_code, recipient.reason = failure.error_code, failure.reason
            _set_reply(recipient, failure.reply)
        recipient.save()


def end_state(row: Message) -> State:
    """Return the state that follows from those of the recipients, when none is pending."""
    states = set(row.recipients.values_list("state", flat=True))
    if states == {Recipient.State.ACCEPTED}:
        return State.ACCEPTED
    return State.PARTIALLY_ACCEPTED if Recipient.State.ACCEPTED in states else State.FAILED


def record_attempt(row: Message, claim: Claim, result: SendResult, carrier: str) -> None:
    """Write down one hand-over. `row` has the state that it led to."""
    failure = result.failure
    if failure is None:
        outcome = Attempt.Result.DEFERRED if row.state == State.QUEUED else Attempt.Result.ACCEPTED
    elif failure.retry is Retry.UNKNOWN:
        outcome = Attempt.Result.UNKNOWN
    elif row.state == State.QUEUED:
        outcome = Attempt.Result.DEFERRED
    else:
        outcome = Attempt.Result.FAILED
    attempt = Attempt(
        message=row,
        number=row.attempts.count() + 1,
        started_at=claim.started_at,
        duration_ms=round(result.duration_seconds * 1000),
        carrier=carrier,
        result=outcome,
        error_code=failure.error_code if failure else "",
        reason=failure.reason if failure else "",
    )
    _set_reply(attempt, result.reply or (failure.reply if failure else None))
    attempt.save()


def _recipient_state(failure: Failure, may_retry: bool) -> Recipient.State:
    match failure.retry:
        case Retry.UNKNOWN:
            # Whether it is sent again is decided for the message as a whole.
            return Recipient.State.PENDING
        case Retry.NEVER:
            return Recipient.State.REFUSED
        case _:
            return Recipient.State.PENDING if may_retry else Recipient.State.UNSENT


def _set_reply(row: Recipient | Attempt, reply: Reply | None) -> None:
    row.reply_code = reply.code if reply else None
    row.reply_enhanced = reply.enhanced if reply else ""
    row.reply_text = reply.text[:500] if reply else ""
