"""The one place where a database error is tried again, or explained."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    InterfaceError,
    InternalError,
    OperationalError,
    connections,
    transaction,
)

from django_authmail.logs import NO_TABLES, lacks_tables

T = TypeVar("T")


class NoTables(ImproperlyConfigured, DatabaseError):
    """Raised where migrations are missing. Whoever expects a DatabaseError gets one."""


#: Seconds that a verb goes on trying: a server that restarts, a deadlock, a locked SQLite file. It
#: is under what a lease outlives its hand-over by, so that an outcome is recorded while it counts.
PATIENCE = 12.0
#: What a database raises that cannot work at the moment, whatever it is asked: it restarts, its
#: disk is full, it is read-only, two transactions collided.
FAILED = (OperationalError, InterfaceError, InternalError)
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


def retried(
    work: Callable[[], T], *, using: str, patience: float = PATIENCE, durable: bool = False
) -> T:
    """Run `work` in a transaction, again when the database failed it, and return its result.

    `work` reads what it needs inside, so that each run begins from what is stored. Inside of a
    transaction of the caller's it runs once: only the caller can begin that again. With `durable`,
    that is a RuntimeError.

    Raises:
        OperationalError, InterfaceError, InternalError: the database did not recover in time.
    """
    connection = connections[using]
    give_up = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            with transaction.atomic(using=using, durable=durable):
                return work()
        except FAILED as error:
            # Tables that are not there do not come back by waiting.
            is_lasting = connection.in_atomic_block or lacks_tables(error)
            if is_lasting or time.monotonic() + pause > give_up:
                raise
            if isinstance(error, InternalError):
                # PostgreSQL's word for a server that has become a read-only replica: the
                # connection is fine, and a new one may lead to the primary.
                connection.close()
            connection.close_if_unusable_or_obsolete()
        # Workers that collided must not come back together.
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - spreads load, protects nothing
        pause = min(pause * 2, _LONGEST_PAUSE)


@contextmanager
def explained_when_missing() -> Iterator[None]:
    """Raise NoTables, which says what to do, where the outbox has no tables."""
    try:
        yield
    except DatabaseError as error:
        if lacks_tables(error):
            raise NoTables(f"The outbox cannot work: {NO_TABLES}.") from error
        raise
