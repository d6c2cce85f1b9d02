"""Can this process do its work? Each part that it needs is asked, in bounded time.

A database or a broker that hangs has no timeout that holds for every driver. So each part is asked
in a thread of its own, which the caller waits for a moment; and there is one such thread at a time
for each part, so that nobody fills a process with threads by asking often. One that hangs for long
is left to itself and another one looks: the part may be well again.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.cache.backends.dummy import DummyCache
from django.db import connections, router
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from django_authmail import tasks
from django_authmail.conf import conf
from django_authmail.models import Message

#: Above the second that the broker is given, so that what is wrong there has a name. The first
#: look of a process has its imports to wait for, too.
WAIT_SECONDS = 2.0
#: Whoever asks sooner is told what the last one was told: the endpoint is open to everybody.
FRESH_SECONDS = 1.0

#: After so long, a thread may wait for a connection that nobody will ever answer on.
STUCK_SECONDS = 30.0
#: Threads that wait so, at most, for each part.
MOST_STUCK = 10

_NO_ANSWER = f"no answer within {WAIT_SECONDS} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one part said."""

    check: str
    #: Empty: it works. For people with a key; never the text of a driver's error, which may hold a
    #: password.
    problem: str
    duration_ms: int

    @property
    def ok(self) -> bool:
        return not self.problem


def findings() -> list[Finding]:
    """Return what each part says, in at most WAIT_SECONDS."""
    end = time.monotonic() + WAIT_SECONDS
    asked = [(probe, probe.ask()) for probe in _probes if probe.name != "broker" or conf.celery]
    return [probe.finding(inquiry, until=end) for probe, inquiry in asked]


def forget() -> None:
    """Ask everything anew: for tests, and for a process that was just forked, whose parent had
    the threads."""
    for probe in _probes:
        probe.forget()


class _Inquiry:
    """One look at a part, begun by whoever asked first."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.done = threading.Event()
        self.ended = 0.0
        self.problem = ""

    def run(self, look: Callable[[], str]) -> None:
        try:
            self.problem = look()
        except Exception as error:
            self.problem = type(error).__name__
        finally:
            connections.close_all()  # of this thread, which ends here
            self.ended = time.monotonic()
            self.done.set()

    def is_of_use(self) -> bool:
        """Whether its answer is fresh, or may still come."""
        now = time.monotonic()
        if self.done.is_set():
            return now - self.ended < FRESH_SECONDS
        return now - self.begun < STUCK_SECONDS


class _Probe:
    def __init__(self, name: str, look: Callable[[], str]) -> None:
        self.name = name
        self._look = look
        self._lock = threading.Lock()
        #: The last one, and those before it that still wait.
        self._inquiries: list[_Inquiry] = []

    def ask(self) -> _Inquiry:
        with self._lock:
            last = self._inquiries[-1] if self._inquiries else None
            if last is not None and last.is_of_use():
                return last
            stuck = [inquiry for inquiry in self._inquiries if not inquiry.done.is_set()]
            if last is not None and len(stuck) >= MOST_STUCK:
                return last
            inquiry = _Inquiry()
            self._inquiries = [*stuck, inquiry]
            threading.Thread(
                target=inquiry.run,
                args=(self._look,),
                name=f"authmail-ready-{self.name}",
                daemon=True,
            ).start()
            return inquiry

    def finding(self, inquiry: _Inquiry, *, until: float) -> Finding:
        answered = inquiry.done.wait(max(until - time.monotonic(), 0))
        ended = inquiry.ended if answered else time.monotonic()
        return Finding(
            check=self.name,
            problem=inquiry.problem if answered else _NO_ANSWER,
            duration_ms=round((ended - inquiry.begun) * 1000),
        )

    def forget(self) -> None:
        # A lock that was held when the process forked stays so for ever in the child.
        self._lock = threading.Lock()
        self._inquiries = []


def _database() -> str:
    with connections[router.db_for_write(Message)].cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations() -> str:
    """Compare the migrations of this package with what the database says was done."""
    applied = MigrationRecorder(connections[router.db_for_write(Message)]).applied_migrations()
    missing = [
        name
        for name, replaces in _known_migrations().items()
        # One that stands for several others is done when they are.
        if (Message._meta.app_label, name) not in applied
        and not (replaces and all(key in applied for key in replaces))
    ]
    return f"not applied: {', '.join(sorted(missing))}; run manage.py migrate" if missing else ""


@lru_cache
def _known_migrations() -> dict[str, list[tuple[str, str]]]:
    """Return the names of our migrations, each with those that it stands for."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    return {
        name: list(migration.replaces)
        for (label, name), migration in loader.disk_migrations.items()
        if label == Message._meta.app_label
    }


def _cache() -> str:
    cache = caches[DEFAULT_CACHE_ALIAS]
    # What was written is read: some clients keep the errors of their server to themselves.
    key, value = f"authmail:ready:{secrets.token_hex(8)}", secrets.token_hex(8)
    cache.set(key, value, timeout=10)
    found = cache.get(key)
    cache.delete(key)
    kept = found == value or isinstance(cache, DummyCache)
    return "" if kept else "it does not keep what is written to it"


_probes: Sequence[_Probe] = (
    _Probe("database", _database),
    _Probe("migrations", _migrations),
    _Probe("cache", _cache),
    _Probe("broker", tasks.reach_broker),
)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
