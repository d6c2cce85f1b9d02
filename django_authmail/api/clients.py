"""Where a request comes from, behind a known number of proxies."""

from __future__ import annotations

import ipaddress
import re

from django.http import HttpRequest
from rest_framework.request import Request

from django_authmail.conf import conf
from django_authmail.keyring.lookup import Address

# What some proxies write: 203.0.113.7:5678 and [2001:db8::1]:5678.
_WITH_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?", re.ASCII)


def client_address(request: HttpRequest | Request) -> Address | None:
    """Return the address of the client; None where the server does not know it (a Unix socket).

    With AUTHMAIL_TRUSTED_PROXIES = N, it is the Nth from the right in X-Forwarded-For: each of the
    project's own proxies adds its peer at the right, and what is left of those is the client's
    word. A request that came through fewer of them has no such entry, and is its peer's.
    """
    proxies = conf.trusted_proxies
    if proxies:
        forwarded = request.headers.get("X-Forwarded-For", "").split(",")
        if len(forwarded) >= proxies and (address := _parsed(forwarded[-proxies])) is not None:
            return address
    return _parsed(request.META.get("REMOTE_ADDR", ""))


def _parsed(text: str) -> Address | None:
    text = text.strip()
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        # ::ffff:203.0.113.7: what a server that listens on both calls an IPv4 client.
        return address.ipv4_mapped or address
    return address
