"""Errors as `application/problem+json` (RFC 9457): their codes, and the one handler that answers.

No recipient, code, token, body or stack trace is ever part of one.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest
from django.urls import NoReverseMatch
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework import exceptions
from rest_framework.response import Response

from django_authmail import logs, tracing, transactions, wording
from django_authmail.api import mount
from django_authmail.api.codes import KINDS

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._-]{0,200}", re.ASCII)

#: A server that restarts is back within some seconds; what asks again costs one connection.
_DATABASE_SECONDS = 1

_TOO_LARGE_FOR_THE_DATABASE = _(
    "The mail has to be smaller, or whoever runs this service raises max_allowed_packet."
)

#: Languages of the hints.
LANGUAGES = ("en", "ko")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one place of the body: a JSON pointer (RFC 6901), empty for the whole."""

    pointer: str
    detail: str

    @classmethod
    def at(cls, member: str, detail: str) -> Fault:
        return cls(f"/{cls.escaped(member)}", detail)

    @staticmethod
    def escaped(member: str) -> str:
        return member.replace("~", "~0").replace("/", "~1")


class Problem(Exception):
    """Raised to answer with a problem. `code` is one of KINDS; nothing in it may be secret."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        status: int | None = None,
        faults: Sequence[Fault] = (),
        hint: str | Promise | None = None,
        retryable: bool | None = None,
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, detail)
        kind = KINDS[code]
        self.code = code
        self.title = kind.title
        self.detail = detail or f"{kind.title}."
        self.status = status or kind.status
        self.faults = tuple(faults)
        self.hint = kind.hint if hint is None else hint
        self.retryable = kind.retryable if retryable is None else retryable
        self.headers = dict(headers or {})
        self.members = dict(members or {})
        if retry_after is not None:
            # Whole seconds (RFC 9110 10.2.3), and never too few.
            seconds = max(math.ceil(retry_after), 1)
            self.headers["Retry-After"] = str(seconds)
            self.members["retry_after"] = seconds


# What Django REST framework and Django raise themselves. First match wins.
_FOREIGN: tuple[tuple[type[Exception], str], ...] = (
    (Http404, "not_found"),
    (exceptions.NotFound, "not_found"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.NotAcceptable, "not_acceptable"),
)


def handle(error: Exception, context: Mapping[str, Any]) -> Response:
    """Answer any exception of a view with a problem: the `get_exception_handler` of every view."""
    request: HttpRequest = context["request"]
    request_id: str = context["view"].request_id
    problem = _problem(error)
    if problem is None:
        facts = logs.describe_apart(error)
        log(logging.ERROR, "api.failed", **facts, request_id=request_id)
        problem = _failure(error)
    else:
        log(
            logging.INFO,
            "api.refused",
            code=problem.code,
            status=problem.status,
            method=request.method,
            route=_route(request),
            request_id=request_id,
            **_recipients(context["view"]),
        )
    headers = dict(problem.headers)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return response(body_of(problem, request, request_id), status=problem.status, headers=headers)


def response(body: Mapping[str, Any], *, status: int, headers: Mapping[str, str]) -> Response:
    """Return the response that has the body of a problem."""
    answer = Response(body, status=status, headers=dict(headers), content_type=CONTENT_TYPE)
    if status in (502, 503):
        # Django reports every 5xx to ADMINS by mail. What happened is on record or in the answer
        # already, and a mail about a mail server that does not answer would keep the caller
        # waiting for it again.
        answer._has_been_logged = True  # type: ignore[attr-defined] # django.utils.log reads it
    return answer


def body_of(problem: Problem, request: HttpRequest, request_id: str) -> dict[str, Any]:
    """Return the members of a problem, as the caller of `request` is told them."""
    with translation.override(preferred_language(request)):
        hint = wording.said(problem.hint)
    body: dict[str, Any] = {
        "type": f"{_errors_page(request)}#{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": _instance(request.path),
        "code": problem.code,
        "request_id": request_id,
        "retryable": problem.retryable,
        "hint": hint,
        **problem.members,
    }
    if problem.faults:
        body["errors"] = [{"pointer": f.pointer, "detail": f.detail} for f in problem.faults]
    return body


def log(level: int, event: str, **facts: object) -> None:
    """Log what became of a request. Nothing in it may be secret."""
    if traceparent := tracing.current().traceparent:
        facts["traceparent"] = traceparent
    text = " ".join(f"{name}={value}" for name, value in facts.items())
    # The same as attributes of the record, for `logs.Formatter`.
    extra = {f"authmail_{name}": value for name, value in {"event": event, **facts}.items()}
    logger.log(level, "%s %s", event, text, extra=extra)


def preferred_language(request: HttpRequest) -> str:
    """Return the language of LANGUAGES that Accept-Language prefers; English otherwise.

    Not Django's own choice: that one reads cookies, and only knows the project's LANGUAGES.
    """
    for tag, quality in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        language = tag.partition("-")[0]
        if quality and language in LANGUAGES:
            return language
    return "en"


def _problem(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    for foreign, code in _FOREIGN:
        if isinstance(error, foreign):
            return Problem(code)
    return None


def _failure(error: Exception) -> Problem:
    """Return the problem for an error that is nobody's answer, and was logged."""
    if isinstance(error, transactions.StatementTooLarge):
        detail = "The mail is larger than the database of this service takes."
        return Problem("payload_too_large", detail, hint=_TOO_LARGE_FOR_THE_DATABASE)
    if isinstance(error, transactions.FAILED) and not logs.lacks_tables(error):
        # After a hand-over, no such error comes here: its outcome is what is answered.
        detail = "The database of this service did not answer, or not in time."
        return Problem("database_unavailable", detail, retry_after=_DATABASE_SECONDS)
    return Problem("internal_error", "An unexpected error was logged with the request_id.")


def _instance(path: str) -> str:
    # An address can hold anything: a mailbox, or characters that no URI has. Its folder is shown
    # then.
    known = _PLAIN_PATH.match(path)
    shown = known[0] if known else "/"
    return shown if shown == path else shown.rpartition("/")[0] + "/"


def _errors_page(request: HttpRequest) -> str:
    try:
        return mount.link(request, "errors")
    except NoReverseMatch:
        return "about:blank"


def _recipients(view: Any) -> dict[str, str]:
    # No row tells of a request that was refused: this is what it is found by.
    return {"to_hash": view.to_hash} if view.to_hash else {}


def _route(request: HttpRequest) -> str:
    # The pattern, not the path: a path is the caller's text.
    return request.resolver_match.route if request.resolver_match else ""
