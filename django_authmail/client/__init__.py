"""The Python client of the HTTP API: `AuthmailClient`, and `AsyncAuthmailClient` to await.

It runs without Django settings and imports neither Django nor the rest of this package.
"""

from __future__ import annotations

try:
    import httpx  # noqa: F401 - asked for here, so that its absence is told once and with the cure
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ModuleNotFoundError(
        "The client (django_authmail.client) needs the package 'httpx', which is not installed; "
        "run: pip install 'django-authmail[client]'",
        name="httpx",
    ) from None

from django_authmail.client.answers import (
    Attempt,
    Health,
    Message,
    Recipient,
    RefusedRecipient,
    Sent,
    Webhook,
)
from django_authmail.client.calls import Attachment, SendOptions
from django_authmail.client.clients import AsyncAuthmailClient, AuthmailClient
from django_authmail.client.errors import (
    ClientError,
    Conflict,
    Fault,
    IdempotencyUnavailable,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotSent,
    ProblemError,
    RateLimited,
    ServiceFailed,
    ServiceTimeout,
    ServiceUnavailable,
    ServiceUnreachable,
    UnexpectedAnswer,
)

# The names of S0's client.
EmailServiceClient = AuthmailClient
AsyncEmailServiceClient = AsyncAuthmailClient
EmailServiceError = NotSent

__all__ = [
    "AsyncAuthmailClient",
    "AsyncEmailServiceClient",
    "Attachment",
    "Attempt",
    "AuthmailClient",
    "ClientError",
    "Conflict",
    "EmailServiceClient",
    "EmailServiceError",
    "Fault",
    "Health",
    "IdempotencyUnavailable",
    "InvalidRequest",
    "Message",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "NotSent",
    "ProblemError",
    "RateLimited",
    "Recipient",
    "RefusedRecipient",
    "SendOptions",
    "Sent",
    "ServiceFailed",
    "ServiceTimeout",
    "ServiceUnavailable",
    "ServiceUnreachable",
    "UnexpectedAnswer",
    "Webhook",
]
