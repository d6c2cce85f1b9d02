"""Whether the project's cache can count for all processes, each use once."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache

from django_authmail.conf import conf

#: By backend, Django's and that of the package django-redis: the options without which a client
#: library waits for a server that is silent as long as it likes, and all that make the wait short.
#: One that was dead would else be left alone by pymemcache for a minute longer.
_TIMEOUTS = {
    "django.core.cache.backends.redis.RedisCache": (
        ("socket_timeout",),
        {"socket_connect_timeout": 1, "socket_timeout": 1},
    ),
    "django.core.cache.backends.memcached.PyMemcacheCache": (
        ("connect_timeout", "timeout"),
        {"connect_timeout": 1, "timeout": 1, "dead_timeout": 5},
    ),
    "django_redis.cache.RedisCache": (
        ("SOCKET_TIMEOUT",),
        {"SOCKET_CONNECT_TIMEOUT": 1, "SOCKET_TIMEOUT": 1},
    ),
}


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


def missing_timeouts() -> dict[str, int]:
    """Return the OPTIONS that bound the wait for a cache that is silent; empty where it is bounded.

    Of caches that are not known, nothing is said. Nothing is asked of a server.
    """
    try:
        cache = caches[conf.limits_cache]
    except InvalidCacheBackendError:
        return {}
    given = caches.settings[conf.limits_cache]
    options_given = dict(given.get("OPTIONS", {}))
    # What django-redis hands to its pool as it is, and last: it wins.
    pool = options_given.get("CONNECTION_POOL_KWARGS") or {}
    options_given |= {name.upper(): value for name, value in pool.items()}
    location = given.get("LOCATION") or ()
    # Several in one string are told apart as Django's backends do.
    places = re.split("[;,]", location) if isinstance(location, str) else location
    for base in type(cache).__mro__:
        needed, options = _TIMEOUTS.get(f"{base.__module__}.{base.__qualname__}", ((), {}))
        for name in needed:
            # redis-py takes them in its URL too, always in lower case: django-redis hands that on.
            queries = [parse_qs(urlsplit(place).query) for place in places]
            is_in_url = all(name.lower() in query for query in queries)
            if options_given.get(name) is None and not (places and is_in_url):
                return options
    return {}
