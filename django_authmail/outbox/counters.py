"""How much of something was used in a window of time: exact over every process and machine.

A window begins with the first use and has a length; after its end the count is 0 again. Each use
is one conditional UPDATE, so that of two that race for the last place one finds it taken. The
clock is the database's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Case, F, Q, QuerySet, Value, When

from django_authmail import statements
from django_authmail.clock import db_now
from django_authmail.models import Counter
from django_authmail.statements import Trip
from django_authmail.transactions import PATIENCE, retried

# PostgreSQL's clock, which says the same wherever it stands in one statement.
_NOW = "statement_timestamp()"
#: The end of a window that never was.
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most `most` uses of `key` (200 characters at most) in each window of the length `window`.

    A key holds no address: a hash of one, at most.
    """

    key: str
    most: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What became of a use: `granted` by every limit, or counted by none."""

    granted: bool
    #: How long until it may be granted; zero when it was.
    wait: timedelta
    #: When it was counted, by the database's clock.
    at: datetime
    #: By key: what this use counts as, where it was granted.
    amounts: dict[str, int]
    #: By key: what is used in all, and when the window ends.
    used: dict[str, int]
    ends_at: dict[str, datetime]


def take(*limits: Limit, amount: int = 1, patience: float = PATIENCE) -> Use:
    """Count `amount` against all `limits`, or against none if it is too much for one of them.

    An amount that is more than a whole window allows takes a whole one: it would wait for ever.

    Inside of a transaction of the caller's, others who use the same keys wait for its end, and a
    rollback takes the use back. `patience` is that of `retried`.

    Raises:
        ValueError: the amount or what a limit allows is less than 1.
    """
    if amount < 1:
        raise ValueError("an amount that is counted is 1 or more")
    using = router.db_for_write(Counter)
    ordered, amounts = _ordered(limits), _amounts(limits, amount)

    def count() -> Use:
        counted: _Counted = {}
        # A part of it that is refused takes the rest back; one alone has no rest.
        together = transaction.atomic(using=using) if len(ordered) > 1 else nullcontext()
        with suppress(_Refused), together:
            with Trip(using) as trip:
                now = trip.ask_time()
                asked = _asked(ordered, amounts, trip)
            counted = asked(now())
            if len(counted) < len(ordered):
                raise _Refused
        return _use(ordered, amounts, counted, now(), using)

    return retried(count, using=using, patience=patience)


def ask_within(limits: Sequence[Limit], trip: Trip) -> Callable[[datetime], Use]:
    """Count one use as `take` does, in the transaction of a trip.

    What comes back tells after the trip what became of it; it takes the time of the transaction.
    The caller rolls that back where the use is not granted: some of the limits may have counted it.
    """
    ordered, amounts = _ordered(limits), _amounts(limits, 1)
    count = _asked(ordered, amounts, trip)
    return lambda now: _use(ordered, amounts, count(now), now, trip.using)


def count_along(using: str) -> bool:
    """Whether `ask_within` counts on the way itself; elsewhere what comes back does, behind it."""
    return connections[using].vendor == "postgresql"


def give_back(use: Use, *, keep: int = 0, patience: float = PATIENCE) -> None:
    """Take a granted use back but for `keep` of it, where its windows have not ended since."""
    using = router.db_for_write(Counter)

    def uncount() -> None:
        for key in sorted(use.amounts):
            surplus = use.amounts[key] - keep
            if surplus > 0:
                Counter.objects.using(using).filter(
                    key=key, ends_at=use.ends_at[key], used__gte=surplus
                ).update(used=F("used") - surplus)

    if use.granted and any(keep < amount for amount in use.amounts.values()):
        retried(uncount, using=using, patience=patience)


def fill(limit: Limit) -> None:
    """Use up what is left of the window: somebody else counts too, and says that it is spent."""
    using = router.db_for_write(Counter)

    def spend() -> None:
        now = db_now(using)
        counter = _counter(limit, using)
        _add(limit, using)
        counter.filter(ends_at__lte=now).update(used=limit.most, ends_at=now + limit.window)
        counter.filter(used__lt=limit.most).update(used=limit.most)

    retried(spend, using=using)


def used(keys: Iterable[str], *, now: datetime | None = None) -> dict[str, tuple[int, datetime]]:
    """Return what is used of each key and when its window ends, for windows that are running."""
    using = router.db_for_write(Counter)
    running = Counter.objects.using(using).filter(
        key__in=list(keys), ends_at__gt=now or db_now(using)
    )
    return {row.key: (row.used, row.ends_at) for row in running}


class _Refused(Exception):
    """Raised to roll back what the other limits have counted."""


#: By key: what is used, and when its window ends.
_Counted = dict[str, tuple[int, datetime]]


def _ordered(limits: Sequence[Limit]) -> list[Limit]:
    """Return them in one order: two that take the same must not wait for each other."""
    return sorted(limits, key=lambda limit: limit.key)


def _amounts(limits: Sequence[Limit], amount: int) -> dict[str, int]:
    if any(limit.most < 1 for limit in limits):
        raise ValueError("what a limit allows is 1 or more")
    return {limit.key: min(amount, limit.most) for limit in limits}


def _use(
    limits: Sequence[Limit],
    amounts: dict[str, int],
    counted: _Counted,
    now: datetime,
    using: str,
) -> Use:
    """Return what became of it, by what those limits have `counted` that had room for theirs."""
    refused = [limit.key for limit in limits if limit.key not in counted]
    if refused:
        counted = {
            row.key: (row.used, row.ends_at)
            for row in Counter.objects.using(using).filter(key__in=list(amounts))
        }
    ends = {key: counted[key][1] for key in refused if key in counted}
    return Use(
        granted=not refused,
        wait=max([timedelta(0), *(end - now for end in ends.values())]),
        at=now,
        amounts=amounts,
        used={key: used for key, (used, _) in counted.items()},
        ends_at={key: ends_at for key, (_, ends_at) in counted.items()},
    )


def _asked(
    limits: Sequence[Limit], amounts: Mapping[str, int], trip: Trip
) -> Callable[[datetime], _Counted]:
    """Count the amounts; what comes back tells how the limits stand that had room for theirs."""
    using = trip.using
    if count_along(using):
        found = trip.ask(*_counting(limits, amounts, using))
        return lambda now: {key: (used, ends_at) for key, used, ends_at in found}

    def count(now: datetime) -> _Counted:
        granted = [limit.key for limit in limits if _count(limit, amounts[limit.key], now, using)]
        rows = Counter.objects.using(using).filter(key__in=granted)
        return {row.key: (row.used, row.ends_at) for row in rows}

    return count


def _counting(
    limits: Sequence[Limit], amounts: Mapping[str, int], using: str
) -> tuple[str, list[Any]]:
    """Return the one statement that does it: nearly every request of the API counts something."""
    rows = ", ".join([f"(%s, %s, {_NOW} + %s)"] * len(limits))
    most = " ".join(["WHEN %s THEN %s::integer"] * len(limits))
    sql = (
        f"INSERT INTO {statements.table(Counter, using)} AS old (key, used, ends_at) "  # noqa: S608 - a name of ours
        f"VALUES {rows} ON CONFLICT (key) DO UPDATE SET "
        f"used = excluded.used + CASE WHEN old.ends_at <= {_NOW} THEN 0 ELSE old.used END, "
        f"ends_at = CASE WHEN old.ends_at <= {_NOW} THEN excluded.ends_at ELSE old.ends_at END "
        f"WHERE old.ends_at <= {_NOW} "
        f"OR old.used + excluded.used <= CASE old.key {most} END "
        "RETURNING key, used, ends_at"
    )
    values: list[Any] = []
    for limit in limits:
        values += [limit.key, amounts[limit.key], limit.window]
    for limit in limits:
        values += [limit.key, limit.most]
    return sql, values


def _count(limit: Limit, amount: int, now: datetime, using: str) -> bool:
    if _update(limit, amount, now, using):
        return True
    # There is no room, or no row yet, or was none a moment ago.
    _add(limit, using)
    return _update(limit, amount, now, using)


def _update(limit: Limit, amount: int, now: datetime, using: str) -> bool:
    over = Q(ends_at__lte=now)
    has_room = Q(used__lte=limit.most - amount)
    # MySQL assigns from left to right, each one seeing those before: `ends_at` is the last.
    changed = (
        _counter(limit, using)
        .filter(over | has_room)
        .update(
            used=Case(When(over, then=Value(amount)), default=F("used") + amount),
            ends_at=Case(When(over, then=Value(now + limit.window)), default=F("ends_at")),
        )
    )
    return bool(changed)


def _add(limit: Limit, using: str) -> None:
    """Make the row, where there is none, with a window that has ended."""
    row = Counter(key=limit.key, used=0, ends_at=_LONG_AGO)
    Counter.objects.using(using).bulk_create([row], ignore_conflicts=True)


def _counter(limit: Limit, using: str) -> QuerySet[Counter]:
    return Counter.objects.using(using).filter(key=limit.key)
