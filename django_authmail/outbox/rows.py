"""How messages, recipients and attempts are written; called by the verbs of `queue` alone."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from django.db.models import QuerySet

from django_authmail.clock import db_now
from django_authmail.hashes import address_hash, folded_hash, mask
from django_authmail.message import AuthMessage, Envelope
from django_authmail.models import Attempt, Message, Priority, Recipient, State
from django_authmail.outbox import body
from django_authmail.outbox.lease import LEASE_MARGIN, Claim
from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry, SendResult


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
        priority=Priority[message.priority.name],
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


def pending_only(row: Message, envelope: Envelope, using: str) -> Envelope:
    """Return the envelope without the recipients that are settled already."""
    positions = _pending(row, using).values_list("position", flat=True)
    return replace(envelope, recipients=tuple(envelope.recipients[p] for p in positions))


def has_pending(row: Message, using: str) -> bool:
    """Tell whether a recipient is still to be sent to."""
    return _pending(row, using).exists()


def settle_recipients(
    row: Message, envelope: Envelope, result: SendResult, may_retry: bool, using: str
) -> None:
    """Write what the server said about each recipient that was pending."""
    refusals = {refusal.address: refusal.failure for refusal in result.refused}
    doubtful = row.resend_count > 0
    for recipient, address in zip(_pending(row, using), envelope.recipients, strict=True):
        if address in result.accepted:
            recipient.state = Recipient.State.ACCEPTED
            _set_reply(recipient, result.reply)
        else:
            # One that was not named shares the fate of the whole message.
            failure = refusals.get(address) or result.failure
            if failure is None:
                raise ValueError("a recipient was neither accepted nor refused")
            recipient.state = _recipient_state(failure, may_retry, doubtful)
            recipient.error_code, recipient.reason = failure.error_code, failure.reason
            _set_reply(recipient, failure.reply)
        recipient.save(using=using)


def end_state(row: Message, using: str) -> State:
    """Return the state that follows from those of the recipients, when none is pending."""
    states = set(_recipients(row, using).values_list("state", flat=True))
    if states == {Recipient.State.ACCEPTED}:
        return State.ACCEPTED
    if Recipient.State.ACCEPTED in states:
        return State.PARTIALLY_ACCEPTED
    return State.UNKNOWN if Recipient.State.UNKNOWN in states else State.FAILED


def end_pending(row: Message, state: State, using: str) -> None:
    """Give the recipients that are still pending the end that their message has."""
    end = Recipient.State.UNKNOWN if state == State.UNKNOWN else Recipient.State.UNSENT
    _pending(row, using).update(state=end)


def why_pending(result: SendResult) -> Failure:
    """Return the failure that says when to try again."""
    failures = [refusal.failure for refusal in result.refused]
    if result.failure is not None:
        failures.append(result.failure)
    return next((f for f in failures if f.retry in (Retry.LATER, Retry.CARRIER)), _PASSING)


def record_attempt(
    row: Message, claim: Claim, result: SendResult, carrier: str, counted: bool, using: str
) -> None:
    """Write down one hand-over. `row` has the state that it led to.

    One that is not counted takes the place of the one before, if that was of the same kind: a
    carrier that is down for days must not leave a row for each time it was asked.
    """
    failure = result.failure
    attempts = Attempt.objects.using(using).filter(message=row).order_by("-number")
    last = attempts.first()
    attempt = Attempt(message=row, number=last.number + 1 if last else 1)
    reason = failure.reason if failure else ""
    if (
        last is not None
        and not counted
        and (last.result, last.reason)
        == (
            Attempt.Result.DEFERRED,
            reason,
        )
    ):
        attempt = last
    attempt.started_at = claim.started_at
    attempt.duration_ms = round(result.duration_seconds * 1000)
    attempt.carrier = carrier
    attempt.result = _attempt_result(row, failure)
    attempt.error_code = failure.error_code if failure else ""
    attempt.reason = reason
    _set_reply(attempt, result.reply or (failure.reply if failure else None))
    attempt.save(using=using)


# What a message that is pending without a reason waits by.
_PASSING = Failure(error_code=ErrorCode.SMTP_TRANSIENT, reason=Reason.TRANSIENT, retry=Retry.LATER)


def _recipients(row: Message, using: str) -> QuerySet[Recipient]:
    # Not row.recipients: a project's router may send that to a replica, which is behind.
    return Recipient.objects.using(using).filter(message=row)


def _pending(row: Message, using: str) -> QuerySet[Recipient]:
    return _recipients(row, using).filter(state=Recipient.State.PENDING).order_by("position")


def _recipient_state(failure: Failure, may_retry: bool, doubtful: bool) -> Recipient.State:
    match failure.retry:
        case Retry.UNKNOWN:
            # Whether it is sent again is decided for the message as a whole.
            return Recipient.State.PENDING
        case Retry.NEVER:
            ended = Recipient.State.REFUSED
        case _:
            if may_retry:
                return Recipient.State.PENDING
            ended = Recipient.State.UNSENT
    # An earlier attempt may have reached this recipient.
    return Recipient.State.UNKNOWN if doubtful else ended


def _attempt_result(row: Message, failure: Failure | None) -> Attempt.Result:
    if failure is not None and failure.retry is Retry.UNKNOWN:
        return Attempt.Result.UNKNOWN
    if row.state == State.QUEUED:
        return Attempt.Result.DEFERRED
    return Attempt.Result.ACCEPTED if failure is None else Attempt.Result.FAILED


def _set_reply(row: Recipient | Attempt, reply: Reply | None) -> None:
    row.reply_code = reply.code if reply else None
    row.reply_enhanced = reply.enhanced if reply else ""
    row.reply_text = reply.text[:500] if reply else ""
