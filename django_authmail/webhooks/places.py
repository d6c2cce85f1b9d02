"""Which of the due deliveries are sent next: those that there is a place for.

A delivery takes a place of its host up while it is under way, and a unique constraint holds over
all processes that no two have the same. A receiver, which is an endpoint, or what requests name of
one host, has two of them at most: one that is slow keeps places for others at its host free. And a
host has few: many receivers there keep couriers for other hosts free, and a host that was down is
not run over.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field

from django.db import connections
from django.db.models import Q, QuerySet

from django_authmail.models import WebhookDelivery

#: Deliveries that are under way to one receiver at a time, over all processes. No constraint holds
#: that: in the moment in which others at its host come and go, two couriers may give it one more.
PLACES = 2
#: Deliveries that are under way to one host at a time, over all processes: of a service that many
#: of a project's customers use, three may hang before the others notice.
HOST_PLACES = 8
#: Due rows that are looked at for each one that is wanted: those of a busy host stand in the way.
_LOOKED_AT = 10

_PENDING = WebhookDelivery.State.PENDING


def choose(
    due: QuerySet[WebhookDelivery], *, limit: int, retries: int, using: str
) -> dict[int, list[WebhookDelivery]]:
    """Return up to `limit` rows, the longest due first, by the place that each gets."""
    chosen: dict[int, list[WebhookDelivery]] = {}
    hosts: dict[str, _Host] = {}
    wanted = limit * _LOOKED_AT
    # It ends: each look chooses one, or finds one more receiver or host busy, which the next ones
    # pass over; and no more of these are busy than deliveries are under way.
    while limit > 0:
        before = [row.pk for rows in chosen.values() for row in rows]
        # By an index of its own: those tried before may be all that is due, but for a few.
        wished = due if retries > 0 else due.filter(attempt_count=0)
        found = list(
            # One whose lease has ended has its place already.
            wished.exclude(_without_place(hosts) & Q(state=_PENDING))
            .exclude(pk__in=before)
            .order_by("due_at")
            .only("id", "host", "endpoint", "place", "attempt_count")[:wanted]
        )
        hosts |= _hosts({row.host for row in found}.difference(hosts), using)
        for row in found:
            host = hosts[row.host]
            place = host.place_for(row.endpoint_id) if row.place is None else row.place
            is_retry = row.attempt_count > 0
            if place is None or (is_retry and retries <= 0):
                continue
            retries -= is_retry
            host.receivers[place] = row.endpoint_id
            chosen.setdefault(place, []).append(row)
            limit -= 1
            if limit == 0:
                break
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


@dataclass(slots=True)
class _Host:
    """A host, and which receiver has each of its places that are taken.

    A receiver is the id of an endpoint; None: what requests name.
    """

    receivers: dict[int, uuid.UUID | None] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.receivers) >= HOST_PLACES

    @property
    def busy(self) -> set[uuid.UUID | None]:
        """Which receivers have no more than they have now."""
        having = list(self.receivers.values())
        return {receiver for receiver in having if having.count(receiver) >= PLACES}

    def place_for(self, receiver: uuid.UUID | None) -> int | None:
        if receiver in self.busy:
            return None
        return next((place for place in range(HOST_PLACES) if place not in self.receivers), None)


def _without_place(hosts: dict[str, _Host]) -> Q:
    """Return the condition of rows that there is no place for."""
    full = [name for name, host in hosts.items() if host.is_full]
    named = [name for name, host in hosts.items() if None in host.busy]
    busy = {name: host.busy - {None} for name, host in hosts.items() if host.busy - {None}}
    return (
        Q(host__in=full)
        | Q(endpoint__isnull=True, host__in=named)
        # Pair by pair would be too much for one statement. An endpoint has one URL: it is hardly
        # ever at two of these hosts.
        | Q(endpoint__in=set().union(*busy.values()), host__in=list(busy))
    )


def _hosts(names: Collection[str], using: str) -> dict[str, _Host]:
    """Return the hosts of these names, with the places that are taken."""
    hosts = {name: _Host() for name in names}
    if hosts:
        rows = WebhookDelivery.objects.using(using)
        # By the index of the constraint; `place` not NULL would read all that was ever sent there.
        found = rows.filter(host__in=list(hosts), place__in=range(HOST_PLACES))
        for host, place, receiver in found.values_list("host", "place", "endpoint"):
            if place is not None:
                hosts[host].receivers[place] = receiver
    return hosts
