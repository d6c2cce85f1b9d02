"""After a rotation of keys: what is still open is sealed again, by the newest key."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from django.db import router

from django_authmail.exceptions import SealBroken
from django_authmail.models import Message, Priority
from django_authmail.outbox.transactions import retried
from django_authmail.sealing import reseal

BATCH = 200


@dataclass(slots=True, kw_only=True)
class Resealed:
    """How far it is, and what it found."""

    seen: int = 0
    written: int = 0
    #: Messages that no key opens. They are `failed` when a worker comes to them.
    broken: list[uuid.UUID] = field(default_factory=list)


def reseal_open() -> Iterator[Resealed]:
    """Seal every open message by the newest key; yield after each batch how far it is.

    Safe beside workers: what became final in the meantime stays without a body.
    """
    using = router.db_for_write(Message)
    state = Resealed()
    rows = Message.objects.using(using)
    # By the index of what is due: what is final is not read.
    is_open = rows.filter(priority__in=Priority.values, due_at__isnull=False)
    ids = list(is_open.values_list("id", flat=True))
    for start in range(0, len(ids), BATCH):
        batch = rows.filter(id__in=ids[start : start + BATCH], sealed__isnull=False)
        for row in batch.only("id", "sealed"):
            state.seen += 1
            try:
                sealed = reseal(bytes(row.sealed or b""))
            except SealBroken:
                state.broken.append(row.id)
                continue
            if sealed != bytes(row.sealed or b""):
                state.written += _write(row.id, sealed, using)
        yield state


def _write(id: uuid.UUID, sealed: bytes, using: str) -> int:
    # One statement, so that no worker can end the message in between: nothing else writes it.
    row = Message.objects.using(using).filter(id=id, sealed__isnull=False)
    return retried(lambda: row.update(sealed=sealed), using=using)
