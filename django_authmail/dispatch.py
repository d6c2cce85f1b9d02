"""Claim, send, settle, announce: how a recorded message leaves."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

from django.db import Error, connections, router

from django_authmail import mailers
from django_authmail.busy import working
from django_authmail.conf import conf
from django_authmail.exceptions import LeaseLost, MailerUnavailable
from django_authmail.logs import describe_apart, log_line, named
from django_authmail.message import AuthMessage
from django_authmail.models import Message, Priority
from django_authmail.outbox import carriers, queue
from django_authmail.outbox.carriers import Pass, Stop
from django_authmail.outbox.handover import MINIMUM_SECONDS, HandOver
from django_authmail.outbox.intake import Intake
from django_authmail.outbox.lease import Claim
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry
from django_authmail.smtp import EmailBackend
from django_authmail.smtp.errors import DeliveryFailed

logger = logging.getLogger(__name__)

#: What is kept of a waiting caller's time for the record and the answer.
SETTLING_SECONDS = 0.2


@working()
def send_now(
    message: AuthMessage,
    *,
    owner: str = "site",
    request_id: str = "",
    since: float | None = None,
    is_test: bool = False,
    intake: Intake | None = None,
) -> Message:
    """Record `message`, hand it over while the caller waits, and return its final row.

    Takes AUTHMAIL_SYNC_DEADLINE, from now or from `since`, a time of `time.monotonic()`; a slow
    database takes its own time on top. Nothing is sent later: a message that was not taken is
    `failed`. One that `is_test` is `accepted` without a carrier. `intake` is of a request of the
    API; its errors are passed on. Raises RuntimeError inside a transaction, which a lost connection
    could roll back after the mail has left.

    Raises:
        MailerUnavailable: no carrier may take a message now. Nothing is recorded.
    """
    begun = time.monotonic() if since is None else since
    end = begun + conf.sync_deadline.total_seconds() - SETTLING_SECONDS
    leave = None if is_test else _leave(len(message.envelope.recipients))
    try:
        row, claim = queue.submit_claimed(
            message, owner=owner, request_id=request_id, is_test=is_test, intake=intake
        )
    except BaseException:
        if leave is not None:
            carriers.release(leave)
        raise
    while True:
        way = HandOver(claim, seconds=end - time.monotonic(), leave=leave)
        try:
            settlement = way.run()
        except LeaseLost:
            return _lost(claim)
        if settlement is None:
            raise RuntimeError("a message that had leave to go was not handed over")
        result = settlement.result
        if intake is not None and not (result.sent or result.unknown or way.claim.in_doubt):
            # Nobody got it. Before that can be seen: a repeat of the request begins in that moment.
            intake.give_back()
        has_time = end - time.monotonic() > MINIMUM_SECONDS
        try:
            row = queue.settle(
                claim,
                result,
                carrier=settlement.carrier,
                final=True,
                resend_now=has_time,
            )
        except LeaseLost:
            return _lost(claim)
        except Error as error:
            # The caller is told what the mail server said all the same. `settle` goes on trying to
            # record it; if it cannot, the row ends as any whose worker died.
            logger.error("email.not_recorded id=%s error=%s", claim.id, named(error))
            return queue.as_if_settled(row, result)
        if row.is_final:
            return row
        # In doubt, and to be resent: by the one that may have it, which is not asked again.
        leave, claim = Pass(carrier=settlement.carrier), way.claim


@working()
def dispatch_one(id: uuid.UUID) -> Message | None:
    """Send the message `id` if it is due; None if it is not, or another worker has it."""
    claim = queue.claim(id)
    return _dispatch(claim) if claim is not None else None


@working()
def dispatch_due(
    limit: int = 20,
    *,
    seconds: float | None = None,
    priority: Priority | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Send up to `limit` due messages, one after the other, and return how many were claimed.

    With `seconds`, no further one is begun after them: the last may take its own deadline longer.
    Nor is one begun when `stopped` says so. With `priority`, messages of another are left alone.
    """
    end = None if seconds is None else time.monotonic() + seconds
    done = 0
    while done < limit and (end is None or time.monotonic() < end) and not stopped():
        # One at a time: a lease that waits behind other hand-overs would run out.
        claims = queue.claim_due(limit=1, priority=priority)
        if not claims:
            break
        for claim in claims:
            _dispatch(claim)
            done += 1
    return done


def hand_over(claim: Claim) -> queue.End:
    """Do with a claimed message what is to be done now, and return how its claim ends.

    Writes nothing of that: `queue.settle_many` does, for one or for many.

    Raises:
        LeaseLost: another worker took the message over.
    """
    way = HandOver(claim, seconds=conf.send_deadline.total_seconds())
    try:
        settlement = way.run()
    except Error as error:
        # It did not say whether the message may leave, so it has not. It is due again at once: to
        # keep it would make it one in doubt.
        logger.warning("email.not_asked id=%s error=%s", claim.id, named(error))
        return queue.Postponement(claim=claim, until=claim.started_at, failure=_NOT_ASKED)
    if settlement is not None:
        return settlement
    if way.stop is None:
        raise RuntimeError("a message was neither handed over nor kept")
    return queue.Postponement(claim=claim, until=way.stop.until, failure=way.stop.failure)


def warm() -> None:
    """Open a connection to the first carrier, so that the next mail need not wait for one."""
    name = conf.deliver_using[0]
    try:
        backend = mailers.carrier(name)
        if isinstance(backend, EmailBackend) and not carriers.is_paused(name):
            backend.open()
    except DeliveryFailed as error:
        # The mail that comes reports what is wrong, if it still is.
        failure = error.result.failure
        host, _, step = failure.where.partition(", ") if failure is not None else ("", "", "")
        _log_cold(
            carrier=name,
            host=host,
            step=step.replace(" ", "_"),
            reason=error.result.reason,
            error=type(error).__name__,
        )
    except Exception as error:
        _log_cold(carrier=name, error=describe_apart(error)["error"])
    finally:
        connections.close_all()  # of this thread, which ends here


def _log_cold(**facts: str) -> None:
    log_line(logger, logging.WARNING, "email.not_warmed", **facts)


def _leave(recipients: int) -> Pass:
    stops: list[Stop] = []
    for name in conf.deliver_using:
        admitted = carriers.admit(name, recipients)
        if isinstance(admitted, Pass):
            return admitted
        stops.append(admitted)
    first = min(stops, key=lambda stop: stop.until)
    raise MailerUnavailable(first.reason, first.carrier, first.wait.total_seconds())


def _dispatch(claim: Claim) -> Message | None:
    try:
        rows = queue.settle_many([hand_over(claim)])
    except LeaseLost:
        return _lost(claim)
    return rows[0] if rows else None


def _lost(claim: Claim) -> Message:
    logger.warning("email.lease_lost id=%s", claim.id)
    return Message.objects.using(router.db_for_write(Message)).get(id=claim.id)


_NOT_ASKED = Failure(
    error_code=ErrorCode.UNKNOWN,
    reason=Reason.TRANSIENT,
    retry=Retry.CARRIER,
    detail="the database did not say whether a carrier may take it",
)
