"""Tells other programs what became of a mail. For those programs: `verify` and `verify_s0`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_authmail.exceptions import WebhookInvalid
    from django_authmail.webhooks.verifying import verify, verify_s0

# Resolved at first use, so that a receiver loads nothing but what verifies: it may have no settings
# and no database.
_HOMES = {
    "WebhookInvalid": "django_authmail.exceptions",
    "verify": "django_authmail.webhooks.verifying",
    "verify_s0": "django_authmail.webhooks.verifying",
}

__all__ = ["WebhookInvalid", "verify", "verify_s0"]


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
