"""How a courier gets a delivery: a claim on rows that are due.

               claim              settle (2xx)
    pending ──────────► sending ──────────────► delivered ─┐
       ▲ ▲                │  │                             │ replay
       │ └─ settle (later)┘  └─ settle (last) ► failed ────┤
       └───────────────────────────────────────────────────┘

A replay also makes one due now that waits for a later attempt.

A claim is a lease, as that of a message: a row whose lease has ended is due again, with the same
`webhook-id`. To be sent twice is the receiver's to notice; to be lost is not to happen. An attempt
whose lease has ended counts, though nobody knows how it ended: where outcomes can never be
recorded, or sending ends the process, a receiver has it as often as the schedule says, and no more.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import IntegrityError, router, transaction
from django.db.models import Case, F, QuerySet, When
from django.db.models.expressions import CombinedExpression

from django_authmail import metrics
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import SealBroken
from django_authmail.logs import describe_apart, log_line
from django_authmail.models import WebhookAttempt, WebhookDelivery
from django_authmail.outcomes import Reason
from django_authmail.sealing import unseal
from django_authmail.secret import Secret
from django_authmail.transactions import FAILED, PATIENCE, retried
from django_authmail.webhooks import callbacks, endpoints, places, recording
from django_authmail.webhooks.backoff import next_delay

logger = logging.getLogger(__name__)

State = WebhookDelivery.State

#: A lease outlives the longest attempt by this: a slow courier is not taken for a dead one.
LEASE_MARGIN = timedelta(seconds=15)
#: Why a delivery has failed whose last attempt was made, and nobody knows with which outcome.
OUTCOME_LOST = "outcome_lost"
#: Times that another courier may be faster, or that what was due may end without being sent.
_TRIES = 50
#: Seconds, least and most, until one that was slower looks again.
_COLLIDED = (0.001, 0.01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that this courier may send until its lease ends."""

    id: uuid.UUID
    lease: uuid.UUID
    #: What it is about; None: a test.
    message: uuid.UUID | None
    type: str
    host: str
    #: May have a token of the receiver's in it.
    url: Secret
    #: What signs it, newest first; none: nothing does.
    secrets: tuple[Secret, ...] = field(repr=False)
    body: bytes = field(repr=False)
    #: None: where its request said, and S0's headers are wanted.
    endpoint: uuid.UUID | None
    #: Number of the attempt that is about to be made, from 1.
    attempt: int
    #: The database's time, and that of `time.monotonic`, when it was claimed.
    claimed_at: datetime
    claimed: float
    request_id: str = ""
    traceparent: str = ""

    @property
    def webhook_id(self) -> str:
        """What a receiver knows it by: the same at every attempt."""
        return webhook_id(self.id)

    @property
    def names(self) -> dict[str, object]:
        """What log lines call it, and the message that it is about."""
        return names(self.id, self.message)

    @property
    def seconds_held(self) -> float:
        """How long ago it was claimed."""
        return time.monotonic() - self.claimed


def webhook_id(id: uuid.UUID) -> str:
    """Return what a receiver knows a delivery by."""
    return f"msg_{id.hex}"


def names(id: uuid.UUID, message: uuid.UUID | None) -> dict[str, object]:
    """Return what log lines call a delivery, and the message that it is about."""
    return {"id": str(id), "webhook_id": webhook_id(id), "message": message and str(message)}


def claim_due(limit: int, *, retries: int | None = None, patience: float = PATIENCE) -> list[Claim]:
    """Claim up to `limit` due deliveries, the longest due first; send them side by side.

    Of one host there are never more than its places, whatever other couriers have, and no more
    than `retries` that were tried before. None: as many as there are.
    """
    using = router.db_for_write(WebhookDelivery)
    for _ in range(_TRIES):
        try:
            claims = _Taking(limit, limit if retries is None else retries, using).run(patience)
        except IntegrityError:
            # Another courier took a place that was free when it was looked at.
            claims = None
        if claims is not None:
            return claims
        # Those that collided must not come back together.
        time.sleep(random.uniform(*_COLLIDED))  # noqa: S311 - spreads load, protects nothing
    return []


def seconds_until_due() -> float | None:
    """Return how long it is until the next delivery is due; 0: one is; None: there is none."""
    using = router.db_for_write(WebhookDelivery)
    rows = WebhookDelivery.objects.using(using).filter(due_at__isnull=False)
    first = rows.order_by("due_at").values_list("due_at", flat=True).first()
    return None if first is None else max((first - db_now(using)).total_seconds(), 0.0)


def count_due() -> int:
    """Return how many deliveries are due."""
    using = router.db_for_write(WebhookDelivery)
    return WebhookDelivery.objects.using(using).filter(due_at__lte=db_now(using)).count()


class _Taking:
    """Takes rows once, even if the answer to its COMMIT is lost and it has to run again."""

    def __init__(self, limit: int, retries: int, using: str) -> None:
        self._limit = limit
        self._retries = retries
        self._using = using
        self._lease = uuid.uuid4()
        self._tried: list[uuid.UUID] = []
        self._lost: set[uuid.UUID] = set()

    def run(self, patience: float) -> list[Claim] | None:
        """Return claims on what is due and has a place; None: they gave none, and others may."""
        return retried(self._take, using=self._using, patience=patience)

    def _take(self) -> list[Claim] | None:
        now = db_now(self._using)
        end = now + conf.webhook_timeout + LEASE_MARGIN
        # Where the COMMIT before was done after all, they are this courier's already.
        if not (self._tried and self._ours().update(due_at=end)):
            due = WebhookDelivery.objects.using(self._using).filter(due_at__lte=now)
            wanted = places.choose(due, limit=self._limit, retries=self._retries, using=self._using)
            if not wanted:
                return []
            chosen = places.locked(wanted, self._using)
            taken = [row for rows in chosen.values() for row in rows]
            self._tried = [row.pk for row in taken]
            # They have a place: somebody had a claim on them.
            self._lost = {row.pk for row in taken if row.place is not None}
            # In one order of places: two couriers wait for each other where they want the same
            # one, which only one of them gets, and two orders would be a deadlock.
            for place, rows in sorted(chosen.items()):
                # Compare and swap, where nothing was locked.
                due.filter(pk__in=sorted(row.pk for row in rows)).update(
                    # Before the lease: MySQL reads what it has written already.
                    attempt_count=_one_more_if_lost("attempt_count"),
                    round_count=_one_more_if_lost("round_count"),
                    state=State.SENDING,
                    lease=self._lease,
                    place=place,
                    due_at=end,
                )
        claims = []
        for row in self._ours().select_related("endpoint").order_by("created_at"):
            try:
                if row.pk in self._lost:
                    _lost(row, self._using)
                claims.append(_claim(row, now))
            except _Unsendable as error:
                _end_unsent(row, error.reason, now, self._using)
        # None too where all that was due ended unsent: there may be more.
        return claims or None

    def _ours(self) -> QuerySet[WebhookDelivery]:
        rows = WebhookDelivery.objects.using(self._using)
        return rows.filter(pk__in=self._tried, lease=self._lease)


def _one_more_if_lost(field: str) -> CombinedExpression:
    """Return the column and one more where a lease has ended: an attempt without an outcome."""
    return F(field) + Case(When(lease__isnull=False, then=1), default=0)


def _lost(row: WebhookDelivery, using: str) -> None:
    """Say that the attempt before this claim has no outcome; raise where it was the last one.

    It has no row: what cannot be recorded is nothing to depend on here.
    """
    facts = {**names(row.pk, row.message_id), "attempt": row.attempt_count}
    transaction.on_commit(
        lambda: log_line(logger, logging.WARNING, "webhook.outcome_lost", **facts), using=using
    )
    if row.round_count > len(conf.webhook_backoff_seconds):
        raise _Unsendable(OUTCOME_LOST)


class _Unsendable(Exception):
    def __init__(self, reason: str) -> None:
        self.reason = reason


def _claim(row: WebhookDelivery, now: datetime) -> Claim:
    if row.lease is None or row.sealed_payload is None:
        raise ValueError("only a delivery that is being sent has a claim")
    try:
        url, secrets = _target(row, now)
        body = unseal(bytes(row.sealed_payload))
    except _Unsendable:
        raise
    except SealBroken:
        raise _Unsendable(Reason.SEAL_BROKEN) from None
    except Exception:
        # Edited by hand, or by something else: whatever it is, it must not stop the others.
        raise _Unsendable(Reason.ROW_BROKEN) from None
    return Claim(
        id=row.id,
        lease=row.lease,
        message=row.message_id,
        type=row.type,
        host=row.host,
        url=url,
        secrets=secrets,
        body=body,
        endpoint=row.endpoint_id,
        attempt=row.attempt_count + 1,
        claimed_at=now,
        claimed=time.monotonic(),
        request_id=row.request_id,
        traceparent=row.traceparent,
    )


def _target(row: WebhookDelivery, now: datetime) -> tuple[Secret, tuple[Secret, ...]]:
    if row.endpoint_id is None:
        callback, _ = callbacks.unpack(row.id, bytes(row.sealed_target or b""))
        return callback.url, (callback.secret,) if callback.secret else ()
    endpoint = row.endpoint
    # Deleted in the moment in which this was recorded, or disabled since.
    if endpoint is None or not endpoint.enabled:
        raise _Unsendable(recording.DISABLED)
    return Secret(endpoint.url), endpoints.secrets_of(endpoint, now)


def _end_unsent(row: WebhookDelivery, reason: str, now: datetime, using: str) -> None:
    """Write down that a delivery is not sent any more, or not now.

    Where that cannot be written, it is logged, and keeps no other from being claimed.
    """
    try:
        with transaction.atomic(using=using):
            _write_unsent(row, reason, now, using)
    except FAILED:
        raise
    except Exception as error:
        facts = {**names(row.pk, row.message_id), **describe_apart(error)}
        log_line(logger, logging.ERROR, "webhook.not_recorded", **facts)


def _write_unsent(row: WebhookDelivery, reason: str, now: datetime, using: str) -> None:
    values = ended(State.FAILED, now, is_callback=row.endpoint_id is None)
    if reason == OUTCOME_LOST:
        # What was answered before was not about this attempt.
        values["status_code"] = None
    elif reason == Reason.SEAL_BROKEN:
        # As an attempt that failed: another process, or this one once it is started anew, may have
        # the key, and to end it would erase what only that key opens.
        delay = next_delay(
            conf.webhook_backoff_seconds,
            attempt=row.round_count + 1,
            retry_after=None,
            jitter=random.random(),  # noqa: S311 - spreads load, protects nothing
        )
        if delay is not None:
            values = {"state": State.PENDING, "lease": None, "place": None, "due_at": now + delay}
            if row.endpoint is not None:
                with suppress(ValueError):
                    values["host"] = recording.host_of(row.endpoint.url)
        number = row.attempt_count + 1
        values |= {"attempt_count": number, "round_count": row.round_count + 1, "status_code": None}
        WebhookAttempt.objects.using(using).create(
            delivery=row, number=number, started_at=now, duration_ms=0, reason=reason
        )
    WebhookDelivery.objects.using(using).filter(pk=row.pk).update(reason=reason, **values)
    word = "deferred" if values["state"] == State.PENDING else "failed"
    facts = {
        **names(row.pk, row.message_id),
        "type": row.type,
        "host": row.host,
        "reason": reason,
        "request_id": row.request_id,
    }

    def after_commit() -> None:
        log_line(logger, logging.ERROR, f"webhook.{word}", **facts)
        metrics.count_webhook(word)

    transaction.on_commit(after_commit, using=using)


def ended(state: str, now: datetime, *, is_callback: bool) -> dict[str, object]:
    """Return the columns of a delivery that is final."""
    values: dict[str, object] = {
        "state": state,
        "lease": None,
        "place": None,
        "due_at": None,
        "settled_at": now,
    }
    if is_callback:
        # The caller's addresses, URL and secret go with it.
        values |= {"sealed_target": None, "sealed_payload": None}
    return values
