"""Which of the due deliveries are sent next: each host has a few places, and no more than these.

A delivery takes a place up while it is under way, and a unique constraint holds over all processes
that no two have the same: a receiver that is slow keeps couriers for others free, and one that was
down is not run over.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import connections
from django.db.models import Q, QuerySet

from django_authmail.models import WebhookDelivery

#: Deliveries that are under way to one host at a time, over all processes.
PLACES = 2
#: Due rows that are looked at for each one that is wanted: those of a busy host stand in the way.
_LOOKED_AT = 10
#: Times that it is looked behind the rows of busy hosts.
_ROUNDS = 5

_PENDING = WebhookDelivery.State.PENDING


def choose(
    due: QuerySet[WebhookDelivery], limit: int, retries: int, using: str
) -> dict[int, list[WebhookDelivery]]:
    """Return up to `limit` rows, the longest due first, by the place that each gets."""
    chosen: dict[int, list[WebhookDelivery]] = {}
    taken: dict[str, set[int]] = {}
    wanted = limit * _LOOKED_AT
    for _ in range(_ROUNDS):
        full = [host for host, places in taken.items() if len(places) >= PLACES]
        before = [row.pk for rows in chosen.values() for row in rows]
        # One whose lease has ended has its place already.
        wished = due if retries > 0 else due.filter(attempt_count=0)
        found = list(
            wished.exclude(Q(host__in=full) & Q(state=_PENDING))
            .exclude(pk__in=before)
            .order_by("due_at")
            .only("id", "host", "place", "attempt_count")[:wanted]
        )
        taken |= _places({row.host for row in found}.difference(taken), using)
        for row in found:
            free = _place(row, taken[row.host])
            is_retry = row.attempt_count > 0
            if free is None or (is_retry and retries <= 0):
                continue
            retries -= is_retry
            taken[row.host].add(free)
            chosen.setdefault(free, []).append(row)
            if sum(map(len, chosen.values())) >= limit:
                return chosen
        if len(found) < wanted:
            break
    return chosen


def locked(
    chosen: dict[int, list[WebhookDelivery]], using: str
) -> dict[int, list[WebhookDelivery]]:
    """Lock what was chosen, where the database can, and leave out what others have locked."""
    if not connections[using].features.has_select_for_update_skip_locked:
        return chosen
    wanted = [row.pk for rows in chosen.values() for row in rows]
    free = WebhookDelivery.objects.using(using).filter(pk__in=wanted).order_by("pk")
    locked = set(free.select_for_update(skip_locked=True).values_list("pk", flat=True))
    return {place: [row for row in rows if row.pk in locked] for place, rows in chosen.items()}


def _place(row: WebhookDelivery, taken: Collection[int]) -> int | None:
    if row.place is not None:
        return row.place
    return next((place for place in range(PLACES) if place not in taken), None)


def _places(hosts: Collection[str], using: str) -> dict[str, set[int]]:
    """Return the places that are taken of each host."""
    taken: dict[str, set[int]] = {host: set() for host in hosts}
    if taken:
        rows = WebhookDelivery.objects.using(using)
        # By the index of the constraint; `place` not NULL would read all that was ever sent there.
        found = rows.filter(host__in=list(taken), place__in=range(PLACES))
        for host, place in found.values_list("host", "place"):
            if place is not None:
                taken[host].add(place)
    return taken
