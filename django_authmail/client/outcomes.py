"""What came of one request: an answer, or none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

#: The largest answer is a message with 50 recipients and its attempts: about 50 kB.
MAX_ANSWER_BYTES = 1024 * 1024

# Raised before the request left.
_NOT_TAKEN = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.LocalProtocolError,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """No whole answer came."""

    #: What happened, in the words of the HTTP library; it knows neither headers nor bodies.
    what: str
    is_timeout: bool
    #: Whether the service may have taken the request all the same.
    may_be_taken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer."""

    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def members(self) -> dict[str, Any] | None:
        """The members of the JSON object that the answer is; None if it is none."""
        try:
            value = json.loads(self.content)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def problem(self) -> dict[str, Any] | None:
        """The members of a problem (RFC 9457) of this API; None if the answer is something else."""
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != "application/problem+json":
            return self._s0_problem
        members = self.members
        return members if members and isinstance(members.get("code"), str) else None

    @property
    def _s0_problem(self) -> dict[str, Any] | None:
        """S0's answer about a mail that was not sent: its service may move after its callers."""
        detail = (self.members or {}).get("detail") if self.status == 502 else None
        if not isinstance(detail, dict) or not isinstance(code := detail.get("error_code"), str):
            return None
        return {"code": code, "error_code": code, "detail": detail.get("message")}

    @property
    def retry_after(self) -> float | None:
        """The seconds of Retry-After (RFC 9110 10.2.3); None without one that can be read."""
        value = self.headers.get("Retry-After", "").strip()
        if value.isascii() and value.isdigit():
            return float(value)
        try:
            at = parsedate_to_datetime(value).astimezone(UTC)
        except (ValueError, OverflowError):
            return None
        return max((at - datetime.now(UTC)).total_seconds(), 0.0)


Outcome = Received | Lost

TOO_LATE = Lost(what="the time for the call is over", is_timeout=True, may_be_taken=True)


def lost(error: httpx.RequestError) -> Lost:
    """Return what an error of the HTTP library means, without the error: it holds the request."""
    return Lost(
        what=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        is_timeout=isinstance(error, httpx.TimeoutException),
        may_be_taken=not isinstance(error, _NOT_TAKEN),
    )


class Reading:
    """Collects an answer, up to a size and a time."""

    def __init__(self, status: int, headers: httpx.Headers, deadline: float) -> None:
        self._status = status
        self._headers = headers
        self._deadline = deadline
        self._content = bytearray()
        self._is_late = False

    @property
    def is_packed(self) -> bool:
        """Whether the answer came compressed, unasked; nobody knows how large it would become."""
        return str(self._headers.get("Content-Encoding", "identity")).lower() != "identity"

    def take(self, chunk: bytes) -> bool:
        """Tell whether to read on."""
        self._content += chunk
        self._is_late = time.monotonic() >= self._deadline
        return not self._is_late and len(self._content) <= MAX_ANSWER_BYTES

    def outcome(self) -> Outcome:
        if self._is_late:
            return TOO_LATE
        # Cut, one that was too long is no JSON.
        content = bytes(self._content[:MAX_ANSWER_BYTES])
        return Received(status=self._status, headers=self._headers, content=content)


def text(members: Mapping[str, Any], name: str) -> str | None:
    """Return a member that is a string or missing; ValueError otherwise."""
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} is no string")
    return value
