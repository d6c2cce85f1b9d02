"""Counting in windows of a minute, in the cache of the project, by django-ratelimit.

Its counter is one `add` and one `incr`: exact where the cache does these in one step and is shared,
as Redis and Memcached are. Which cache that is says RATELIMIT_USE_CACHE, and RATELIMIT_ENABLE =
False switches it off, both of them django-ratelimit's settings.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from django.http import HttpRequest
from django_ratelimit.core import get_usage

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
#: Seconds for which a cache that failed is not asked again: one that is silent would cost every
#: request its timeout.
REST_SECONDS = 5.0

#: By `time.monotonic`, when a cache that failed may be asked again; 0.0 where it did not.
_rests_until = 0.0
_lock = threading.Lock()


class CacheDown(Exception):
    """Raised when the cache does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How much is used in a window, this use included."""

    used: int
    #: Whole seconds until the window ends, at least 1.
    seconds_left: int


def count(
    request: HttpRequest, group: str, value: str, most: int, *, uses: bool = True
) -> Count | None:
    """Count one use by `value`, or only look without `uses`; None where counting is switched off.

    Raises:
        CacheDown: the cache failed, now or a moment ago.
    """
    if not _may_ask():
        raise CacheDown
    try:
        usage = get_usage(
            request,
            group=group,
            key=lambda group, request: value,
            rate=(most, WINDOW_SECONDS),
            increment=uses,
        )
    except Exception as error:
        # Each library of a cache has errors of its own, and none of them may fail a request.
        _rest(type(error).__name__)
        raise CacheDown from None
    if usage is None:
        return None
    if usage["time_left"] < 0:
        # What it says where the cache neither has the counter nor takes one: a library that is
        # told to hide its errors does so.
        _rest("none")
        raise CacheDown
    forget()
    return Count(used=usage["count"], seconds_left=max(usage["time_left"], 1))


def forget() -> None:
    """Ask the cache again at once."""
    global _rests_until
    _rests_until = 0.0


def _may_ask() -> bool:
    global _rests_until
    with _lock:
        now = time.monotonic()
        if now < _rests_until:
            return False
        if _rests_until:
            # One request finds out whether it is back. The threads of the others need not wait.
            _rests_until = now + REST_SECONDS
        return True


def _rest(why: str) -> None:
    global _rests_until
    _rests_until = time.monotonic() + REST_SECONDS
    logger.warning("limits.cache_down error=%s", why)
