"""Whether the project's cache can count for all processes, each use once."""

from __future__ import annotations

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache

from django_authmail.conf import conf


def why_not_exact() -> str:
    """Say why the cache of the limits does not count exactly; empty where it does.

    Nothing is asked of its server.
    """
    try:
        cache = caches[conf.limits_cache]
    except InvalidCacheBackendError:
        return "does not exist"
    if isinstance(cache, DummyCache):
        return "keeps nothing"
    if isinstance(cache, LocMemCache):
        return "is each process's own"
    if type(cache).incr is BaseCache.incr:
        # It reads and writes: of two that count at once, one is lost. Files and tables do.
        return "does not count in one step"
    return ""
