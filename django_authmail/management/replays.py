"""Which webhooks a command is asked to send again, and which of them cannot be."""

from __future__ import annotations

import uuid
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Q, QuerySet

from django_authmail.conf import conf
from django_authmail.management.moments import moment
from django_authmail.models import WebhookDelivery, WebhookEndpoint
from django_authmail.webhooks import events


def add_replay_arguments(parser: ArgumentParser) -> None:
    """Add the options that `chosen` and `one` read."""
    parser.add_argument(
        "delivery", nargs="?", metavar="DELIVERY", help="one, by its id or its webhook-id (msg_…)"
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        help="those recorded from then on: 2026-11-26, 2026-11-26T13:30, or 90m, 24h, 7d ago",
    )
    parser.add_argument("--until", metavar="TIME", help="and before then; now, by default")
    parser.add_argument(
        "--failed",
        action="store_true",
        help="of them, those that were given up, or fail so far; without it, also those that were "
        "delivered",
    )
    parser.add_argument("--dry-run", action="store_true", help="say how many, and send none")


def one(given: str, using: str) -> QuerySet[WebhookDelivery]:
    """Return the delivery that has this id."""
    try:
        key = uuid.UUID(given.removeprefix("msg_"))
    except ValueError:
        raise CommandError(f"{given!r} is neither an id nor a webhook-id (msg_…).") from None
    rows = WebhookDelivery.objects.using(using).filter(pk=key)
    if not rows.exists():
        raise CommandError("No delivery has this id. It may be too old to be kept.")
    return rows


def chosen(
    options: dict[str, Any], endpoint: WebhookEndpoint | None, now: datetime, using: str
) -> QuerySet[WebhookDelivery]:
    """Return the deliveries of a time, without tests of an endpoint."""
    if not options["since"]:
        raise CommandError("Give a DELIVERY, or --since for all of a time.")
    since = moment(options["since"], now, option="--since")
    until = moment(options["until"], now, option="--until") if options["until"] else now
    if until <= since:
        raise CommandError("--until must be after --since.")
    rows = WebhookDelivery.objects.using(using).filter(created_at__gte=since, created_at__lt=until)
    rows = rows.exclude(type=events.TEST)
    if endpoint is not None:
        rows = rows.filter(endpoint=endpoint)
    # On their way with a reason: the attempt before failed.
    failing = Q(due_at__isnull=False) & ~Q(reason="")
    given_up = Q(state=WebhookDelivery.State.FAILED)
    return rows.filter(given_up | failing) if options["failed"] else rows


def left_out(rows: QuerySet[WebhookDelivery], now: datetime) -> list[str]:
    """Return a sentence for each reason why some of `rows` cannot be sent again."""
    final = rows.filter(due_at__isnull=True)
    disabled = Q(endpoint__enabled=False)
    counts = (
        (
            rows.filter(Q(state=WebhookDelivery.State.SENDING) | Q(due_at__lte=now)).count(),
            "on the way already",
        ),
        (
            final.filter(endpoint_id__isnull=True).count(),
            "of a request's own webhook, whose URL and secret are gone",
        ),
        (final.filter(disabled).count(), "to an endpoint that is disabled: enable it first"),
        (
            final.filter(endpoint__enabled=True, sealed_payload__isnull=True).count(),
            "without what was posted, which is not kept any more",
        ),
    )
    return [f"Not sent again: {count} {why}." for count, why in counts if count]


def kept_for() -> str:
    """Return for how long a webhook can be sent again, with a space before; empty: for ever."""
    kept = conf.retain_attempts
    if not kept:
        return ""
    return f" for {kept.days} days" if kept.days > 1 else f" for {kept}"


def webhooks(count: int) -> str:
    """Return a number of webhooks in words."""
    return "1 webhook" if count == 1 else f"{count} webhooks"
