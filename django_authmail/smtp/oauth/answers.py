"""What a token endpoint's answer means: a token, or why there is none.

Of an answer, only words that are known beforehand are repeated: it might echo what it was sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry
from django_authmail.secret import Secret
from django_authmail.smtp.oauth.scopes import GOOGLE_SCOPE

#: How long before its end a token is replaced: it must outlive the login that it is for.
MARGIN_SECONDS = 60.0
#: RFC 6749 5.1 lets an endpoint leave `expires_in` out; Google's and Microsoft's never do.
DEFAULT_LIFETIME_SECONDS = 300.0
#: Google's and Microsoft's answers have 1 to 4 kB.
MAX_ANSWER_BYTES = 65_536

# RFC 6750 2.1 has fewer characters. What matters: \1 ends a field of XOAUTH2, and CR and LF a line.
TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_AADSTS = re.compile(r"AADSTS\d{4,8}")

# What endpoints say (RFC 6749 5.2 and their own words), and what to do about it. A word that is
# not here is not repeated: an endpoint might echo what it was sent.
_ADVICE = {
    "access_denied": "the provider's administrator does not allow it",
    "admin_policy_enforced": "the provider's administrator does not allow it",
    "consent_required": "an administrator has to consent to the application's permissions",
    "deleted_client": "the OAuth client was deleted; make a new one",
    "disabled_client": "the OAuth client is disabled",
    "interaction_required": "the provider wants a person to sign in; check its access policies",
    "invalid_client": "client_id or client_secret is wrong or has expired",
    "invalid_grant": (
        "the refresh token or key was revoked or has expired, or the subject is not known there; "
        "for a service account, check this machine's clock too"
    ),
    "invalid_request": "the endpoint did not understand the request; check tenant and token_url",
    "invalid_scope": "the account or client may not ask for SMTP access",
    "org_internal": "the OAuth client is open to its own organization only",
    "unauthorized_client": (
        f"the client is not allowed to do this; a service account needs domain-wide delegation "
        f"for the scope {GOOGLE_SCOPE}"
    ),
    "unsupported_grant_type": "this is not the endpoint for this kind of account",
    # https://learn.microsoft.com/entra/identity-platform/reference-error-codes
    "AADSTS53003": "a conditional access policy of the tenant blocks the application",
    "AADSTS65001": "an administrator has to consent to the application's permissions",
    "AADSTS700016": "the tenant has no application with this client_id",
    "AADSTS7000215": "client_secret is wrong; give the secret's value, not its ID",
    "AADSTS7000222": "client_secret has expired; make a new one",
    "AADSTS90002": "there is no such tenant",
    "AADSTS900023": "tenant is neither an ID nor a domain of a tenant",
}
_PASSING = {"server_error", "temporarily_unavailable", "slow_down"}


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, and until when it is good, by the monotonic clock."""

    token: Secret
    renew_at: float
    #: When it is no longer offered even if no new one can be had.
    unusable_at: float


def read_answer(host: str, status: int, body: Secret, asked_at: float) -> Grant | Failure:
    """Return what an endpoint granted, or why it did not."""
    if status in (408, 425, 429) or status >= 500:
        return passing(f"{host} answered {status}")
    if 300 <= status < 400:
        return refused(f"{host} answered {status}, a redirect, which is not followed")
    if len(body) > MAX_ANSWER_BYTES:
        return refused(f"{host} answered more than {MAX_ANSWER_BYTES} octets: no token endpoint")
    answer = json_object(body)
    if answer is None and status == 200:
        return refused(f"{host} answered no JSON object: no token endpoint")
    return (
        _granted(host, answer or {}, asked_at) if status == 200 else _denied(host, status, answer)
    )


def _granted(host: str, answer: Mapping[str, Any], asked_at: float) -> Grant | Failure:
    token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        return refused(f"{host} answered without a usable access_token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return refused(f"{host} answered a token of another type than Bearer")
    try:
        lifetime = float(answer.get("expires_in", DEFAULT_LIFETIME_SECONDS))
    except (TypeError, ValueError, OverflowError):
        lifetime = DEFAULT_LIFETIME_SECONDS
    return Grant(
        token=Secret(token),
        # NaN and negative lifetimes compare as over, so they are asked for anew each time.
        renew_at=asked_at + lifetime - MARGIN_SECONDS,
        unusable_at=asked_at + lifetime - MARGIN_SECONDS / 6,
    )


def _denied(host: str, status: int, answer: Mapping[str, Any] | None) -> Failure:
    error, description = (str((answer or {}).get(k, "")) for k in ("error", "error_description"))
    if error in _PASSING:
        return passing(f"{host} answered {status} {error}")
    found = _AADSTS.search(description)
    words = [word for word in (error, found[0] if found else "") if word in _ADVICE]
    if not words:
        return refused(f"{host} answered {status}")
    return refused(f"{host} answered {status} {' '.join(words)}: {_ADVICE[words[-1]]}")


def json_object(body: Secret) -> Mapping[str, Any] | None:
    """Return the JSON object that `body` is; None if it is none."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def refused(detail: str) -> Failure:
    """Return the failure that waits for somebody to change the configuration."""
    return Failure(
        error_code=ErrorCode.SMTP_AUTH_FAILED,
        reason=Reason.AUTH_FAILED,
        retry=Retry.CARRIER,
        detail=f"no access token: {detail}",
    )


def passing(detail: str) -> Failure:
    """Return the failure that goes away by itself."""
    return Failure(
        error_code=ErrorCode.SMTP_TRANSIENT,
        reason=Reason.AUTH_TEMPORARY,
        retry=Retry.LATER,
        detail=f"no access token: {detail}",
    )
