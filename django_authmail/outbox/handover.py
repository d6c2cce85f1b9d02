"""The way of one claimed message out: through the first of its carriers that takes it.

It goes on to the next carrier only if the one before surely did not take it: that was not admitted,
not reached, or refused the login. A message in doubt has no next one.
"""

from __future__ import annotations

import logging
import time

from django.db import Error

from django_authmail import mailers, tracing
from django_authmail.conf import conf
from django_authmail.exceptions import MailerUnusable
from django_authmail.logs import describe
from django_authmail.outbox import carriers, queue
from django_authmail.outbox.carriers import Pass, Stop
from django_authmail.outbox.lease import Claim
from django_authmail.outbox.queue import Settlement
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from django_authmail.smtp import carrier

logger = logging.getLogger(__name__)

#: Less than this is no time for another hand-over.
MINIMUM_SECONDS = 0.5


class HandOver:
    """Ask `next` for a leave, `make` the hand-over, and `note` what came of it, until no leave is
    left. Then it has a `settlement`, or none where no carrier may take the message: `stop`."""

    def __init__(self, claim: Claim, *, seconds: float, leave: Pass | None = None) -> None:
        """Give it the claim and its time in all; `leave`, where one was given already."""
        if claim.valid_seconds is not None:
            seconds = min(seconds, claim.valid_seconds)
        self.claim = claim
        self.settlement: Settlement | None = None
        #: Of the carriers that take nothing now, the one that will first.
        self.stop: Stop | None = None
        if claim.is_test:
            # Settled before any carrier is asked: `next` has nothing more to give.
            self.settlement = Settlement(claim=claim, result=_as_test(claim), carrier="")
        self._end = time.monotonic() + seconds
        self._leave = leave
        names = claim.deliver_using or conf.deliver_using
        self._is_only = len(names) == 1
        if leave is not None:
            names = names[names.index(leave.carrier) + 1 :] if leave.carrier in names else ()
        elif claim.in_doubt and not self._is_only:
            # It may be with the one that had it last.
            names = (claim.carrier,) if claim.carrier else names[:1]
        self._names = list(names)

    def next(self) -> Pass | None:
        """Return the leave for the next hand-over; None where there is none.

        Raises:
            LeaseLost: another worker took the message over.
        """
        before = self.settlement
        if before is not None and not (carriers.is_outage(before.result) and self._has_time()):
            return None
        leave, self._leave = self._leave, None
        while leave is None and self._names:
            admitted = carriers.admit(self._names.pop(0), len(self.claim.envelope.recipients))
            if isinstance(admitted, Pass):
                leave = admitted
            elif self.stop is None or admitted.until < self.stop.until:
                self.stop = admitted
        if leave is None:
            return None
        try:
            if before is not None:
                queue.note(before)
                logger.warning(
                    "email.failed_over id=%s from=%s to=%s reason=%s",
                    self.claim.id,
                    before.carrier,
                    leave.carrier,
                    before.result.reason,
                )
            if not self._is_only and self.claim.carrier != leave.carrier:
                # Before it leaves: were this process to die, it must not leave by another.
                self.claim = queue.leave_by(self.claim, leave.carrier)
        except BaseException:
            carriers.release(leave)
            raise
        return leave

    def make(self, leave: Pass) -> SendResult:
        """Hand the message over, which no database has a part in; any thread may do it."""
        claim = self.claim
        origin = tracing.Origin(claim.request_id, claim.traceparent)
        facts = {"authmail.id": str(claim.id), "authmail.kind": claim.kind}
        with (
            tracing.doing(origin),
            tracing.span(
                "authmail.hand_over", origin, **facts, **{"authmail.carrier": leave.carrier}
            ),
        ):
            return self._deliver(leave)

    def _deliver(self, leave: Pass) -> SendResult:
        claim = self.claim
        try:
            return carrier.deliver(
                mailers.carrier(leave.carrier),
                claim.envelope,
                claim.content,
                claim.message_id,
                deadline_seconds=max(self._end - time.monotonic(), MINIMUM_SECONDS),
            )
        except MailerUnusable as error:
            logger.error("email.carrier_unusable id=%s %s", claim.id, error)
            return _failed(claim, Reason.MAILER_UNUSABLE, Retry.CARRIER, str(error))
        except Exception as error:
            # A bug, here or in a carrier: whether the content left before it, nobody knows. No
            # traceback is logged: an error tracker would show the content in its frames.
            logger.error("email.hand_over_error id=%s error=%s", claim.id, describe(error))
            return _failed(claim, Reason.OUTCOME_UNKNOWN, Retry.UNKNOWN, "see the log")

    def note(self, leave: Pass, result: SendResult) -> None:
        """Take down what came of the hand-over."""
        carriers.report(leave, result)
        self.settlement = Settlement(claim=self.claim, result=result, carrier=leave.carrier)

    def run(self) -> Settlement | None:
        """Go the whole way, in this thread, and return its settlement.

        Raises:
            LeaseLost: another worker took the message over.
            Error: nothing was handed over, because the database failed.
        """
        while True:
            try:
                leave = self.next()
            except Error:
                if self.settlement is None:
                    raise
                leave = None  # what the last carrier said counts
            if leave is None:
                return self.settlement
            self.note(leave, self.make(leave))

    def _has_time(self) -> bool:
        return self._end - time.monotonic() > MINIMUM_SECONDS


def _as_test(claim: Claim) -> SendResult:
    return SendResult(message_id=claim.message_id, accepted=claim.envelope.recipients)


def _failed(claim: Claim, reason: Reason, retry: Retry, detail: str) -> SendResult:
    failure = Failure(error_code=ErrorCode.UNKNOWN, reason=reason, retry=retry, detail=detail)
    return SendResult(message_id=claim.message_id, failure=failure)
