"""The keys of the HTTP API: how they come and go, and what a caller with one may do."""

from __future__ import annotations

from django_authmail.keyring.lookup import (
    REVOCATION_DELAY,
    Caller,
    KeyExpired,
    KeyUnknown,
    find,
    forget,
)
from django_authmail.keyring.terms import Terms, network, recipient
from django_authmail.keyring.verbs import issue, revoke, rotate

__all__ = [
    "REVOCATION_DELAY",
    "Caller",
    "KeyExpired",
    "KeyUnknown",
    "Terms",
    "find",
    "forget",
    "issue",
    "network",
    "recipient",
    "revoke",
    "rotate",
]
