"""A message with its recipients and attempts, and how it goes from one state to the next.

No database here: `rows` loads records and stores what became of them. `queue` draws the states.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django_authmail.conf import conf
from django_authmail.message import Envelope, OnUnknown, Priority
from django_authmail.models import Attempt, Message, Recipient, State
from django_authmail.models import Priority as StoredPriority
from django_authmail.outbox.lease import LEASE_MARGIN, valid_until
from django_authmail.outbox.retry import next_delay
from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry, SendResult

EXPIRED = Failure(
    error_code=ErrorCode.UNKNOWN,
    reason=Reason.EXPIRED,
    retry=Retry.NEVER,
    detail="it would have arrived after its validity",
)
IN_DOUBT = Failure(error_code=ErrorCode.UNKNOWN, reason=Reason.OUTCOME_UNKNOWN, retry=Retry.UNKNOWN)
# What a message that is pending without a reason waits by.
_PASSING = Failure(error_code=ErrorCode.SMTP_TRANSIENT, reason=Reason.TRANSIENT, retry=Retry.LATER)


@dataclass(slots=True, kw_only=True)
class Record:
    """The rows of one message, and which of them have changed since they were loaded."""

    row: Message
    recipients: list[Recipient]
    last_attempt: Attempt | None = None
    #: A hand-over to write down: a new row, or the last one written over.
    attempt: Attempt | None = None
    changed: list[Recipient] = field(default_factory=list)
    #: What the row of a message that ends had of its request's webhook.
    webhook: bytes | None = field(default=None, repr=False)
    #: All that was done to it is stored, and all that is stored is in it.
    is_current: bool = True

    @property
    def pending(self) -> list[Recipient]:
        """The recipients that are still to be sent to."""
        return [r for r in self.recipients if r.state == Recipient.State.PENDING]

    # -- what a hand-over leads to ----------------------------------------------------------

    def settle(
        self,
        result: SendResult,
        envelope: Envelope,
        now: datetime,
        *,
        carrier: str,
        started_at: datetime,
        final: bool = False,
        stays_for: timedelta | None = None,
    ) -> None:
        """Take over what became of a hand-over to the recipients of `envelope`.

        `final`: a caller waits, is told, and decides; nothing is tried later. `stays_for`: if it
        is in doubt and to be resent, it stays with the caller for so long.
        """
        row, failure = self.row, result.failure
        if row.is_test:
            # No server was asked: there is no attempt, no answer, and no time of acceptance.
            self.finish(State.ACCEPTED, None, now)
            return
        # A carrier that cannot work says nothing about the message: no attempt is counted.
        counted = final or failure is None or failure.retry is not Retry.CARRIER
        may_retry = not final and (not counted or row.attempt_count + 1 < conf.max_attempts)
        self._settle_recipients(result, envelope, may_retry)
        row.attempt_count += counted
        if failure is not None and failure.retry is Retry.UNKNOWN:
            self._doubt(failure, now, final=final, stays_for=stays_for)
        elif self.pending:
            self._defer(_why_pending(result), now)
        else:
            self.finish(State.FAILED, failure, now)
        if result.sent:
            row.provider_id = result.provider_id[:255]
            row.accepted_at = now
        self._record_attempt(result, carrier, started_at, counted)

    def note(self, result: SendResult, *, carrier: str, started_at: datetime) -> None:
        """Write down a hand-over that leaves the message claimed: another carrier is tried."""
        self._record_attempt(result, carrier, started_at, False)

    def abandoned(self, now: datetime, *, can_resend: bool) -> None:
        """Take over from a worker that died while sending: the outcome is unknown."""
        if self.row.is_test:
            return  # nothing was handed over: the one that took it over settles it
        lost = SendResult(message_id=self.row.message_id, failure=IN_DOUBT)
        self.row.attempt_count += 1
        if can_resend:
            self._doubt(IN_DOUBT, now, stays_for=conf.send_deadline)
        else:
            self.finish(State.UNKNOWN, IN_DOUBT, now)
        self._record_attempt(lost, "", now, True)

    def _doubt(
        self,
        failure: Failure,
        now: datetime,
        *,
        final: bool = False,
        stays_for: timedelta | None = None,
    ) -> None:
        row = self.row
        valid = valid_until(row)
        is_late = valid is not None and valid <= now
        resend = row.on_unknown == OnUnknown.RESEND and not row.resend_count and not is_late
        if resend and stays_for is not None:
            row.resend_count += 1
            row.due_at = now + stays_for + LEASE_MARGIN
            self._explain(failure)
        elif resend and not final:
            row.resend_count += 1
            self.requeue(now, failure)
        elif row.on_unknown == OnUnknown.HOLD and not final and not is_late:
            self._hold(failure, now)
        else:
            self.finish(State.UNKNOWN, failure, now)

    # -- transitions ------------------------------------------------------------------------

    def requeue(self, due_at: datetime, failure: Failure) -> None:
        """Let the message wait until `due_at`, or its end: an expired one shall say so in time."""
        row = self.row
        row.state, row.lease = State.QUEUED, None
        row.due_at = due_at if row.expires_at is None else min(due_at, row.expires_at)
        self._explain(failure)

    def finish(self, state: State, failure: Failure | None, now: datetime) -> None:
        """End the message in `state`, or in the one that its recipients' states amount to."""
        row = self.row
        if row.resend_count and state != State.ACCEPTED:
            # An earlier attempt ended in doubt, and only a 250 settles a doubt: a later refusal
            # does not say that the first one was not taken.
            state = State.UNKNOWN
        end = {State.UNKNOWN: Recipient.State.UNKNOWN, State.ACCEPTED: Recipient.State.ACCEPTED}
        for recipient in self.pending:
            self._change(recipient, end.get(state, Recipient.State.UNSENT))
        row.state = self._end(state)
        doubtful = failure is not None and failure.reason is Reason.OUTCOME_UNKNOWN
        if row.state == State.UNKNOWN and row.resend_count and not doubtful:
            failure = IN_DOUBT
        row.lease, row.due_at, row.settled_at = None, None, now
        if row.webhook is not None:
            self.webhook, row.webhook = bytes(row.webhook), None
        # The one line that keeps the promise: what is final has no body.
        row.sealed = None
        row.supersede_hash = ""
        self._explain(failure)

    def leave_out(self, recipients: Collection[Recipient], failure: Failure, now: datetime) -> None:
        """Send nothing to these, and end the message if it is for nobody else."""
        for recipient in recipients:
            self._change(recipient, Recipient.State.UNSENT)
            recipient.error_code, recipient.reason = failure.error_code, failure.reason
        if recipients and not self.pending:
            self.finish(State.FAILED, failure, now)

    def _hold(self, failure: Failure, now: datetime) -> None:
        row = self.row
        row.state, row.lease = State.HELD, None
        row.due_at = now + conf.hold
        if row.expires_at is not None:
            # Nothing is to be decided about a mail that is of no use, and its secret is to go.
            row.due_at = min(row.due_at, row.expires_at)
        self._explain(failure)

    def _defer(self, failure: Failure, now: datetime) -> None:
        row = self.row
        valid = valid_until(row)
        delay = next_delay(
            failure,
            attempt=max(row.attempt_count, 1),
            urgent=row.priority == StoredPriority[Priority.HIGH.name],
            remaining=None if valid is None else valid - now,
            jitter=random.random(),  # noqa: S311 - spreads load, protects nothing
        )
        self.requeue(now + delay, failure)

    def _end(self, state: State) -> State:
        states = {recipient.state for recipient in self.recipients}
        if states == {Recipient.State.ACCEPTED}:
            return State.ACCEPTED
        if Recipient.State.ACCEPTED in states:
            return State.PARTIALLY_ACCEPTED
        return State.UNKNOWN if Recipient.State.UNKNOWN in states else state

    def _explain(self, failure: Failure | None) -> None:
        self.row.error_code = failure.error_code if failure else ""
        self.row.reason = failure.reason if failure else ""

    # -- recipients and attempts ------------------------------------------------------------

    def _settle_recipients(self, result: SendResult, envelope: Envelope, may_retry: bool) -> None:
        refusals = {refusal.address: refusal.failure for refusal in result.refused}
        doubtful = self.row.resend_count > 0
        for recipient, address in zip(self.pending, envelope.recipients, strict=True):
            if address in result.accepted:
                self._change(recipient, Recipient.State.ACCEPTED)
                _set_reply(recipient, result.reply)
                continue
            # One that was not named shares the fate of the whole message.
            failure = refusals.get(address) or result.failure
            if failure is None:
                raise ValueError("a recipient was neither accepted nor refused")
            self._change(recipient, _recipient_state(failure, may_retry, doubtful))
            recipient.error_code, recipient.reason = failure.error_code, failure.reason
            _set_reply(recipient, failure.reply)

    def _change(self, recipient: Recipient, state: Recipient.State) -> None:
        recipient.state = state
        if state == Recipient.State.ACCEPTED:
            # What went wrong before is in the attempts.
            recipient.error_code = recipient.reason = ""
            _set_reply(recipient, None)
        if recipient not in self.changed:
            self.changed.append(recipient)

    def _record_attempt(
        self, result: SendResult, carrier: str, started_at: datetime, counted: bool
    ) -> None:
        """Write down one hand-over, when the row has the state that it led to.

        One that is not counted takes the place of the one before, if that was of the same kind: a
        carrier that is down for days must not leave a row for each time it was asked.
        """
        failure, last = result.failure, self.last_attempt
        reason = failure.reason if failure else ""
        attempt = Attempt(message=self.row, number=last.number + 1 if last else 1)
        if last is not None and not counted:
            deferred = (last.result, last.reason) == (Attempt.Result.DEFERRED, reason)
            attempt = last if deferred else attempt
        attempt.started_at = started_at
        attempt.duration_ms = round(result.duration_seconds * 1000)
        attempt.carrier = carrier[:64]
        attempt.result = self._attempt_result(failure)
        attempt.error_code = failure.error_code if failure else ""
        attempt.reason = reason
        _set_reply(attempt, result.reply or (failure.reply if failure else None))
        self.attempt = self.last_attempt = attempt

    def _attempt_result(self, failure: Failure | None) -> Attempt.Result:
        if failure is not None and failure.retry is Retry.UNKNOWN:
            return Attempt.Result.UNKNOWN
        if self.row.state == State.QUEUED:
            return Attempt.Result.DEFERRED
        return Attempt.Result.ACCEPTED if failure is None else Attempt.Result.FAILED


def _why_pending(result: SendResult) -> Failure:
    failures = [refusal.failure for refusal in result.refused]
    if result.failure is not None:
        failures.append(result.failure)
    return next((f for f in failures if f.retry in (Retry.LATER, Retry.CARRIER)), _PASSING)


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


def _set_reply(row: Recipient | Attempt, reply: Reply | None) -> None:
    row.reply_code = reply.code if reply else None
    row.reply_enhanced = reply.enhanced[:12] if reply else ""
    row.reply_text = reply.text[:500] if reply else ""
