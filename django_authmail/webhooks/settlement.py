"""How an attempt ends: with a success, with another one later, or with the end of the delivery."""

from __future__ import annotations

import logging
import random
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import router, transaction

from django_authmail import metrics
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.logs import describe_apart, log_line
from django_authmail.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from django_authmail.outcomes import Reason
from django_authmail.transactions import FAILED, PATIENCE, retried
from django_authmail.webhooks import endpoints
from django_authmail.webhooks.backoff import next_delay
from django_authmail.webhooks.deliveries import Claim, State, ended
from django_authmail.webhooks.posting import Posted
from django_authmail.webhooks.recording import host_of

logger = logging.getLogger(__name__)

#: An endpoint that has taken nothing for so long is disabled.
FAILING_FOR = timedelta(days=5)
#: And of these failures one must be so old, beside the first: where there was nothing to send, the
#: next failure would be the second of all.
FAILING_STILL = timedelta(days=1)
#: RFC 9110 15.5.11: it is not there any more, and is not coming back.
GONE = 410


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A claim, and what became of its attempt."""

    claim: Claim
    posted: Posted

    @property
    def is_gone(self) -> bool:
        return self.posted.status == GONE


def settle_many(ends: Sequence[End], *, patience: float = PATIENCE) -> list[str]:
    """Record how attempts ended, in one transaction, and return the state of each delivery.

    Those whose lease another courier has taken over are left out: that one sends it again. One that
    cannot be written is logged and left out: it is sent again when its lease ends, as the next of
    its attempts.

    Raises:
        OperationalError, InterfaceError, InternalError: the database did not recover in time.
    """
    using = router.db_for_write(WebhookDelivery)
    try:
        return retried(lambda: _write(ends, using), using=using, patience=patience)
    except FAILED:
        raise
    except Exception as error:
        # Something about one of them: it must not take the outcome of the others along.
        if len(ends) > 1:
            return [state for end in ends for state in settle_many([end], patience=patience)]
        for end in ends:
            facts = describe_apart(error)
            log_line(logger, logging.ERROR, "webhook.not_recorded", **end.claim.names, **facts)
        return []


def give_back(claims: Sequence[Claim]) -> None:
    """Let others have what was claimed and not tried, when the leases would have ended.

    No attempt is counted.

    Raises:
        OperationalError, InterfaceError, InternalError: the database did not recover in time.
    """
    using = router.db_for_write(WebhookDelivery)

    def write() -> None:
        rows = WebhookDelivery.objects.using(using)
        for claim in sorted(claims, key=lambda claim: claim.id):
            rows.filter(pk=claim.id, lease=claim.lease).update(
                state=State.PENDING, lease=None, place=None
            )

    retried(write, using=using)


def _write(ends: Sequence[End], using: str) -> list[str]:
    deliveries = WebhookDelivery.objects.using(using)
    claimed = {end.claim.id: end for end in ends}
    # In one order, so that two that lock the same rows wait instead of deadlocking.
    rows = deliveries.select_for_update().filter(pk__in=list(claimed)).order_by("pk")
    now = db_now(using)
    attempts: list[WebhookAttempt] = []
    written: list[End] = []
    states: list[str] = []
    hosts = _hosts(ends, using)
    for row in rows.only("pk", "lease", "attempt_count", "round_count"):
        end = claimed[row.pk]
        if row.lease != end.claim.lease:
            log_line(logger, logging.WARNING, "webhook.lease_lost", **end.claim.names)
            continue
        values = _values(end, row.round_count + 1, now)
        if values["state"] == State.PENDING and end.claim.endpoint in hosts:
            values["host"] = hosts[end.claim.endpoint]
        deliveries.filter(pk=row.pk).update(
            attempt_count=row.attempt_count + 1,
            round_count=row.round_count + 1,
            status_code=end.posted.status,
            reason=end.posted.reason,
            **values,
        )
        attempts.append(_attempt(end, row.attempt_count + 1))
        written.append(end)
        states.append(str(values["state"]))
        _announce(end, states[-1], using)
    WebhookAttempt.objects.using(using).bulk_create(attempts)
    _judge(written, now, using)
    return states


def _hosts(ends: Sequence[End], using: str) -> dict[uuid.UUID | None, str]:
    """Return the host that each endpoint has now, of ends that failed: it may have been changed."""
    ids = {
        end.claim.endpoint
        for end in ends
        if end.claim.endpoint is not None and not end.posted.is_success
    }
    if not ids:
        return {}
    rows = WebhookEndpoint.objects.using(using).filter(pk__in=ids)
    hosts: dict[uuid.UUID | None, str] = {}
    for id, url in rows.values_list("pk", "url"):
        # A URL that something else has broken: the delivery stays where it was.
        with suppress(ValueError):
            hosts[id] = host_of(url)
    return hosts


def _values(end: End, attempt: int, now: datetime) -> dict[str, object]:
    is_callback = end.claim.endpoint is None
    if end.posted.is_success:
        return ended(State.DELIVERED, now, is_callback=is_callback)
    delay = next_delay(
        conf.webhook_backoff_seconds,
        attempt=attempt,
        retry_after=end.posted.retry_after,
        jitter=random.random(),  # noqa: S311 - spreads load, protects nothing
    )
    if delay is None or end.is_gone:
        return ended(State.FAILED, now, is_callback=is_callback)
    return {"state": State.PENDING, "lease": None, "place": None, "due_at": now + delay}


def _attempt(end: End, number: int) -> WebhookAttempt:
    return WebhookAttempt(
        delivery_id=end.claim.id,
        number=number,
        started_at=end.claim.claimed_at,
        duration_ms=round(end.posted.duration_seconds * 1000),
        status_code=end.posted.status,
        reason=end.posted.reason,
    )


def _judge(ends: Sequence[End], now: datetime, using: str) -> None:
    """Take note of which endpoints work, and disable those that have not for long."""
    by_endpoint: dict[uuid.UUID, list[End]] = {}
    for end in ends:
        if end.claim.endpoint is not None:
            by_endpoint.setdefault(end.claim.endpoint, []).append(end)
    rows = WebhookEndpoint.objects.using(using)
    for id, theirs in sorted(by_endpoint.items()):
        if any(end.is_gone for end in theirs):
            _disable(id, endpoints.GONE, using)
        elif any(end.posted.is_success for end in theirs):
            # Nearly always there is nothing to write.
            rows.filter(pk=id, failing_since__isnull=False).update(failing_since=None)
        elif not rows.filter(pk=id, failing_since__isnull=True).update(failing_since=now) and (
            _has_failed_for_long(id, now, using)
        ):
            _disable(id, endpoints.FAILING, using)


def _has_failed_for_long(id: uuid.UUID, now: datetime, using: str) -> bool:
    rows = WebhookEndpoint.objects.using(using).filter(pk=id, failing_since__lte=now - FAILING_FOR)
    since = rows.values_list("failing_since", flat=True).first()
    if since is None:
        return False
    attempts = WebhookAttempt.objects.using(using).filter(
        delivery__endpoint=id, started_at__gt=since, started_at__lte=now - FAILING_STILL
    )
    # One that was never sent says nothing about its receiver.
    return attempts.exclude(reason=Reason.SEAL_BROKEN).exists()


def _disable(id: uuid.UUID, reason: str, using: str) -> None:
    if endpoints.disable(id, reason=reason) is not None:
        transaction.on_commit(lambda: metrics.count_endpoint_disabled(reason), using=using)


def _announce(end: End, state: str, using: str) -> None:
    claim, posted = end.claim, end.posted
    word = "deferred" if state == State.PENDING else state
    level = {"delivered": logging.INFO, "deferred": logging.WARNING}.get(word, logging.ERROR)
    facts = {
        **claim.names,
        "type": claim.type,
        "host": claim.host,
        "endpoint": "" if claim.endpoint is None else str(claim.endpoint),
        "status": posted.status,
        "reason": "" if posted.is_success else posted.reason,
        "attempt": claim.attempt,
        "duration_ms": round(posted.duration_seconds * 1000),
        "request_id": claim.request_id,
        "traceparent": claim.traceparent,
    }

    def after_commit() -> None:
        log_line(logger, level, f"webhook.{word}", **facts)
        metrics.count_webhook(word)

    transaction.on_commit(after_commit, using=using)
