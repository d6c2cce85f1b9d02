"""Claim, send, settle, announce: how a recorded message leaves."""

from __future__ import annotations

import logging
import time
import uuid

from django.db import DatabaseError, router

from django_authmail import mailers
from django_authmail.busy import working
from django_authmail.conf import conf
from django_authmail.exceptions import LeaseLost, MailerUnusable
from django_authmail.logs import describe
from django_authmail.message import AuthMessage
from django_authmail.models import Message, State
from django_authmail.outbox import queue
from django_authmail.outbox.lease import Claim
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from django_authmail.smtp import carrier

logger = logging.getLogger(__name__)

#: Less than this is no time for another hand-over.
MINIMUM_SECONDS = 0.5


@working()
def send_now(message: AuthMessage, *, owner: str = "site", request_id: str = "") -> Message:
    """Record `message`, hand it over while the caller waits, and return its final row.

    Takes at most AUTHMAIL_SYNC_DEADLINE. Nothing is sent later: a message that was not taken is
    `failed`. Raises RuntimeError inside a transaction, which a lost connection could roll back
    after the mail has left.
    """
    row, claim = queue.submit_claimed(message, owner=owner, request_id=request_id)
    end = time.monotonic() + conf.sync_deadline.total_seconds()
    while True:
        result = _send(claim, end - time.monotonic())
        has_time = end - time.monotonic() > MINIMUM_SECONDS
        try:
            row = queue.settle(
                claim, result, carrier=conf.deliver_using[0], final=True, resend_now=has_time
            )
        except LeaseLost:
            return _lost(claim)
        except DatabaseError as error:
            # The caller is told what the mail server said all the same. What it said is lost to
            # the record: the row ends as any whose worker died.
            logger.error("email.not_recorded id=%s error=%s", claim.id, type(error).__name__)
            return queue.as_if_settled(row, result)
        if row.is_final:
            return row


@working()
def dispatch_one(id: uuid.UUID) -> Message | None:
    """Send the message `id` if it is due; None if it is not, or another worker has it."""
    claim = queue.claim(id)
    return _dispatch(claim) if claim is not None else None


@working()
def dispatch_due(limit: int = 20, *, seconds: float | None = None) -> int:
    """Send up to `limit` due messages, one after the other, and return how many were claimed.

    With `seconds`, no further one is begun after them: the last may take its own deadline longer.
    """
    end = None if seconds is None else time.monotonic() + seconds
    done = 0
    while done < limit and (end is None or time.monotonic() < end):
        # One at a time: a lease that waits behind other hand-overs would run out.
        claims = queue.claim_due(limit=1)
        if not claims:
            break
        for claim in claims:
            _dispatch(claim)
            done += 1
    return done


def hand_over(claim: Claim) -> queue.End:
    """Do with a claimed message what is to be done now, and return how its claim ends.

    Writes nothing of that: `queue.settle_many` does, for one or for many.
    """
    if claim.valid_seconds is not None and claim.valid_seconds <= 0:
        return queue.Drop(claim=claim, failure=_TOO_LATE, state=State.EXPIRED)
    result = _send(claim, conf.send_deadline.total_seconds())
    return queue.Settlement(claim=claim, result=result, carrier=conf.deliver_using[0])


def _dispatch(claim: Claim) -> Message | None:
    rows = queue.settle_many([hand_over(claim)])
    return rows[0] if rows else None


def _send(claim: Claim, seconds: float) -> SendResult:
    if claim.valid_seconds is not None:
        seconds = min(seconds, claim.valid_seconds)
    try:
        return carrier.deliver(
            mailers.carrier(),
            claim.envelope,
            claim.content,
            claim.message_id,
            deadline_seconds=max(seconds, MINIMUM_SECONDS),
        )
    except MailerUnusable as error:
        logger.error("email.carrier_unusable id=%s %s", claim.id, error)
        return _failed(claim, Reason.MAILER_UNUSABLE, Retry.CARRIER, str(error))
    except Exception as error:
        # A bug, here or in a carrier: whether the content left before it, nobody knows. No
        # traceback is logged: an error tracker would show the content in its frames.
        logger.error("email.hand_over_error id=%s error=%s", claim.id, describe(error))
        return _failed(claim, Reason.OUTCOME_UNKNOWN, Retry.UNKNOWN, "see the log")


def _failed(claim: Claim, reason: Reason, retry: Retry, detail: str) -> SendResult:
    failure = Failure(error_code=ErrorCode.UNKNOWN, reason=reason, retry=retry, detail=detail)
    return SendResult(message_id=claim.message_id, failure=failure)


def _lost(claim: Claim) -> Message:
    logger.warning("email.lease_lost id=%s", claim.id)
    return Message.objects.using(router.db_for_write(Message)).get(id=claim.id)


_TOO_LATE = Failure(
    error_code=ErrorCode.UNKNOWN,
    reason=Reason.EXPIRED,
    retry=Retry.NEVER,
    detail="it would have arrived after its validity",
)
