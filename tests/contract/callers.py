"""Two callers of the service that are asked the same: a socket, and the client of this package."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from django_authmail.client import AuthmailClient, NotSent, ProblemError, Sent
from tests.api.web import Answer, read_answer
from tests.api.web import request as octets

#: The setting AUTHMAIL_API_KEY of these tests, which `octets` sends.
KEY = "k" * 40
CODE = "CANARY-7391"
TO = "hong@example.com"

#: The values of a mail of each kind, in the order in which the client takes them.
VALUES: dict[str, dict[str, Any]] = {
    "otp": {"user_name": "홍길동", "code": CODE},
    "magic-link": {"user_name": "홍길동", "token": "t+/="},
    "password-reset": {"user_name": "홍길동", "token": "t+/="},
    "email-verification": {"user_name": "홍길동", "token": "t+/=", "code": CODE},
    "invitation": {"user_name": "홍길동", "inviter_name": "김영희", "token": "t+/="},
    "template": {"template": "welcome", "context": {"user_name": "홍길동"}},
    "raw": {"subject": "안내", "html_body": f"<p>{CODE}</p>"},
}


def path_of(kind: str) -> str:
    return "/send" if kind == "raw" else f"/send/{kind}"


def body_of(kind: str, **changed: Any) -> dict[str, Any]:
    return {"to": TO, **VALUES[kind], **changed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a caller is told: members of the answer or of the problem."""

    status: int
    members: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.members[name]


class Caller(Protocol):
    def ask(
        self, kind: str = "otp", *, dry_run: bool = False, in_background: bool = False, **body: Any
    ) -> Told:
        """Ask for a mail of a kind, with its values but for what `body` changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """Writes requests, and reads what comes back until the service closes the connection."""

    url: str

    def talk(
        self, method: str, path: str, body: bytes | Mapping[str, Any] | None = None, **headers: str
    ) -> Answer:
        content = json.dumps(body).encode() if isinstance(body, Mapping) else body
        return self.send(octets(method, path, content, **headers))

    def send(self, request: bytes) -> Answer:
        parts = urlsplit(self.url)
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
            connection.sendall(request)
            return read_answer(connection)

    def ask(
        self, kind: str = "otp", *, dry_run: bool = False, in_background: bool = False, **body: Any
    ) -> Told:
        headers = {"X_Dry_Run": "true"} if dry_run else {}
        headers |= {"Prefer": "respond-async"} if in_background else {}
        answer = self.talk("POST", path_of(kind), body_of(kind, **body), **headers)
        return Told(status=answer.status, members=answer.json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Calls the methods of AuthmailClient."""

    client: AuthmailClient

    def ask(
        self, kind: str = "otp", *, dry_run: bool = False, in_background: bool = False, **body: Any
    ) -> Told:
        method = "send" if kind == "raw" else f"send_{kind.replace('-', '_')}"
        given = body_of(kind, **body)
        positional = [given.pop("to")]
        if "user_name" in given:
            positional.append(given.pop("user_name"))
        options = {"dry_run": dry_run, "respond_async": in_background}
        try:
            sent: Sent = getattr(self.client, method)(*positional, **given, **options)
        except ProblemError as error:
            return Told(status=error.status or 0, members=_members(error))
        return Told(status=202 if sent.state == "queued" else 200, members=sent)


def _members(error: ProblemError) -> dict[str, Any]:
    names = ("code", "hint", "detail", "request_id", "retry_after", "status")
    members = {name: getattr(error, name) for name in names}
    members["errors"] = [
        {"pointer": fault.pointer, "detail": fault.detail} for fault in error.errors
    ]
    if isinstance(error, NotSent):
        members |= {"error_code": error.error_code, "reason": error.reason, "id": error.id}
    return members
