"""The one place where a database error is tried again, or explained."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,  # noqa: TID251 - what is raised here is one
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


class StatementTooLarge(ImproperlyConfigured, DatabaseError):
    """Raised where MariaDB or MySQL takes no statement as large as one: it would never work."""


#: Seconds that a verb goes on trying: a server that restarts, a deadlock, a locked SQLite file. It
#: is under what a lease outlives its hand-over by, so that an outcome is recorded while it counts.
PATIENCE = 12.0
#: What a database raises that cannot work at the moment, whatever it is asked: it restarts, its
#: disk is full, it is read-only, two transactions collided.
FAILED = (OperationalError, InterfaceError, InternalError)
#: Characters from which on MariaDB and MySQL are asked whether they take a statement: where it is
#: much too large they only hang up in the middle of it, as they do when they restart.
_LARGE = 500_000
#: Bytes that a value has more than its own, as `_binary''`, or has at most, as a time. A statement
#: that is larger than it was taken for is not refused: the server hangs up.
_AROUND = 32
#: What server and client call one that is too large, where they do tell.
_TOO_LARGE = frozenset((1153, 2020))
_REMEDY = (
    "raise max_allowed_packet of the database server, or send smaller mails, or fewer at a time"
)
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
#: Seconds after which whoever looks on is told what is waited for.
_UNTOLD = 2.0

#: Takes what the database raised, and for how many seconds it will be tried again.
Tell = Callable[[Exception, float], None]
_tell: ContextVar[Tell | None] = ContextVar("authmail_tell", default=None)


@contextmanager
def waits_told(tell: Tell) -> Iterator[None]:
    """Let `retried` tell of a wait that somebody would notice, once each, in this thread."""
    before = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(before)


def retried(
    work: Callable[[], T], *, using: str, patience: float = PATIENCE, durable: bool = False
) -> T:
    """Run `work` in a transaction, again when the database failed it, and return its result.

    `work` reads what it needs inside, so that each run begins from what is stored. Inside of a
    transaction of the caller's it runs once: only the caller can begin that again. With `durable`,
    that is a RuntimeError.

    Raises:
        OperationalError, InterfaceError, InternalError: the database did not recover in time.
        StatementTooLarge: it never takes this, however often it is tried.
    """
    connection = connections[using]
    tell = _tell.get()
    began = time.monotonic()
    give_up = began + patience
    pause = _FIRST_PAUSE
    while True:
        try:
            with transaction.atomic(using=using, durable=durable), _sizes_watched(using):
                return work()
        except FAILED as error:
            # Tables that are not there do not come back by waiting.
            is_lasting = connection.in_atomic_block or lacks_tables(error)
            now = time.monotonic()
            if is_lasting or now + pause > give_up:
                raise
            if tell is not None and now - began > _UNTOLD:
                tell(error, give_up - now)
                tell = None
            if isinstance(error, InternalError):
                # PostgreSQL's word for a server that has become a read-only replica: the
                # connection is fine, and a new one may lead to the primary.
                connection.close()
            connection.close_if_unusable_or_obsolete()
        # Workers that collided must not come back together.
        time.sleep(pause * (0.5 + random.random()))  # noqa: S311 - spreads load, protects nothing
        pause = min(pause * 2, _LONGEST_PAUSE)


@contextmanager
def explained(using: str) -> Iterator[None]:
    """Raise what says what to do: NoTables where the outbox has no tables, or StatementTooLarge."""
    try:
        with _sizes_watched(using):
            yield
    except DatabaseError as error:
        if lacks_tables(error):
            raise NoTables(f"The outbox cannot work: {NO_TABLES}.") from error
        raise


@contextmanager
def _sizes_watched(using: str) -> Iterator[None]:
    """Raise StatementTooLarge where a statement is, inside."""
    connection = connections[using]
    if connection.vendor != "mysql":
        # The others take 1 GB.
        yield
        return
    try:
        with connection.execute_wrapper(_refuse_too_large):
            yield
    except OperationalError as error:
        if _TOO_LARGE.isdisjoint(error.args[:1]):
            raise
        text = f"A mail makes a statement that is larger than the database takes: {_REMEDY}."
        raise StatementTooLarge(text) from error


def _refuse_too_large(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:  # the arguments and the result are those of Django's wrappers
    size = len(sql)
    if not many:
        for value in params or ():
            size += _AROUND + (len(value) if isinstance(value, str | bytes) else 0)
    if size > _LARGE:
        with context["connection"].cursor() as cursor:
            cursor.execute("SELECT @@max_allowed_packet")
            [most] = cursor.fetchone()
        if size > most:
            raise StatementTooLarge(
                f"The database takes no statement of more than {most} bytes, and a mail makes one "
                f"of {size}: {_REMEDY}."
            )
    return execute(sql, params, many, context)
