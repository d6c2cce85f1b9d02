"""What the tables say of webhooks at this moment, for metrics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from django.db import router
from django.db.models import Count, Min

from django_authmail.clock import db_now
from django_authmail.metrics import Reading
from django_authmail.models import WebhookDelivery

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_OPEN = (WebhookDelivery.State.PENDING, WebhookDelivery.State.SENDING)


def readings() -> Iterator[Reading]:
    """Yield how many webhooks are not final, and how long what is due has been waiting."""
    using = router.db_for_write(WebhookDelivery)
    rows = (
        WebhookDelivery.objects.using(using)
        # By the index of what is open, which has the state too: no row is read. Not "is not NULL":
        # SQLite reads the whole table for that.
        .filter(due_at__gt=_LONG_AGO)
        .values("state")
        .annotate(count=Count("*"), first=Min("due_at"))
        .order_by("state")
    )
    found = {row["state"]: row for row in rows}
    depth: dict[tuple[str, ...], float] = {
        (str(state),): float(found[state]["count"] if state in found else 0) for state in _OPEN
    }
    yield Reading("authmail_webhook_queue_depth", "Webhooks that are not final.", ("state",), depth)
    first = found[_OPEN[0]]["first"] if _OPEN[0] in found else None
    late = 0.0 if first is None else max((db_now(using) - first).total_seconds(), 0.0)
    yield Reading(
        "authmail_webhook_overdue_seconds",
        "How long the webhook that has been due the longest waits for a courier; 0: none does.",
        (),
        {(): late},
    )
