"""The form of an API key, and what may be kept of one.

    am_live_ or am_test_ + 30 random characters + 6 characters of CRC-32, all base62

30 base62 characters are 178 bits: more than anybody guesses, so that a plain SHA-256 is enough to
keep. The checksum lets a secret scanner tell a real key from a look-alike, and people from a key
that was not copied to its end.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

from django_authmail.secret import Secret

#: What a key may allow (contract, section 4); a key holds one or more of these.
SCOPES = (
    "send:otp",
    "send:magic-link",
    "send:password-reset",
    "send:email-verification",
    "send:invitation",
    "send:template",
    "send:raw",
    "messages:read",
)
#: What a key gets when nobody says what it needs: not what lets it send any mail to anybody.
DEFAULT_SCOPES = tuple(scope for scope in SCOPES if scope != "send:raw")

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LIVE, _TEST = "am_live_", "am_test_"
_RANDOM_LENGTH = 30
# 62 ** 6 is 5.7e10, the first power of 62 above 2 ** 32.
_CHECKSUM_LENGTH = 6
# Six random characters after the start: 5.7e10 prefixes, and 142 bits of the key stay unknown.
_PREFIX_LENGTH = len(_LIVE) + 6

_FORM = re.compile(
    rf"am_(?:live|test)_[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}", re.ASCII
)


def generate(*, is_test: bool = False) -> Secret:
    """Return a new key; with `is_test`, one whose mail reaches no mail server."""
    start = _TEST if is_test else _LIVE
    body = start + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_LENGTH))
    return Secret(body + _checksum(body))


def digest(key: str) -> str:
    """Return the SHA-256 of a key in hex: what is stored, and how a key is found."""
    return hashlib.sha256(key.encode()).hexdigest()


def prefix(key: str) -> str:
    """Return the first characters of a key: how people tell keys apart."""
    return key[:_PREFIX_LENGTH]


def is_test(key: str) -> bool:
    """Tell whether a key, or the prefix of one, is for tests."""
    return key.startswith(_TEST)


def well_formed(key: str) -> bool:
    """Tell whether `key` can be a key at all: its form and its checksum are right."""
    if not _FORM.fullmatch(key):
        return False
    return key[-_CHECKSUM_LENGTH:] == _checksum(key[:-_CHECKSUM_LENGTH])


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, rest = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[rest] + digits
    return digits
