"""Encryption at rest of what a message carries, while it is open.

Fernet (AES-128-CBC with HMAC-SHA256) under keys derived from AUTHMAIL_SEALING_KEYS, or from
SECRET_KEY and SECRET_KEY_FALLBACKS. The first key seals, every key opens, so keys can be rotated.
"""

from __future__ import annotations

import base64
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING

from django_authmail.conf import conf
from django_authmail.exceptions import SealBroken
from django_authmail.extras import require

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet


def seal(plain: bytes) -> bytes:
    """Return `plain` encrypted and authenticated."""
    return _fernet(_keys()).encrypt(plain)


def unseal(sealed: bytes) -> bytes:
    """Return what `seal` was given.

    Raises:
        SealBroken: no key opens it.
    """
    fernet = require("cryptography.fernet", extra="outbox", why="The outbox")
    try:
        return _fernet(_keys()).decrypt(sealed)
    except fernet.InvalidToken:
        raise SealBroken(
            "the sealed body cannot be opened: its key is in neither AUTHMAIL_SEALING_KEYS nor "
            "SECRET_KEY and SECRET_KEY_FALLBACKS, or the row was altered"
        ) from None


def reseal(sealed: bytes) -> bytes:
    """Return the same value sealed by the newest key; `sealed` itself where that was done before.

    Raises:
        SealBroken: no key opens it.
    """
    fernet = require("cryptography.fernet", extra="outbox", why="The outbox")
    try:
        _fernet(_keys()[:1]).decrypt(sealed)
    except fernet.InvalidToken:
        return seal(unseal(sealed))
    return sealed


def _keys() -> tuple[str, ...]:
    return conf.sealing_keys or conf.secret_keys


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    fernet = require("cryptography.fernet", extra="outbox", why="The outbox")
    derived = (hmac.digest(key.encode(), b"django_authmail.sealing", "sha256") for key in keys)
    multi: MultiFernet = fernet.MultiFernet(
        [fernet.Fernet(base64.urlsafe_b64encode(key)) for key in derived]
    )
    return multi
