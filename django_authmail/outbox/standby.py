"""How often this process wrote to a mailbox while the database did not count.

A person waits for the mail, so it goes out; and nobody bombs a mailbox by keeping the database
busy. Each process allows what the limits do, by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta

from django_authmail.outbox.counters import Limit

#: Windows that are remembered; of each, a key of 100 characters and two numbers.
_MOST_WINDOWS = 10_000

_lock = threading.Lock()
#: By key: what is used, and when the window ends, by `time.monotonic`.
_windows: dict[str, tuple[int, float]] = {}


def take(limits: Sequence[Limit]) -> timedelta:
    """Count one use against all `limits`, or return how long to wait until they all have room."""
    with _lock:
        now = time.monotonic()
        running = {limit.key: _running(limit, now) for limit in limits}
        wait = max(
            (running[limit.key][1] - now for limit in limits if _is_full(limit, running)),
            default=0.0,
        )
        if not wait:
            for key, (used, ends_at) in running.items():
                # The last in the order, by which those that nobody uses are forgotten.
                _windows.pop(key, None)
                _windows[key] = (used + 1, ends_at)
            while len(_windows) > _MOST_WINDOWS:
                del _windows[next(iter(_windows))]
        return timedelta(seconds=wait)


def give_back(limits: Sequence[Limit]) -> None:
    """Take one use back."""
    with _lock:
        for limit in limits:
            used, ends_at = _windows.get(limit.key, (0, 0.0))
            if used:
                _windows[limit.key] = (used - 1, ends_at)


def _running(limit: Limit, now: float) -> tuple[int, float]:
    used, ends_at = _windows.get(limit.key, (0, 0.0))
    return (used, ends_at) if ends_at > now else (0, now + limit.window.total_seconds())


def _is_full(limit: Limit, running: dict[str, tuple[int, float]]) -> bool:
    return running[limit.key][0] >= limit.most
