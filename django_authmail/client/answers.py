"""What the methods of the client return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django_authmail.client.outcomes import Received, text


class Answer(Mapping[str, Any]):
    """An answer is also the mapping of its JSON members, which is all that S0's client returned.

    So are members that a newer service adds: `answer["name"]`.
    """

    __slots__ = ()

    members: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Health(Answer):
    """The service answers."""

    status: str
    members: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRecipient:
    """One of several recipients whom the mail server refused."""

    address: str = field(repr=False)
    smtp_code: int | None
    enhanced_code: str | None
    error_code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sent(Answer):
    """A mail that was sent, queued or, in a dry run, only checked."""

    #: Whether the next mail server took responsibility.
    sent: bool
    #: `accepted`, `partially_accepted` or `queued`; None in a dry run.
    state: str | None
    id: str | None
    #: The Message-ID header of the mail.
    message_id: str | None
    #: What the mail server said after its 250.
    provider_id: str | None
    refused: tuple[RefusedRecipient, ...]
    dry_run: bool
    #: Whether it was asked for with a test key, so that no mail server got it.
    test: bool
    #: Whether the service had answered this Idempotency-Key before.
    replayed: bool
    #: What the service logged the request under.
    request_id: str | None
    members: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """What became of a mail for one recipient."""

    #: Masked, as in `h***@example.com`.
    recipient: str
    state: str
    error_code: str | None
    reason: str | None
    smtp_code: int | None
    enhanced_code: str | None
    reply: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One hand-over of a mail."""

    number: int
    started_at: datetime
    duration_ms: int | None
    result: str
    error_code: str | None
    reason: str | None
    smtp_code: int | None
    enhanced_code: str | None
    reply: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What became of telling a receiver about a mail."""

    #: As its receiver sees it.
    webhook_id: str
    type: str
    #: Of the receiver's URL; empty where that cannot be read any more.
    host: str
    #: The endpoint that is told; None for the `webhook_url` of the request.
    endpoint: str | None
    state: str
    attempts: int
    #: Of the last attempt; None where there was no answer.
    status_code: int | None
    reason: str | None
    created_at: datetime
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message(Answer):
    """A mail as its sender may see it: no content, no full address."""

    id: str
    state: str
    kind: str
    locale: str | None
    message_id: str | None
    provider_id: str | None
    error_code: str | None
    reason: str | None
    request_id: str | None
    priority: str | None
    #: What the request said of it.
    metadata: Mapping[str, str] = field(repr=False)
    created_at: datetime
    accepted_at: datetime | None
    #: When the state became final; None while it may change.
    settled_at: datetime | None
    expires_at: datetime | None
    #: Whether it was asked for with a test key, so that no mail server got it.
    test: bool
    #: The failed message that this took up again, under the same Idempotency-Key.
    retry_of: str | None
    recipients: tuple[Recipient, ...]
    attempts: tuple[Attempt, ...]
    #: The one of its request, and those to endpoints of the same key, oldest first.
    webhooks: tuple[Webhook, ...]
    members: Mapping[str, Any] = field(repr=False)


def health(answer: Received) -> Health:
    members = _members(answer)
    return Health(status=_needed(members, "status"), members=members)


def sent(answer: Received) -> Sent:
    members = _members(answer)
    if not isinstance(members.get("sent"), bool):
        raise ValueError("sent is not true or false")
    return Sent(
        sent=members["sent"],
        state=text(members, "state"),
        id=text(members, "id"),
        message_id=text(members, "message_id"),
        provider_id=text(members, "provider_id"),
        refused=tuple(
            RefusedRecipient(
                address=_needed(each, "address"),
                smtp_code=_number(each, "smtp_code"),
                enhanced_code=text(each, "enhanced_code"),
                error_code=_needed(each, "error_code"),
                reason=_needed(each, "reason"),
            )
            for each in _list(members, "refused")
        ),
        dry_run=members.get("dry_run") is True,
        test=members.get("test") is True,
        replayed=answer.headers.get("Idempotent-Replayed", "").lower() == "true",
        request_id=answer.headers.get("X-Request-ID"),
        members=members,
    )


def message(answer: Received) -> Message:
    members = _members(answer)
    return Message(
        id=_needed(members, "id"),
        state=_needed(members, "state"),
        kind=_needed(members, "kind"),
        locale=text(members, "locale"),
        message_id=text(members, "message_id"),
        provider_id=text(members, "provider_id"),
        error_code=text(members, "error_code"),
        reason=text(members, "reason"),
        request_id=text(members, "request_id"),
        priority=text(members, "priority"),
        metadata=_words(members, "metadata"),
        created_at=datetime.fromisoformat(_needed(members, "created_at")),
        accepted_at=_moment(members, "accepted_at"),
        settled_at=_moment(members, "settled_at"),
        expires_at=_moment(members, "expires_at"),
        test=members.get("test") is True,
        retry_of=text(members, "retry_of"),
        recipients=tuple(
            Recipient(recipient=_needed(each, "recipient"), **_reply(each, "state"))
            for each in _list(members, "recipients")
        ),
        attempts=tuple(
            Attempt(
                number=_number(each, "number") or 0,
                started_at=datetime.fromisoformat(_needed(each, "started_at")),
                duration_ms=_number(each, "duration_ms"),
                **_reply(each, "result"),
            )
            for each in _list(members, "attempts")
        ),
        webhooks=tuple(map(_webhook, _list(members, "webhooks"))),
        members=members,
    )


def _webhook(members: Mapping[str, Any]) -> Webhook:
    return Webhook(
        webhook_id=_needed(members, "webhook_id"),
        type=_needed(members, "type"),
        host=_needed(members, "host"),
        endpoint=text(members, "endpoint"),
        state=_needed(members, "state"),
        attempts=_number(members, "attempts") or 0,
        status_code=_number(members, "status_code"),
        reason=text(members, "reason"),
        created_at=datetime.fromisoformat(_needed(members, "created_at")),
        settled_at=_moment(members, "settled_at"),
    )


def _reply(members: Mapping[str, Any], outcome: str) -> dict[str, Any]:
    """Return what recipients and attempts have in common."""
    return {
        outcome: _needed(members, outcome),
        "smtp_code": _number(members, "smtp_code"),
        **{
            name: text(members, name) for name in ("error_code", "reason", "enhanced_code", "reply")
        },
    }


def _members(answer: Received) -> dict[str, Any]:
    members = answer.members
    if members is None:
        raise ValueError("it is no JSON object")
    return members


def _needed(members: Mapping[str, Any], name: str) -> str:
    value = text(members, name)
    if value is None:
        raise ValueError(f"{name} is missing")
    return value


def _number(members: Mapping[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is not None and not isinstance(value, int):
        raise ValueError(f"{name} is no whole number")
    return value


def _moment(members: Mapping[str, Any], name: str) -> datetime | None:
    value = text(members, name)
    return None if value is None else datetime.fromisoformat(value)


def _list(members: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    value = members.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{name} is no list of objects")
    return value


def _words(members: Mapping[str, Any], name: str) -> dict[str, str]:
    value = members.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
        raise ValueError(f"{name} is no object of strings")
    return value
