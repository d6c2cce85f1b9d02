"""The limit of a key: so many requests to POST /send* in a minute, over all processes.

Counted in the cache where it counts exactly, and in the database where it does not. While the cache
is down, nobody is refused: a person waits for the mail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import router
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.response import Response

from django_authmail import counting, metrics
from django_authmail.api import counts, headers
from django_authmail.api.base import AuthmailView
from django_authmail.api.counts import WINDOW_SECONDS, CacheDown
from django_authmail.api.problems import Problem
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.keyring import Caller
from django_authmail.models import Counter
from django_authmail.outbox import counters
from django_authmail.outbox.counters import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is left of a key's minute."""

    most: int
    remaining: int
    #: Whole seconds until there are `most` again.
    seconds_left: int
    granted: bool

    @property
    def headers(self) -> dict[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"key";q={self.most};w={WINDOW_SECONDS}',
            "RateLimit": f'"key";r={self.remaining};t={self.seconds_left}',
        }


class RateLimitedView(AuthmailView):
    """Base of the views that count against the limit of the caller's key."""

    standing: Standing | None = None

    def check_throttles(self, request: Request) -> None:
        # After the key and its scopes, before the body is read.
        self.standing = _standing(request._request, self.caller, uses=not headers.dry_run(request))
        if self.standing is not None and not self.standing.granted:
            metrics.count_rate_limited("key")
            raise Problem("rate_limited", retry_after=self.standing.seconds_left)

    def finalize_response(
        self, request: Request, response: Response, *args: Any, **kwargs: Any
    ) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        if self.standing is not None:
            for name, value in self.standing.headers.items():
                answer[name] = value
        return answer


def _standing(request: HttpRequest, caller: Caller, *, uses: bool) -> Standing | None:
    """Count a request, or only look; None where there is no limit, or the cache is down."""
    most = caller.rate_per_minute
    if most is None:
        most = conf.rate_limit_per_minute
    if not most or not conf.limits_enabled:
        return None
    if counting.why_not_exact():
        return _by_database(caller, most, uses=uses)
    try:
        found = counts.count(request, "authmail.send", caller.owner, most, uses=uses)
    except CacheDown:
        return None
    if found is None:
        return None
    return Standing(
        most=most,
        remaining=max(most - found.used, 0),
        seconds_left=found.seconds_left,
        granted=not uses or found.used <= most,
    )


def _by_database(caller: Caller, most: int, *, uses: bool) -> Standing:
    key = f"rate:{caller.owner}"
    limit = Limit(key=key, most=most, window=timedelta(seconds=WINDOW_SECONDS))
    if uses:
        use = counters.take(limit)
        granted, used, left = use.granted, use.used[key], use.ends_at[key] - use.at
    else:
        now = db_now(router.db_for_write(Counter))
        used, ends_at = counters.used([key], now=now).get(key, (0, now + limit.window))
        granted, left = True, ends_at - now
    return Standing(
        most=most,
        remaining=max(most - used, 0),
        seconds_left=max(math.ceil(left.total_seconds()), 1),
        granted=granted,
    )
