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
from django.urls import NoReverseMatch, reverse
from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation.trans_real import parse_accept_lang_header
from rest_framework import exceptions
from rest_framework.response import Response

from django_authmail import logs, tracing

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._-]{0,200}", re.ASCII)

#: Languages of the hints.
LANGUAGES = ("en", "ko")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What every problem of one code has in common."""

    status: int
    title: str
    #: Whether the same request may succeed later, without any change to it.
    retryable: bool = False
    hint: str | Promise


_SEE_REASON = _("The member `reason` says more; the send log has the server's reply.")

_NO_BASE_URL = _("Whoever runs this service has to set AUTHMAIL_LINK_BASE_URL.")

#: Every code that this API answers with (contract, section 3).
KINDS: dict[str, Kind] = {
    "malformed_json": Kind(
        status=400,
        title="The body is not valid JSON",
        hint=_("Send one JSON object in UTF-8, each member once, without NaN or Infinity."),
    ),
    "idempotency_key_invalid": Kind(
        status=400,
        title="The Idempotency-Key cannot be used",
        hint=_(
            "Send 1 to 255 visible ASCII characters without spaces, such as a UUID, once and bare "
            "or in double quotes."
        ),
    ),
    "bad_request": Kind(
        status=400,
        title="The request is not one that this service takes",
        hint=_("Check the header `Host`: whoever runs this service lists the names that it has."),
    ),
    "missing_credentials": Kind(
        status=401,
        title="No API key",
        hint=_("Send the header `Authorization: Bearer KEY`."),
    ),
    "invalid_api_key": Kind(
        status=401,
        title="The API key is not valid",
        hint=_("Check that the whole key was copied, and that it was not revoked."),
    ),
    "expired_api_key": Kind(
        status=401,
        title="The API key has expired",
        hint=_("Ask whoever runs this service for a new key."),
    ),
    "insufficient_scope": Kind(
        status=403,
        title="The API key does not allow this",
        hint=_("Use a key that has the scope, or ask whoever runs this service for one."),
    ),
    "ip_not_allowed": Kind(
        status=403,
        title="The API key may not be used from this address",
        hint=_(
            "Use the key from a network that it is made for. Where the service is behind a proxy, "
            "whoever runs it has to set AUTHMAIL_TRUSTED_PROXIES."
        ),
    ),
    "recipient_not_allowed": Kind(
        status=403,
        title="The API key may not send to this recipient",
        hint=_("Send to a recipient that the key is made for, or use a key without this limit."),
    ),
    "not_found": Kind(
        status=404,
        title="Not found",
        hint=_("Check the address. A key sees only the messages that were sent with it."),
    ),
    "method_not_allowed": Kind(
        status=405,
        title="The method is not allowed here",
        hint=_("The header `Allow` of this answer lists the methods."),
    ),
    "not_acceptable": Kind(
        status=406,
        title="No acceptable form of answer",
        hint=_("Answers are JSON: send `Accept: application/json`, or no such header."),
    ),
    "idempotency_in_progress": Kind(
        status=409,
        title="A request with this Idempotency-Key is still running",
        retryable=True,
        hint=_(
            "Repeat it with the same key after as many seconds as `Retry-After` says: the answer "
            "is that of the first."
        ),
    ),
    "length_required": Kind(
        status=411,
        title="The length of the body is unknown",
        hint=_("Send the header `Content-Length` instead of a chunked body."),
    ),
    "payload_too_large": Kind(
        status=413,
        title="The body is too large",
        hint=_("A body has at most 10 MB."),
    ),
    "unsupported_media_type": Kind(
        status=415,
        title="The body is not JSON",
        hint=_("Send the header `Content-Type: application/json` and a JSON body."),
    ),
    "validation_error": Kind(
        status=422,
        title="The body is not what this endpoint takes",
        hint=_("Each entry of `errors` names a member by its JSON pointer and says what is wrong."),
    ),
    "crlf_in_header": Kind(
        status=422,
        title="Line break in a header field",
        hint=_("Remove carriage returns, line feeds and NUL: header fields are one line."),
    ),
    "invalid_recipient": Kind(
        status=422,
        title="The recipient is not a usable address",
        hint=_("Give one address, as name@domain."),
    ),
    "idempotency_key_reused": Kind(
        status=422,
        title="This Idempotency-Key was given with another body",
        hint=_("Nothing was sent. Take a new key for each mail, and the same for its repeats."),
    ),
    "unknown_template": Kind(
        status=422,
        title="There is no such kind of mail",
        hint=_("The member `template` names a kind of mail that this project has."),
    ),
    "template_error": Kind(
        status=422,
        title="The mail cannot be made from these values",
        hint=_("Each entry of `errors` names a value and says what is wrong."),
    ),
    "recipient_suppressed": Kind(
        status=409,
        title="Nothing is sent to this address",
        hint=_(
            "A server said of a mail of yours that this mailbox does not exist or is disabled. "
            "Check the address with its owner; whoever runs this service can lift the suppression."
        ),
    ),
    "rate_limited": Kind(
        status=429,
        title="The API key has used up its requests of this minute",
        retryable=True,
        hint=_("Wait as many seconds as the header `Retry-After` says, then send it again."),
    ),
    "auth_throttled": Kind(
        status=429,
        title="Too many requests without a valid API key",
        retryable=True,
        hint=_(
            "Too many came from this address. Check the key: a valid one is answered at once, "
            "however many others failed."
        ),
    ),
    "recipient_cooldown": Kind(
        status=429,
        title="This address had enough mails of this kind for now",
        retryable=True,
        hint=_("Wait as many seconds as the header `Retry-After` says, then send it again."),
    ),
    "internal_error": Kind(
        status=500,
        title="Something went wrong here",
        hint=_("Tell whoever runs this service the `request_id`; the log has the rest."),
    ),
    "quota_exceeded": Kind(
        status=429,
        title="The mail account has used up its quota",
        retryable=True,
        hint=_("Nothing was sent. Wait as long as `Retry-After` says, or send in the background."),
    ),
    "idempotency_unavailable": Kind(
        status=501,
        title="This service recognises no repeats",
        hint=_(
            "Leave the header `Idempotency-Key` out, and repeat nothing that may have been taken. "
            "Whoever runs this service can set AUTHMAIL_IDEMPOTENCY_TTL_SECONDS above 0."
        ),
    ),
    "magic_link_not_configured": Kind(
        status=503, title="This service has no address for links", hint=_NO_BASE_URL
    ),
    "link_base_url_not_configured": Kind(
        status=503, title="This service has no address for links", hint=_NO_BASE_URL
    ),
    "mailer_unavailable": Kind(
        status=503,
        title="The mail server is not available",
        retryable=True,
        hint=_("Nothing was sent. Wait as long as `Retry-After` says, or send in the background."),
    ),
    "paused": Kind(
        status=503,
        title="Sending is paused",
        retryable=True,
        hint=_("Nothing was sent. Whoever runs this service has paused it and will resume it."),
    ),
    "not_ready": Kind(
        status=503,
        title="This process cannot do its work now",
        retryable=True,
        hint=_("Each entry of `checks` names a part that does not work. With a key it says why."),
    ),
    "smtp_auth_failed": Kind(
        status=502, title="The mail server refused the login", retryable=True, hint=_SEE_REASON
    ),
    "smtp_connection": Kind(
        status=502, title="No connection to the mail server", retryable=True, hint=_SEE_REASON
    ),
    "smtp_timeout": Kind(
        status=502, title="The mail server did not answer in time", retryable=True, hint=_SEE_REASON
    ),
    "smtp_transient": Kind(
        status=502, title="The mail server refused for now", retryable=True, hint=_SEE_REASON
    ),
    "recipient_refused": Kind(
        status=502, title="The mail server refused the mail", hint=_SEE_REASON
    ),
    "starttls_unsupported": Kind(
        status=502, title="The mail server offers no encryption", retryable=True, hint=_SEE_REASON
    ),
    "unknown": Kind(status=502, title="The mail could not be sent", hint=_SEE_REASON),
}


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
        problem = Problem("internal_error", "An unexpected error was logged with the request_id.")
    else:
        log(
            logging.INFO,
            "api.refused",
            code=problem.code,
            status=problem.status,
            method=request.method,
            route=_route(request),
            request_id=request_id,
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
        hint = str(problem.hint)
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
    for tag, _quality in parse_accept_lang_header(request.headers.get("Accept-Language", "")):
        language = tag.partition("-")[0]
        if language in LANGUAGES:
            return language
    return "en"


def _problem(error: Exception) -> Problem | None:
    if isinstance(error, Problem):
        return error
    for foreign, code in _FOREIGN:
        if isinstance(error, foreign):
            return Problem(code)
    return None


def _instance(path: str) -> str:
    # An address can hold anything: a mailbox, or characters that no URI has. Its folder is shown
    # then.
    known = _PLAIN_PATH.match(path)
    shown = known[0] if known else "/"
    return shown if shown == path else shown.rpartition("/")[0] + "/"


def _errors_page(request: HttpRequest) -> str:
    # A project's handler404 answers for addresses that are not of this API, too.
    match = request.resolver_match
    ours = match is not None and match.app_names[-1:] == ["authmail"]
    try:
        return reverse(f"{match.namespace if match and ours else 'authmail'}:errors")
    except NoReverseMatch:
        return "about:blank"


def _route(request: HttpRequest) -> str:
    # The pattern, not the path: a path is the caller's text.
    return request.resolver_match.route if request.resolver_match else ""
