"""Where requests go, and as whom."""

from __future__ import annotations

import ipaddress
import re

import httpx

# Names that no public DNS answers: RFC 6761, RFC 6762, RFC 8375, ICANN's private-use `internal`,
# and Kubernetes' short form.
_PRIVATE_ENDINGS = (".localhost", ".local", ".internal", ".home.arpa", ".test", ".svc")

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+", re.ASCII)


def checked_base_url(given: str, *, allow_http: bool) -> str:
    """Return the address that paths are appended to, without a slash at its end.

    Raises:
        ValueError: it is none, or would take the key over a public network in the clear.
    """
    try:
        url = httpx.URL(given)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL()
    # httpx escapes what cannot be part of a name.
    is_host = bool(url.host) and "%" not in url.host and (url.port or 0) <= 65535
    if url.scheme not in ("http", "https") or not is_host:
        raise ValueError(
            "base_url is no address of a service; give one as https://mail.example.com"
        )
    if url.userinfo or url.query or url.fragment:
        # Not shown: it may hold a password.
        raise ValueError(
            f"base_url for {url.host!r} has a user name, a query or a fragment; give the address "
            "alone, and the key as api_key"
        )
    if url.scheme == "http" and not allow_http and not _is_private(url.host):
        raise ValueError(
            f"base_url is http://, and {url.host!r} is a public name: the key and the codes would "
            "cross the network readable; use https://, or allow_http=True if only your own "
            "network leads there"
        )
    return str(url).rstrip("/")


def checked_key(given: str) -> str:
    """Return the API key; ValueError, which does not show it, for what no header can carry."""
    if not isinstance(given, str) or not _VISIBLE_ASCII.fullmatch(given):
        raise ValueError(
            "api_key is empty, or has white space or characters outside of ASCII; "
            "is a line break at its end?"
        )
    return given


def checked_header(given: str, name: str, *, max_length: int) -> str:
    """Return the value of an option that becomes a header."""
    if len(given) > max_length or not _VISIBLE_ASCII.fullmatch(given):
        raise ValueError(f"{name} must be 1 to {max_length} visible ASCII characters")
    return given


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.rstrip(".")
        # A name of one label is one of this machine, a container network or a search domain.
        return "." not in name or name.endswith(_PRIVATE_ENDINGS)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return not address.is_global
