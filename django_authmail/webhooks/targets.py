"""Decides where a webhook may be sent: every rule against requests to places of our own network.

A URL is checked when it is accepted, and at every attempt. An attempt connects to an address that
came out of its own check, and to nothing else: whoever owns a name can change what it resolves to
between a check and a connect.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, SimpleQueue
from urllib.parse import quote, urlsplit

from django.utils.translation import gettext_noop as _

from django_authmail.conf import conf
from django_authmail.exceptions import WebhookUrlRefused
from django_authmail.guards import host_name
from django_authmail.models.webhooks import MAX_URL

PORTS = frozenset({80, 443, 8443})
#: Names that one process looks up at a time. Whoever asks may own a name server that never answers.
LOOKUPS = 32
#: While a caller waits. A resolver that is slower is asked again at the first attempt.
CHECK_SECONDS = 2.0

# Letters of any script, which only a host or a path may have, and the ASCII of RFC 3986 without
# quotes. No backslash: some programs read it as a slash. No fragment, which is never sent.
_URL = re.compile(r"[\w!$%&()*+,./:;=?@\[\]~-]+")
_SAFE = "/%!$&()*+,;=:@~?"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# All that IANA has given out for hosts of the internet (RFC 4291 2.4). What holds another address,
# as IPv4-mapped ones and NAT64 do, is outside but for the next ones.
_GLOBAL_V6 = IPv6Network("2000::/3")
# What `is_global` says yes to, on some Python or on all, and that leads elsewhere: special ones
# (IANA's registries; RFC 3849, 7526, 9637, and the 6bone of RFC 3701), Teredo and 6to4.
_NOT_GLOBAL: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20"),
        ),
    )
)
# What a project may admit as its own. Not link-local: 169.254.169.254 gives away the credentials of
# a machine in a cloud to whoever asks.
_PRIVATE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            *("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
            *("::1/128", "fc00::/7"),
        ),
    )
)
# Outside of link-local, where machines of a cloud ask for their own metadata: Amazon's, Google's,
# Alibaba's, and Azure's, which has an address of the internet.
_NEVER = frozenset(
    map(ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16"))
)


_NOWHERE = _("leads to no address on the internet")
# EAI_NODATA is not everywhere; glibc has it.
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A URL whose form is allowed. Where its host leads is another question: see `resolve`."""

    #: As it is sent: host as A-labels, path without other letters than ASCII.
    url: str = field(repr=False)
    host: str
    port: int
    is_https: bool
    #: The project named its host in AUTHMAIL_WEBHOOK_ALLOW_HOSTS.
    is_named: bool = False
    #: Its form is only for addresses of our own, as http is under AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK.
    is_private_only: bool = False

    @property
    def authority(self) -> str:
        """Host and port as a URL has them."""
        return urlsplit(self.url).netloc


class Unresolvable(Exception):
    """Raised when a name has no address now, which may be otherwise later.

    `is_known`: the resolver said that there is none, instead of nothing.
    """

    def __init__(self, *, is_known: bool) -> None:
        self.is_known = is_known
        super().__init__("the name has no address" if is_known else "the name cannot be looked up")


def check(url: str, *, seconds: float = CHECK_SECONDS) -> Target:
    """Return the target of a URL that a webhook may be sent to, as far as it is known now.

    While the resolver does not answer, a name passes: each attempt checks again before anything is
    sent. A name without an address gets the same words as one of the own network, so that nobody
    can ask which names there are.

    Raises:
        WebhookUrlRefused: it must not be sent there.
    """
    target = check_url(url)
    try:
        resolve(target, seconds=seconds)
    except Unresolvable as error:
        if error.is_known:
            raise WebhookUrlRefused(_NOWHERE) from None
    return target


def check_url(url: str) -> Target:
    """Return the target of a URL whose form is allowed, without looking its host up.

    Raises:
        WebhookUrlRefused: it is not.
    """
    if not 1 <= len(url) <= MAX_URL:
        raise WebhookUrlRefused(_("must have from 1 to %(most)s characters"), most=MAX_URL)
    if not _URL.fullmatch(url):
        raise WebhookUrlRefused(_("has a character that no URL has, or a fragment"))
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookUrlRefused(_("is not a URL")) from None
    if parts.scheme not in ("https", "http"):
        raise WebhookUrlRefused(_("must begin with https://"))
    if "@" in parts.netloc:
        raise WebhookUrlRefused(_("must have no user and no password: a secret belongs elsewhere"))
    host = _host(parts.netloc)
    is_https = parts.scheme == "https"
    port = (443 if is_https else 80) if port is None else port
    target = Target(
        url=_written(parts.scheme, host, port, parts.path, parts.query),
        host=host,
        port=port,
        is_https=is_https,
        is_named=host in conf.webhook_allow_hosts,
        is_private_only=_is_private_only(host, port, is_https=is_https),
    )
    if (address := _literal(host)) is not None:
        _admit([address], target)
    return target


def resolve(target: Target, *, seconds: float) -> list[str]:
    """Return the addresses of a target, each of which may be connected to, in their order.

    The name is looked up once, for `seconds` at most.

    Raises:
        WebhookUrlRefused: there is one among them that must not be connected to. What lists a
            public and a private address is an attack, or a mistake.
        Unresolvable: there is none, or the resolver did not say so in time.
    """
    address = _literal(target.host)
    found = [address] if address is not None else _lookup(target, seconds)
    _admit(found, target)
    return [str(one) for one in found]


def _host(netloc: str) -> str:
    # Not `hostname` of what was split: it has small letters, a "k" for the sign of Kelvin too.
    is_v6 = netloc.startswith("[")
    given = netloc[1:].partition("]")[0] if is_v6 else netloc.partition(":")[0]
    try:
        if is_v6 and ":" not in given:
            raise ValueError
        return host_name(given)
    except ValueError:
        raise WebhookUrlRefused(
            _("needs the name of a host, or an address in its usual form, without a dot at its end")
        ) from None


def _is_private_only(host: str, port: int, *, is_https: bool) -> bool:
    """Tell whether a URL is one for tests alone; raise WebhookUrlRefused where there are none."""
    if host in conf.webhook_allow_hosts:
        return False
    problems = []
    if not is_https and not conf.webhook_allow_http:
        problems.append(
            _("must begin with https://: what it says would cross the network readable")
        )
    if port not in PORTS and port not in conf.webhook_ports:
        problems.append(_("has a port that is none of %(ports)s"))
    if problems and not conf.webhook_allow_loopback:
        raise WebhookUrlRefused(problems[0], ports=_ports())
    return bool(problems)


def _ports() -> str:
    return ", ".join(map(str, sorted({*PORTS, *conf.webhook_ports})))


def _written(scheme: str, host: str, port: int, path: str, query: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    usual = 443 if scheme == "https" else 80
    behind = quote(path, safe=_SAFE) or "/"
    asked = f"?{quote(query, safe=_SAFE)}" if query else ""
    return f"{scheme}://{shown}{'' if port == usual else f':{port}'}{behind}{asked}"


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _lookup(target: Target, seconds: float) -> list[Address]:
    """Return what a name resolves to. The resolver of the system knows no time limit: a thread."""
    answers: SimpleQueue[list[Address] | OSError | UnicodeError] = SimpleQueue()
    end = time.monotonic() + seconds
    free = _lookups
    if not free.acquire(timeout=max(seconds, 0)):
        raise Unresolvable(is_known=False)

    def ask() -> None:
        try:
            entries = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
            # The zone of a link-local address goes: the address is refused all the same.
            texts = dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries)
            answers.put([ip_address(text) for text in texts])
        except (OSError, UnicodeError) as error:
            answers.put(error)
        finally:
            free.release()

    threading.Thread(target=ask, name="authmail-webhook-lookup", daemon=True).start()
    try:
        answer = answers.get(timeout=max(end - time.monotonic(), 0))
    except Empty:
        raise Unresolvable(is_known=False) from None
    if isinstance(answer, OSError | UnicodeError) or not answer:
        passing = isinstance(answer, OSError) and answer.errno not in _NO_SUCH_NAME
        raise Unresolvable(is_known=not passing)
    return answer


_lookups = threading.BoundedSemaphore(LOOKUPS)


def _after_fork() -> None:
    # The child has none of the threads that would give their places back.
    global _lookups
    _lookups = threading.BoundedSemaphore(LOOKUPS)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _admit(addresses: list[Address], target: Target) -> None:
    may_be_private = target.is_named or conf.webhook_allow_loopback
    for address in addresses:
        if may_be_private and _is_private(address):
            continue
        if target.is_private_only or not _is_global(address):
            raise WebhookUrlRefused(_NOWHERE)


def _is_private(address: Address) -> bool:
    return address not in _NEVER and _is_in(address, _PRIVATE)


def _is_global(address: Address) -> bool:
    # By itself, is_global says yes to a few of _NOT_GLOBAL before Python 3.12.4 and 3.11.10, and on
    # each of them to multicast.
    return (
        address.is_global
        and address not in _NEVER
        and not address.is_multicast
        and not address.is_reserved
        and not _is_in(address, _NOT_GLOBAL)
        and (address.version == 4 or address in _GLOBAL_V6)
    )


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
