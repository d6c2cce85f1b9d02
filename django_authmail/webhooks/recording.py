"""Who is to be told of a change, written down in the transaction that makes it.

So a mail that is settled cannot lose its webhook, whatever dies afterwards.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from django.db import Error, transaction

from django_authmail import metrics, statements
from django_authmail.exceptions import SealBroken
from django_authmail.logs import describe_apart, log_line
from django_authmail.models import Attempt, Message, Recipient, WebhookDelivery, WebhookEndpoint
from django_authmail.outcomes import Reason
from django_authmail.sealing import seal
from django_authmail.signals import webhook_queued
from django_authmail.statements import Rows, Trip
from django_authmail.webhooks import callbacks, events

logger = logging.getLogger(__name__)

#: Why a delivery to an endpoint that is disabled has failed.
DISABLED = "endpoint_disabled"

_BATCH = 500


class Change(Protocol):
    """A message that has another state now, and what else is written with it."""

    @property
    def row(self) -> Message: ...
    @property
    def recipients(self) -> list[Recipient]: ...
    @property
    def attempt(self) -> Attempt | None: ...
    @property
    def webhook(self) -> bytes | None: ...


def ask_whether_any(trip: Trip) -> Rows:
    """Return what will have a row if the project has endpoints: most have none."""
    return trip.ask(f"SELECT 1 FROM {statements.table(WebhookEndpoint, trip.using)} LIMIT 1")  # noqa: S608 - a name of ours


def record(
    changes: Collection[Change], now: datetime, using: str, *, has_endpoints: bool = True
) -> None:
    """Write down whom to tell of `changes`, and tell couriers after the commit.

    Call it before the hand-overs that belong to the changes are stored: one that is new tells a
    message that was tried from one that only waits. `has_endpoints` is what `ask_whether_any`
    found, by who has asked already.
    """
    happened = [(change, type) for change in changes if (type := _type(change)) is not None]
    if not happened:
        return
    # Asked each time: what one process remembers of them would be too little for the others.
    endpoints = list(
        WebhookEndpoint.objects.using(using).only("id", "url", "event_types", "owner", "enabled")
        if has_endpoints
        else ()
    )
    deliveries: list[WebhookDelivery] = []
    for change, type in happened:
        if endpoints:
            deliveries += _to_endpoints(endpoints, change, type, now)
        if change.row.is_final and change.webhook is not None:
            own = _to_caller(change, change.webhook, type, now)
            deliveries.append(own)
            if own.is_final:
                transaction.on_commit(lambda: metrics.count_webhook("failed"), using=using)
    queue(deliveries, using)


def queue(deliveries: Sequence[WebhookDelivery], using: str) -> None:
    """Insert deliveries, and tell couriers after the commit of those that are due."""
    if not deliveries:
        return
    WebhookDelivery.objects.using(using).bulk_create(deliveries, batch_size=_BATCH)
    first = next((delivery for delivery in deliveries if not delivery.is_final), None)
    if first is None:
        return
    announce(using, request_id=first.request_id, traceparent=first.traceparent)


def announce(using: str, *, request_id: str = "", traceparent: str = "") -> None:
    """Tell couriers, after the commit, that something is due."""
    about = {"request_id": request_id, "traceparent": traceparent}
    transaction.on_commit(lambda: webhook_queued.send_robust(WebhookDelivery, **about), using=using)


def host_of(url: str) -> str:
    """Return the host that a URL leads to, as places are counted by."""
    return (urlsplit(url).hostname or "")[:255]


def _type(change: Change) -> str | None:
    # A hand-over that was not counted may stand in the row of the one before: that is no news.
    attempt = change.attempt
    return events.type_of(change.row, tried=attempt is not None and attempt.pk is None)


def _to_endpoints(
    endpoints: Sequence[WebhookEndpoint], change: Change, type: str, now: datetime
) -> Iterator[WebhookDelivery]:
    row = change.row
    wanted = [
        endpoint
        for endpoint in endpoints
        if endpoint.owner in ("", row.owner)
        and (not endpoint.event_types or type in endpoint.event_types)
    ]
    if not wanted:
        return
    try:
        # The same for all of them; its seal names no row, for there is nothing secret in it.
        payload = seal(events.envelope(type, row, change.recipients, now))
    except Error:
        raise
    except Exception as error:
        # The mail is out, and is to be settled all the same: else it would be sent again.
        _not_recorded(row, error)
        return
    for endpoint in wanted:
        try:
            host = host_of(endpoint.url)
        except ValueError as error:
            # Edited by hand, or by something else: the others are to be told.
            _not_recorded(row, error, endpoint=str(endpoint.pk))
            continue
        delivery = _delivery(row, type, now)
        delivery.endpoint = endpoint
        delivery.host = host
        delivery.sealed_payload = payload
        if not endpoint.enabled:
            # For a replay, once it is enabled. Counted by no metric: nobody tried, and an alarm
            # that lasts as long as a person wants it off would be switched off too.
            delivery.state = WebhookDelivery.State.FAILED
            delivery.reason = DISABLED
            delivery.due_at, delivery.settled_at = None, now
        yield delivery


def _to_caller(change: Change, sealed: bytes, type: str, now: datetime) -> WebhookDelivery:
    row = change.row
    delivery = _delivery(row, type, now)
    try:
        callback, addresses = callbacks.unpack(row.id, sealed)
        delivery.host = host_of(callback.url)
        delivery.sealed_target = callbacks.pack(delivery.id, callback)
        delivery.sealed_payload = seal(
            events.callback_body(type, row, change.recipients, addresses, now)
        )
    except Error:
        raise
    except Exception as error:
        # The mail is out, and is to be settled all the same: else it would be sent again. What
        # cannot be opened goes with its end; that somebody was to be told does not.
        _not_recorded(row, error)
        delivery.sealed_target = delivery.sealed_payload = None
        delivery.state = WebhookDelivery.State.FAILED
        is_seal = isinstance(error, SealBroken)
        delivery.reason = Reason.SEAL_BROKEN if is_seal else Reason.ROW_BROKEN
        delivery.due_at, delivery.settled_at = None, now
    return delivery


def _not_recorded(row: Message, error: Exception, **about: str) -> None:
    facts = {"message": str(row.pk), **about, **describe_apart(error)}
    log_line(logger, logging.ERROR, "webhook.not_recorded", **facts)


def _delivery(row: Message, type: str, now: datetime) -> WebhookDelivery:
    return WebhookDelivery(
        id=uuid.uuid4(),
        message=row,
        type=type,
        due_at=now,
        request_id=row.request_id,
        traceparent=row.traceparent,
        created_at=now,
    )
