"""What has been kept long enough goes: attempts, webhooks, final messages, counters, suppressions,
and what is known of requests with an Idempotency-Key.

In batches, each in a transaction of its own and found by an index: a table of millions is neither
locked nor read through.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter as Tally
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connections, router
from django.db.models import QuerySet

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.models import (
    Attempt,
    Counter,
    IdempotencyRecord,
    Message,
    Suppression,
    WebhookDelivery,
)
from django_authmail.transactions import retried

BATCH = 1000
#: Attempts in a row that are never all of carriers that were down.
_NEIGHBOURS = 20


def purge(*, seconds: float | None = None, batch: int = BATCH) -> Iterator[Tally[str]]:
    """Delete what has been kept long enough; yield, after each batch, how many rows went so far.

    The names are those of `purgeable`. With `seconds`, no further batch is begun after them.
    """
    end = None if seconds is None else time.monotonic() + seconds
    using = router.db_for_write(Message)
    done: Tally[str] = Tally()
    for name, rows in _old(using).items():
        while end is None or time.monotonic() < end:
            if not (count := _delete(rows, batch, using)):
                break
            done[name] += count
            yield done


def purgeable() -> dict[str, int]:
    """Return how many rows of each kind `purge` would delete now."""
    return {name: rows.count() for name, rows in _old(router.db_for_write(Message)).items()}


def _old(using: str) -> dict[str, QuerySet[Any]]:  # of six models
    now = db_now(using)
    rows: dict[str, QuerySet[Any]] = {}
    if conf.retain_attempts:
        before = now - conf.retain_attempts
        rows["attempts"] = _old_attempts(before, using)
        # With their attempts. What is settled before was created before, and that has an index.
        rows["webhooks"] = (
            WebhookDelivery.objects.using(using)
            .filter(created_at__lt=before, settled_at__lt=before)
            .order_by("created_at")
        )
    if conf.retain_messages:
        before = now - conf.retain_messages
        # What became final before was created before, and that has an index.
        rows["messages"] = (
            Message.objects.using(using)
            .filter(created_at__lt=before, settled_at__lt=before)
            # It would take along what somebody is still to be told.
            .exclude(webhooks__due_at__isnull=False)
            .order_by("created_at")
        )
    # A window that ended counts for nothing; a day more leaves those in use alone.
    rows["counters"] = Counter.objects.using(using).filter(ends_at__lt=now - timedelta(days=1))
    rows["suppressions"] = Suppression.objects.using(using).filter(ends_at__lt=now)
    rows["idempotency records"] = IdempotencyRecord.objects.using(using).filter(expires_at__lt=now)
    return rows


def _old_attempts(before: datetime, using: str) -> QuerySet[Attempt]:
    """Return the attempts before a time, by their ids: these grow with time, and have an index.

    How far the ids reach is found by halving. Single ones may be younger than those after them,
    which were written over later because a carrier was down: a few are looked at each time.
    """
    rows = Attempt.objects.using(using).order_by("id")
    low, high = 0, rows.values_list("id", flat=True).last() or 0
    while low < high:
        middle = (low + high + 1) // 2
        nearest = rows.filter(id__lte=middle).reverse()[:_NEIGHBOURS]
        times = list(nearest.values_list("started_at", flat=True))
        if not times or min(times) < before:
            low = middle
        else:
            high = middle - 1
    return rows.filter(id__lte=low, started_at__lt=before)


def _delete(rows: QuerySet[Any], batch: int, using: str) -> int:
    def delete() -> int:
        keys = list(rows.values_list("pk", flat=True)[:batch])
        # Looked at again once they are locked: what somebody has sent again meanwhile is kept.
        locked = rows.filter(pk__in=keys).select_for_update(of=of).order_by("pk")
        keys = list(locked.values_list("pk", flat=True)) if keys else []
        if rows.model is Message:
            keys = _told_of(keys, using)
        if keys:
            rows.model._default_manager.using(using).filter(pk__in=keys).delete()
        return len(keys)

    of = ("self",) if connections[using].features.has_select_for_update_of else ()
    return retried(delete, using=using)


def _told_of(messages: Collection[uuid.UUID], using: str) -> list[uuid.UUID]:
    """Return those of `messages` whose webhooks are over, and stay so: they go along.

    A replay writes to a webhook alone. Either it was there before, and the message is kept; or it
    waits for the lock, and finds that the webhook is gone.
    """
    webhooks = WebhookDelivery.objects.using(using).filter(message_id__in=messages)
    locked = webhooks.select_for_update().order_by("pk").values_list("message_id", "due_at")
    wanted = {message for message, due_at in locked if due_at is not None}
    return [id for id in messages if id not in wanted]
