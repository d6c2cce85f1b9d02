"""What the tables say at this moment, for metrics: read at each scrape, in a few cheap queries."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from django.db import Error, router
from django.db.models import Count, Min

from django_authmail.clock import db_now
from django_authmail.logs import named
from django_authmail.metrics import Reading
from django_authmail.models import OPEN_STATES, Message, Priority, State
from django_authmail.outbox import carriers
from django_authmail.webhooks import gauges

logger = logging.getLogger(__name__)


def readings() -> Iterator[Reading]:
    """Yield the gauges of queue, carriers and webhooks; none while the database fails."""
    try:
        yield from [*_queue(), *_carriers(), *gauges.readings()]
    except Error as error:
        # The other metrics are worth having, above all now.
        logger.warning("metrics.database_failed error=%s", named(error))


def _queue() -> Iterator[Reading]:
    using = router.db_for_write(Message)
    # By the one index that has what is open, and nothing of what is not. State and age are in no
    # index: it would be half as large again, and each hand-over would pay for each scrape.
    rows = (
        Message.objects.using(using)
        .filter(priority__in=Priority.values, due_at__isnull=False)
        .values("state")
        .annotate(count=Count("id"), oldest=Min("created_at"))
        .order_by("state")
    )
    found = {row["state"]: row for row in rows}
    depth: dict[tuple[str, ...], float] = {
        (str(s),): float(found[s]["count"] if s in found else 0) for s in OPEN_STATES
    }
    yield Reading("authmail_queue_depth", "Messages that are not final.", ("state",), depth)
    oldest = found[State.QUEUED]["oldest"] if State.QUEUED in found else None
    age = 0.0 if oldest is None else max((db_now(using) - oldest).total_seconds(), 0.0)
    yield Reading(
        "authmail_queue_oldest_seconds",
        "Age of the oldest queued message; 0 when none is queued.",
        (),
        {(): age},
    )


def _carriers() -> Iterator[Reading]:
    statuses = carriers.statuses()
    yield Reading(
        "authmail_breaker_open",
        "Whether the mailer's breaker is open.",
        ("mailer",),
        {(status.name,): float(status.is_open) for status in statuses},
    )
    yield Reading(
        "authmail_quota_remaining",
        "Recipients that the mailer may still send to, in the window that has the fewest.",
        ("mailer",),
        {
            (status.name,): float(min(quota.remaining for quota in status.quotas))
            for status in statuses
            if status.quotas
        },
    )
