"""What the client asks of the service: one `Call` for each method."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Generic, TypedDict, TypeVar

from django_authmail.client import answers
from django_authmail.client.outcomes import Received
from django_authmail.client.target import checked_header

T = TypeVar("T")


class SendOptions(TypedDict, total=False):
    """What every method takes that sends, by name. None is the same as not given."""

    #: Check everything and send nothing.
    dry_run: bool | None
    #: Answer as soon as the mail is queued.
    respond_async: bool | None
    #: Language of the mail, as in "ko".
    locale: str | None
    #: How long the content is of use, in seconds or as a timedelta; the mail is not sent later.
    expires_in: int | timedelta | None
    priority: str | None
    #: At most ten short strings, which are recorded and never part of the mail.
    metadata: Mapping[str, str] | None
    webhook_url: str | None
    webhook_secret: str | None
    #: The caller's own, by which a repeat from another process sends nothing; by default a new one.
    idempotency_key: str | None
    #: What the service logs the request under; by default a new one.
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes along with a mail of `send`."""

    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[T]):
    """One request, and how to read its answer."""

    method: str
    path: str
    read: Callable[[Received], T] = field(repr=False)
    request_id: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    #: Whether the service does nothing a second time for the same request.
    is_repeatable: bool = True
    retries: bool = True
    #: Whether it can send a mail at all.
    sends: bool = False

    @property
    def idempotency_key(self) -> str | None:
        return self.headers.get("Idempotency-Key")


def health() -> Call[answers.Health]:
    """Ask whether the service answers: now, so that no retry hides that it did not."""
    request_id, headers = _headers({})
    return Call(
        method="GET",
        path="/health",
        read=answers.health,
        request_id=request_id,
        headers=headers,
        retries=False,
    )


def message(message_id: str | uuid.UUID) -> Call[answers.Message]:
    """Ask what became of a mail."""
    request_id, headers = _headers({})
    try:
        # As a UUID, so that no id can name another path.
        id = uuid.UUID(str(message_id))
    except ValueError:
        raise ValueError(
            f"{str(message_id)[:80]!r} is no id of a mail: give the `id` of the answer to its "
            "request, which is a UUID and not the `message_id`"
        ) from None
    return Call(
        method="GET",
        path=f"/messages/{id}",
        read=answers.message,
        request_id=request_id,
        headers=headers,
    )


def send(
    path: str,
    members: Mapping[str, Any],
    options: SendOptions,
    *,
    idempotency: bool,
) -> Call[answers.Sent]:
    """Ask for a mail. Without `idempotency`, the service is not asked to recognise a repeat."""
    unknown = [name for name in options if name not in SendOptions.__annotations__]
    if unknown:
        near = get_close_matches(unknown[0], [*SendOptions.__annotations__, *members], n=1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise TypeError(f"there is no option {unknown[0]!r}{meant}")
    request_id, headers = _headers(options)
    headers["Content-Type"] = "application/json"
    is_dry_run = bool(options.get("dry_run"))
    key = options.get("idempotency_key")
    if is_dry_run:
        headers["X-Dry-Run"] = "true"
    elif idempotency or key is not None:
        key = str(uuid.uuid4()) if key is None else key
        headers["Idempotency-Key"] = checked_header(key, "idempotency_key", max_length=255)
    # A service that looks at no key refuses a strict request instead of sending twice.
    is_strict = "Idempotency-Key" in headers
    wishes = {"respond-async": options.get("respond_async"), "handling=strict": is_strict}
    if preferences := [name for name, is_wanted in wishes.items() if is_wanted]:
        headers["Prefer"] = ", ".join(preferences)
    body = {**members, **_body_options(options)}
    given = {name: value for name, value in body.items() if value is not None}
    return Call(
        method="POST",
        path=path,
        read=answers.sent,
        request_id=request_id,
        headers=headers,
        content=json.dumps(given, allow_nan=False, separators=(",", ":")).encode(),
        is_repeatable=is_dry_run or "Idempotency-Key" in headers,
        sends=not is_dry_run,
    )


def listed(addresses: str | Iterable[str] | None) -> str | list[str] | None:
    """Return addresses as JSON has them."""
    return addresses if addresses is None or isinstance(addresses, str) else list(addresses)


def files(attachments: Iterable[Attachment]) -> list[dict[str, str]] | None:
    """Return attachments as JSON has them."""
    return [
        {
            "filename": attachment.filename,
            "content_type": attachment.content_type,
            "content": base64.b64encode(attachment.content).decode(),
        }
        for attachment in attachments
    ] or None


def _body_options(options: SendOptions) -> dict[str, Any]:
    lifetime = options.get("expires_in")
    metadata = options.get("metadata")
    return {
        "locale": options.get("locale"),
        "expires_in": (
            int(lifetime.total_seconds()) if isinstance(lifetime, timedelta) else lifetime
        ),
        "priority": options.get("priority"),
        "metadata": None if metadata is None else dict(metadata),
        "webhook_url": options.get("webhook_url"),
        "webhook_secret": options.get("webhook_secret"),
    }


def _headers(options: SendOptions) -> tuple[str, dict[str, str]]:
    given = options.get("request_id")
    request_id = str(uuid.uuid4()) if given is None else given
    return request_id, {
        "X-Request-ID": checked_header(request_id, "request_id", max_length=128),
    }
