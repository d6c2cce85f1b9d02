"""Failed authentications, counted for each client address. A valid key is never refused by it."""

from __future__ import annotations

import ipaddress

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from django_authmail import metrics
from django_authmail.api import clients, counts
from django_authmail.api.counts import REST_SECONDS, CacheDown
from django_authmail.api.problems import Problem
from django_authmail.conf import conf

#: What a customer of a provider gets of IPv6 at least: all of it is one client.
_IPV6_PREFIX = 64

_UNCOUNTED = _(
    "The cache of this service does not answer, so that guesses cannot be counted. A valid key is "
    "answered as ever; check yours. Whoever runs this service has to repair the cache."
)


def throttled(request: HttpRequest) -> Problem | None:
    """Count a failed authentication, and return the answer to one too many.

    While the cache is down, each is one too many: nobody may guess uncounted.
    """
    most = conf.auth_failures_per_minute
    if not most:
        return None
    try:
        found = counts.count(request, "authmail.auth", _client(request), most)
    except CacheDown:
        refusal = Problem(
            "auth_throttled",
            "Guesses cannot be counted now, and none is let through uncounted.",
            hint=_UNCOUNTED,
            retry_after=REST_SECONDS,
        )
    else:
        if found is None or found.used <= most:
            return None
        refusal = Problem("auth_throttled", retry_after=found.seconds_left)
    metrics.count_rate_limited("auth")
    return refusal


def _client(request: HttpRequest) -> str:
    address = clients.client_address(request)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address or "unknown")
