"""Keyed hashes and masks: what may stand in rows and logs instead of an address, or a request."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from django_authmail.conf import conf


def mask(address: str) -> str:
    """Return `h***@example.com` for `hong@example.com`: enough to recognise, too little to use."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}***{at}{domain}"


def address_hash(address: str) -> str:
    """Return the hash that finds one exact address: 64 hex digits, keyed."""
    return _keyed(b"exact", address)


def address_hashes(address: str) -> list[str]:
    """Return the `address_hash` by every key, newest first: rows keep the one of their time.

    For searches. A key that is no longer in AUTHMAIL_HASH_KEYS (without them, SECRET_KEY and its
    fallbacks) finds nothing any more.
    """
    return [_keyed_by(key, b"exact", address) for key in _keys()]


def folded_hash(address: str) -> str:
    """Return the hash of the mailbox behind an address, for limits: case and +tag do not count."""
    return _keyed(b"folded", _folded(address))


def folded_hashes(address: str) -> list[str]:
    """Return the `folded_hash` by every key, newest first."""
    return [_keyed_by(key, b"folded", _folded(address)) for key in _keys()]


def supersede_hashes(owner: str, kind: str, address: str, key: str) -> list[str]:
    """Return the hash, by every key, newest first, of what a newer message takes the place of."""
    # Lengths would do as well; no part can hold NUL, which guards keep out of all of them.
    value = "\0".join((owner, kind, key, address))
    return [_keyed_by(hash_key, b"supersede", value) for hash_key in _keys()]


def fingerprints(text: str) -> list[str]:
    """Return the hash, by every key, newest first, that tells whether two requests say the same."""
    return [_keyed_by(key, b"fingerprint", text) for key in _keys()]


def log_hash(address: str) -> str:
    """Return the 8 hex digits that log lines show as `to_hash`."""
    if conf.log_plain_hash:
        return hashlib.sha256(address.encode()).hexdigest()[:8]
    return _keyed(b"log", address)[:8]


def log_hashes(address: str) -> list[str]:
    """Return the `log_hash` by every key, newest first: lines keep the one of their time."""
    if conf.log_plain_hash:
        return [log_hash(address)]
    return [_keyed_by(key, b"log", address)[:8] for key in _keys()]


def _folded(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local.partition('+')[0]}@{domain}".lower()


def _keys() -> tuple[str, ...]:
    return conf.hash_keys or conf.secret_keys


def _keyed(purpose: bytes, value: str) -> str:
    return _keyed_by(_keys()[0], purpose, value)


def _keyed_by(key: str, purpose: bytes, value: str) -> str:
    return hmac.digest(_purpose_key(key, purpose), value.encode(), "sha256").hex()


# Some purposes by some keys; every mail needs most of them.
@lru_cache(maxsize=64)
def _purpose_key(key: str, purpose: bytes) -> bytes:
    # The purpose is in the key, so that a hash from a log cannot be looked up in a column.
    return hmac.digest(key.encode(), b"django_authmail.hashes." + purpose, "sha256")
