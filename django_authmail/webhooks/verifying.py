"""Tells a receiver whether a webhook is genuine, and fresh. Needs no framework and no settings."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from django_authmail.exceptions import WebhookInvalid
from django_authmail.webhooks import signing

# An epoch of seconds. `int` would take " 1_0 " too.
_DIGITS = re.compile("[0-9]{1,12}")


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    tolerance: float = 300,
) -> dict[str, Any]:
    """Return the content of a webhook, if one of `secrets` signed it by Standard Webhooks.

    `body` is what arrived, octet for octet: JSON that was parsed and written again is another. The
    case of `headers` does not count. `tolerance` is how many seconds the clocks may differ: what is
    older is refused, so that nobody can send it again later; within that time, remember
    `webhook-id`, which stays the same when a delivery is repeated.

    Raises:
        WebhookInvalid: it is not genuine, or not fresh; `reason` says which.
        ValueError: there is no secret, or one that begins with `whsec_` and is not base64.
    """
    keys = _some(secrets)
    content, given = _octets(body), _small(headers)
    id = _header(given, signing.ID)
    timestamp = _timestamp(_header(given, signing.TIMESTAMP), tolerance)
    # Several, where the sender has a newer secret: each receiver knows one of them. What begins
    # with another version than v1 is for those who know it.
    signatures = _header(given, signing.SIGNATURE).split()
    wanted = [signing.standard(secret, id, timestamp, content) for secret in keys]
    _compare(signatures, wanted)
    return _parsed(content)


def verify_s0(
    body: bytes | str, headers: Mapping[str, str], secret: str, tolerance: float = 300
) -> dict[str, Any]:
    """Return the content of a webhook, if `secret` signed it in `X-Email-Service-Signature-V2`.

    As `verify`. The older `X-Email-Service-Signature` is not looked at: it does not cover the time,
    so that whoever saw one can send it again.
    """
    (key,) = _some(secret)
    content, given = _octets(body), _small(headers)
    timestamp = _timestamp(_header(given, signing.S0_TIMESTAMP), tolerance)
    signature = _header(given, signing.S0_SIGNATURE_V2)
    _compare([signature], [signing.s0_v2(key, timestamp, content)])
    return _parsed(content)


def _some(secrets: str | Sequence[str]) -> Sequence[str]:
    keys = [secrets] if isinstance(secrets, str) else list(secrets)
    # With an empty one, anybody could sign.
    if not keys or not all(keys):
        raise ValueError("a webhook cannot be verified without a secret")
    return keys


def _octets(body: bytes | str) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)


def _small(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _header(headers: dict[str, str], name: str) -> str:
    value = headers.get(name.lower(), "")
    if not value:
        raise WebhookInvalid("header_missing", f"the header {name} is missing")
    return value


def _timestamp(value: str, tolerance: float) -> int:
    if not _DIGITS.fullmatch(value):
        raise WebhookInvalid("timestamp_invalid", "the timestamp is no number of seconds")
    age = time.time() - int(value)
    if age > tolerance:
        raise WebhookInvalid("too_old", "the webhook is too old, or this machine's clock is wrong")
    if age < -tolerance:
        raise WebhookInvalid(
            "too_new", "the webhook is from the future, or this machine's clock is wrong"
        )
    return int(value)


def _compare(given: list[str], wanted: list[str]) -> None:
    # Octets, because compare_digest takes no text but ASCII; all of them, so that the time does not
    # tell which one was near.
    if not sum(hmac.compare_digest(a.encode(), b.encode()) for a in given for b in wanted):
        raise WebhookInvalid("signature_mismatch", "no signature fits: another secret or body")


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise WebhookInvalid("not_json", "the body is no JSON object")
    return parsed
