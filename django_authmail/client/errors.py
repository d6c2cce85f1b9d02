"""What the client raises.

ClientError
├── ServiceUnreachable     (httpx.TransportError)    no connection, or it broke before the answer
│   └── ServiceTimeout     (httpx.TimeoutException)  no answer within the time for the call
├── UnexpectedAnswer       (httpx.HTTPStatusError)   none of this API: a redirect, a proxy's page
└── ProblemError                                     the service refuses, and says why
    ├── NotSent                                      502: the mail server did not take the mail
    ├── InvalidRequest     (httpx.HTTPStatusError)   400, 405, 406, 411, 413, 415, 422
    ├── NotAuthenticated   (httpx.HTTPStatusError)   401
    ├── NotAllowed         (httpx.HTTPStatusError)   403
    ├── NotFound           (httpx.HTTPStatusError)   404
    ├── Conflict           (httpx.HTTPStatusError)   409
    ├── RateLimited        (httpx.HTTPStatusError)   429
    ├── ServiceUnavailable (httpx.HTTPStatusError)   503
    ├── IdempotencyUnavailable (…)                   501: the service recognises no repeats
    └── ServiceFailed      (httpx.HTTPStatusError)   500, and any other

httpx's classes are among the bases for callers of S0's client, which let those through; NotSent is
S0's EmailServiceError, which was none. What hangs on them was made anew: no error holds the key, a
body, or a header of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one place of the body: a JSON pointer (RFC 6901), empty for the whole."""

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an error knows, in a form that can be pickled."""

    method: str
    url: str
    code: str
    detail: str
    request_id: str
    idempotency_key: str | None
    may_have_been_sent: bool
    status: int | None = None
    hint: str = ""
    retry_after: float | None = None
    errors: tuple[Fault, ...] = ()
    content: bytes = field(default=b"", repr=False)
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)


class ClientError(Exception):
    """Root of what the client raises about a call that was made."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        #: The word for what is wrong: one of the service's, `unreachable`, `timeout` or
        #: `unexpected_answer`.
        self.code = facts.code
        #: The status code of the answer; None if there was none.
        self.status = facts.status
        self.detail = facts.detail
        #: What to do about it.
        self.hint = facts.hint
        #: What the service logged the request under, if it got that far.
        self.request_id = facts.request_id
        #: Seconds to wait before the same call makes sense, if the service said so.
        self.retry_after = facts.retry_after
        #: What is wrong with the body, place by place.
        self.errors = facts.errors
        #: What to repeat the call with, so that nothing is sent twice; None if it had none.
        self.idempotency_key = facts.idempotency_key
        #: Whether a mail may have left all the same.
        self.may_have_been_sent = facts.may_have_been_sent
        # Not super(): httpx's constructors are not made to be combined.
        Exception.__init__(self, _text(facts))

    def __reduce__(self) -> tuple[type[ClientError], tuple[Facts]]:
        return type(self), (self._facts,)

    # As S0's EmailServiceError has them.

    @property
    def status_code(self) -> int | None:
        return self.status

    @property
    def message(self) -> str:
        return self.detail


class ServiceUnreachable(ClientError, httpx.TransportError):
    """Raised when no connection came about, or it broke before the answer was whole."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.request = httpx.Request(facts.method, facts.url)


class ServiceTimeout(ServiceUnreachable, httpx.TimeoutException):
    """Raised when the time for a call was over before the answer was whole."""


class _Answered(ClientError, httpx.HTTPStatusError):
    """An error with httpx's view of the answer: `response`, and `request` without what was sent."""

    def __init__(self, facts: Facts) -> None:
        super().__init__(facts)
        self.request = httpx.Request(facts.method, facts.url)
        self.response = httpx.Response(
            facts.status or 0,
            content=facts.content,
            headers={"Content-Type": "application/problem+json"} if facts.content else {},
            request=self.request,
        )


class UnexpectedAnswer(_Answered):
    """Raised for an answer that is none of this API: a redirect, a page of a proxy, no JSON."""


class ProblemError(ClientError):
    """Root of the refusals of the service."""


class NotSent(ProblemError):
    """Raised when the mail server did not take the mail (502)."""

    @property
    def error_code(self) -> str:
        """One of S0's eight words."""
        return self._member("error_code") or self.code

    @property
    def reason(self) -> str:
        """The finer word."""
        return self._member("reason") or ""

    @property
    def id(self) -> str | None:
        """Of the message on record: `client.message(error.id)` says what became of it."""
        return self._member("id")

    @property
    def message_id(self) -> str | None:
        """The Message-ID header of the mail."""
        return self._member("message_id")

    def _member(self, name: str) -> str | None:
        value = self._facts.members.get(name)
        return value if isinstance(value, str) else None


class InvalidRequest(ProblemError, _Answered):
    """Raised when the service takes no such body or request; `errors` says what to change."""


class NotAuthenticated(ProblemError, _Answered):
    """Raised when the key is wrong, revoked or expired (401)."""


class NotAllowed(ProblemError, _Answered):
    """Raised when the key may not do this (403)."""


class NotFound(ProblemError, _Answered):
    """Raised when there is no such message of this key (404)."""


class Conflict(ProblemError, _Answered):
    """Raised when nothing is sent to this address, or an equal call still runs (409)."""


class RateLimited(ProblemError, _Answered):
    """Raised when there were too many calls, or mails to one address (429)."""


class ServiceUnavailable(ProblemError, _Answered):
    """Raised when the service cannot send now, or lacks a setting (503)."""


class ServiceFailed(ProblemError, _Answered):
    """Raised when something went wrong in the service (500)."""


class IdempotencyUnavailable(ProblemError, _Answered):
    """Raised when the service does not recognise repeats (501). Nothing was sent."""


def _text(facts: Facts) -> str:
    """Return one line; where there are faults, a line for each between what is wrong and the hint.

    They are sentences of several authors, with a full stop or without, and with semicolons in them.
    """
    status = f"{facts.status} " if facts.status else ""
    what = f"{status}{facts.code}: {facts.detail}"
    what_to_do = f"{facts.hint} [request_id {facts.request_id}]".lstrip()
    if not facts.errors:
        return f"{what} {what_to_do}"
    faults = (f"  {fault.pointer or 'the body'}: {fault.detail}" for fault in facts.errors)
    return "\n".join((what, *faults, what_to_do))
