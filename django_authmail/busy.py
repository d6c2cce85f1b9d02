"""Is this code at work on a mail? Then an error report about it must not become another mail.

A project may mail its error log to ADMINS, and that mail may go through the outbox. Were it
recorded while a mail fails, it would fail as well, be reported, be recorded, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_at_work: ContextVar[bool] = ContextVar("authmail_at_work", default=False)


def at_work() -> bool:
    """Tell whether the caller was called, however far up, inside of `working`."""
    return _at_work.get()


@contextmanager
def working() -> Iterator[None]:
    """Mark what runs inside, in this thread or task. Nests; a decorator as well."""
    token = _at_work.set(True)
    try:
        yield
    finally:
        _at_work.reset(token)
