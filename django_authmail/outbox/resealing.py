"""After a rotation of keys: what is still to be opened is sealed again, by the newest key."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import router
from django.db.models import QuerySet

from django_authmail.exceptions import SealBroken
from django_authmail.models import (
    IdempotencyRecord,
    Message,
    Priority,
    WebhookDelivery,
    WebhookEndpoint,
)
from django_authmail.sealing import reseal
from django_authmail.transactions import retried

BATCH = 200


@dataclass(slots=True, kw_only=True)
class Resealed:
    """How far it is, and what it found."""

    seen: int = 0
    written: int = 0
    #: What no key opens. Messages are `failed` when a worker comes to them.
    broken: list[uuid.UUID | str] = field(default_factory=list)


def reseal_open() -> Iterator[Resealed]:
    """Seal every open message by the newest key; yield after each batch how far it is.

    Safe beside workers: what became final in the meantime stays without a body.
    """
    rows = Message.objects.using(router.db_for_write(Message))
    # By the index of what is due: what is final is not read.
    is_open = rows.filter(priority__in=Priority.values, due_at__isnull=False)
    return _reseal(is_open, "sealed", Resealed())


def reseal_answers() -> Iterator[Resealed]:
    """Do the same with the answers that are kept for repeats of requests.

    One that no key opens is made anew from its message when a repeat comes.
    """
    rows = IdempotencyRecord.objects.using(router.db_for_write(Message))
    return _reseal(rows.filter(answer__isnull=False), "answer", Resealed())


def reseal_webhooks() -> Iterator[Resealed]:
    """Do the same with the secrets of endpoints, and with what webhooks are made of.

    A webhook that no key opens is `failed` when a courier comes to it; an endpoint's secrets, when
    one is to be sent to it: rotate them.
    """
    using = router.db_for_write(Message)
    messages = Message.objects.using(using)
    deliveries = WebhookDelivery.objects.using(using)
    is_open = messages.filter(priority__in=Priority.values, due_at__isnull=False)
    state = Resealed()
    for found, column in (
        (WebhookEndpoint.objects.using(using).all(), "sealed_secrets"),
        (is_open, "webhook"),
        (deliveries.filter(due_at__isnull=False), "sealed_target"),
        # Those of the past too: they can be sent again.
        (deliveries.filter(sealed_payload__isnull=False), "sealed_payload"),
    ):
        yield from _reseal(found, column, state)


def _reseal(
    found: QuerySet[Any],  # of several models
    column: str,
    state: Resealed,
) -> Iterator[Resealed]:
    rows = found.model._default_manager.using(found.db)
    keys = list(found.values_list("pk", flat=True))
    for start in range(0, len(keys), BATCH):
        batch = rows.filter(pk__in=keys[start : start + BATCH]).exclude(**{column: None})
        for key, value in batch.values_list("pk", column):
            state.seen += 1
            old = bytes(value)
            try:
                new = reseal(old)
            except SealBroken:
                state.broken.append(key)
                continue
            if new != old:
                # Only if it is what was read: a worker may have ended the message since, and
                # another request have taken the record over.
                unchanged = rows.filter(**{"pk": key, column: old})
                state.written += _write(unchanged, {column: new})
        yield state


def _write(row: QuerySet[Any], values: dict[str, bytes]) -> int:
    return retried(lambda: row.update(**values), using=row.db)
