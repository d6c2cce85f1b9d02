"""What a key may do, and how people write it down: scopes, networks, recipients, a rate."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from django.utils.translation import gettext as _

from django_authmail import keys
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.guards import envelope_address


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a new key may do. Networks and recipients are as `network` and `recipient` return them;
    none of them stands for all."""

    scopes: tuple[str, ...] = keys.DEFAULT_SCOPES
    networks: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    #: None: AUTHMAIL_RATE_LIMIT_PER_MINUTE; 0: no limit.
    rate_per_minute: int | None = None


def network(text: str) -> str:
    """Return a network, or the one of a single address, in its usual form.

    Raises ValueError, with a text for people, for what is none.
    """
    text = text.strip()
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            _("%(text)r is no network. Write one as 10.0.0.0/8, or an address.") % {"text": text}
        ) from None
    # Not taken for the whole network: it may have been meant for one address of it.
    raise ValueError(
        _("%(text)r is an address within a network. Write %(network)s, or the address alone.")
        % {"text": text, "network": meant}
    )


def recipient(text: str) -> str:
    """Return an address in lower case, or a domain as `@example.com`.

    Raises ValueError, with a text for people, for what is neither.
    """
    text = text.strip()
    local, _at, domain = text.rpartition("@")
    try:
        address = envelope_address(f"{local or 'any'}@{domain}", "recipient").lower()
    except (InvalidAddress, UnsafeHeader):
        raise ValueError(
            _("%(text)r is neither an address nor a domain. Write name@example.com or example.com.")
            % {"text": text}
        ) from None
    return address if local else address.removeprefix("any")
