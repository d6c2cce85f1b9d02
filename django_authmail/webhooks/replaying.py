"""What is sent again because somebody says so: the verb `replay`, and why it may not do it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial

from django.db import router, transaction
from django.db.models import Q, QuerySet

from django_authmail.clock import db_now
from django_authmail.logs import log_line
from django_authmail.models import WebhookDelivery
from django_authmail.transactions import retried
from django_authmail.webhooks import recording

logger = logging.getLogger(__name__)

State = WebhookDelivery.State

_BATCH = 500


class Obstacle(StrEnum):
    """Why a delivery cannot be sent again."""

    # A courier has it, or comes to it next.
    UNDER_WAY = "under_way"
    # Its request said where to, and its URL and secret are gone.
    OF_A_REQUEST = "of_a_request"
    DISABLED = "disabled"
    # What was posted is not kept any more.
    ERASED = "erased"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How many deliveries somebody has sent on their way."""

    #: They had ended.
    again: int
    #: They waited for a later attempt.
    sooner: int
    #: They were there, and deleted before they could be sent: kept long enough, or erased.
    gone: int = 0

    @property
    def count(self) -> int:
        return self.again + self.sooner


def obstacle(row: WebhookDelivery, now: datetime) -> Obstacle | None:
    """Return why one delivery, selected with its endpoint, cannot be sent again; None: it can."""
    if row.due_at is not None:
        is_later = row.state == State.PENDING and row.due_at > now
        return None if is_later else Obstacle.UNDER_WAY
    if row.endpoint_id is None:
        return Obstacle.OF_A_REQUEST
    if row.endpoint is None or not row.endpoint.enabled:
        return Obstacle.DISABLED
    return Obstacle.ERASED if row.sealed_payload is None else None


def replayable(rows: QuerySet[WebhookDelivery]) -> QuerySet[WebhookDelivery]:
    """Return those of `rows` that have ended and can be sent again.

    That is: for an endpoint that is enabled, and with their payload. A request's own webhook cannot
    be: its URL and secret are gone.
    """
    return rows.filter(due_at__isnull=True, endpoint__enabled=True, sealed_payload__isnull=False)


def waiting(rows: QuerySet[WebhookDelivery], now: datetime) -> QuerySet[WebhookDelivery]:
    """Return those of `rows` that wait for a later attempt, a request's own among them.

    What is due already is left out: to be due now would put it behind the others.
    """
    return rows.filter(state=State.PENDING, due_at__gt=now)


def replay(rows: QuerySet[WebhookDelivery]) -> Replayed:
    """Send those of `rows` again that can be, with the same `webhook-id`; say how many.

    Those that wait for a later attempt are due now. All of them have the whole schedule before them
    again. A receiver that has had one knows it by its id.
    """
    using = router.db_for_write(WebhookDelivery)
    now = db_now(using)
    given = rows.using(using)
    ended_still = Q(due_at__isnull=True, sealed_payload__isnull=False)
    again, left = _due(replayable(given), ended_still, now, using, settled_at=None, reason="")
    # Their reason stays: it says that they failed before.
    waits_still = Q(state=State.PENDING, due_at__gt=now)
    sooner, others = _due(waiting(given, now), waits_still, now, using)
    done = Replayed(again=again, sooner=sooner, gone=left + others)
    if done.count:
        facts = {"count": done.again, "sooner": done.sooner}
        transaction.on_commit(
            lambda: log_line(logger, logging.INFO, "webhook.replayed", **facts), using=using
        )
    return done


def _due(
    rows: QuerySet[WebhookDelivery], still: Q, now: datetime, using: str, **changes: object
) -> tuple[int, int]:
    """Make rows due now, those that are `still` as they were chosen; say how many, and how many
    are not there any more.

    Each batch in a transaction of its own: they are many where an endpoint was disabled for long.
    """
    ids = list(rows.values_list("pk", flat=True))

    def write(batch: Sequence[uuid.UUID]) -> tuple[int, int]:
        found = WebhookDelivery.objects.using(using).filter(pk__in=batch)
        count = found.filter(still).update(
            state=State.PENDING, due_at=now, round_count=0, **changes
        )
        if count:
            recording.announce(using)
        return count, 0 if count == len(batch) else len(batch) - found.count()

    batches = (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
    done = [retried(partial(write, batch), using=using) for batch in batches]
    return sum(count for count, _ in done), sum(gone for _, gone in done)
