"""Signs webhooks: by Standard Webhooks for everybody, and by S0's two forms for its callers.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets as random
from base64 import b64decode, b64encode
from collections.abc import Sequence

from django_authmail.secret import Secret

PREFIX = "whsec_"
#: What the specification asks of a secret, in octets.
LEAST_OCTETS, MOST_OCTETS = 24, 64
#: What a caller may give as a secret of its own.
MAX_OWN_SECRET = 500

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
S0_TIMESTAMP = "X-Email-Service-Timestamp"
S0_SIGNATURE = "X-Email-Service-Signature"
S0_SIGNATURE_V2 = "X-Email-Service-Signature-V2"


def new_secret() -> Secret:
    """Return a secret for an endpoint: `whsec_` and 32 random octets in base64."""
    return Secret(PREFIX + b64encode(random.token_bytes(32)).decode("ascii"))


def secret_problem(secret: str) -> str | None:
    """Say why nothing can be signed with a secret; None where it can.

    One that begins with `whsec_` is of Standard Webhooks. Any other is the caller's own, and counts
    as its UTF-8 octets.
    """
    if not 1 <= len(secret) <= MAX_OWN_SECRET:
        return f"must have from 1 to {MAX_OWN_SECRET} characters"
    try:
        octets = len(key(secret))
    except ValueError as error:
        return str(error)
    if secret.startswith(PREFIX) and not LEAST_OCTETS <= octets <= MOST_OCTETS:
        return f"must hold from {LEAST_OCTETS} to {MOST_OCTETS} octets in base64 after {PREFIX}"
    return None


def headers(
    *, id: str, timestamp: int, body: bytes, secrets: Sequence[str], s0: bool, v1: bool
) -> dict[str, str]:
    """Return the headers by which a receiver knows a webhook, and that it is genuine.

    There is one signature for each of `secrets`, newest first, so that a receiver knows one while
    they are rotated. Without secrets there is none. With `s0`, S0's headers are there too, signed
    with the first secret; `v1` adds the form of them that does not cover the time.

    Raises:
        ValueError: a secret begins with `whsec_` and is not base64.
    """
    made = {ID: id, TIMESTAMP: str(timestamp)}
    if secrets:
        made[SIGNATURE] = " ".join(standard(secret, id, timestamp, body) for secret in secrets)
    if s0:
        made[S0_TIMESTAMP] = str(timestamp)
    if s0 and secrets:
        made[S0_SIGNATURE_V2] = s0_v2(secrets[0], timestamp, body)
    if s0 and secrets and v1:
        made[S0_SIGNATURE] = s0_v1(secrets[0], body)
    return made


def standard(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """Return a signature of Standard Webhooks, `v1,` and base64."""
    content = b"%s.%d.%s" % (id.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(key(secret), content, "sha256")).decode("ascii")


def s0_v2(secret: str, timestamp: int, body: bytes) -> str:
    return s0_v1(secret, b"%d.%s" % (timestamp, body))


def s0_v1(secret: str, body: bytes) -> str:
    # The secret as it is, with whatever it begins: S0's receivers know no prefix.
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def key(secret: str) -> bytes:
    """Return what a secret stands for in Standard Webhooks.

    Raises:
        ValueError: it begins with `whsec_` and is not base64, or is no text. The secret is not in
            the error.
    """
    if not secret.startswith(PREFIX):
        try:
            return secret.encode()
        except UnicodeEncodeError:
            raise ValueError("must be text that UTF-8 can carry") from None
    text = secret.removeprefix(PREFIX)
    try:
        # Without its padding too, as the libraries of Standard Webhooks take it.
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"must be base64 after {PREFIX}") from None
