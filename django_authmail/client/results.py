"""What the last outcome of a call means to the caller: an answer, or an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django_authmail.client.calls import Call
from django_authmail.client.errors import (
    ClientError,
    Conflict,
    Facts,
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
from django_authmail.client.outcomes import Lost, Outcome, Received

T = TypeVar("T")

_BY_STATUS: dict[int, type[ProblemError]] = {
    400: InvalidRequest,
    401: NotAuthenticated,
    403: NotAllowed,
    404: NotFound,
    405: InvalidRequest,
    406: InvalidRequest,
    409: Conflict,
    411: InvalidRequest,
    413: InvalidRequest,
    415: InvalidRequest,
    422: InvalidRequest,
    429: RateLimited,
    501: IdempotencyUnavailable,
    502: NotSent,
    503: ServiceUnavailable,
}

_NOT_REACHED = "Check base_url, and whether GET /health is answered there."

_REPEAT_IT = (
    "A mail may have been sent. Repeat the call with idempotency_key=error.idempotency_key, by "
    "which nothing is sent twice; the service has the request_id in its log."
)

_LOOK_IT_UP = (
    "A mail may have been sent, and without an Idempotency-Key a repeat would be another. The "
    "service has the request_id in its log."
)

_NO_IDEMPOTENCY = (
    "Make the client with idempotency=False: it then sends no Idempotency-Key, and repeats nothing "
    "that the service may have taken. Or switch it on in the service "
    "(AUTHMAIL_IDEMPOTENCY_TTL_SECONDS above 0), or update the service."
)


_IN_DOUBT = ("database_unavailable", "idempotency_in_progress", "internal_error")


def result(call: Call[T], url: str, outcome: Outcome) -> T:
    """Return what the service answered; raise a ClientError for everything else."""
    if isinstance(outcome, Lost):
        error: ClientError = _unreachable(call, url, outcome)
    elif 200 <= outcome.status < 300:
        try:
            return call.read(outcome)
        except ValueError as wrong:
            what = f"no answer of this API ({wrong})"
        error = _unexpected(call, url, outcome, what)
    else:
        error = _refusal(call, url, outcome)
    # Outside of the block above: no context, which would keep the answer alive.
    raise error


def _unreachable(call: Call[Any], url: str, lost: Lost) -> ServiceUnreachable:
    """Return the error for a call without an answer."""
    kind = ServiceTimeout if lost.is_timeout else ServiceUnreachable
    is_in_doubt = call.sends and lost.may_be_taken
    in_doubt = _REPEAT_IT if call.idempotency_key else _LOOK_IT_UP
    return kind(
        Facts(
            method=call.method,
            url=url,
            code="timeout" if lost.is_timeout else "unreachable",
            detail=f"{_origin(url)} gave no answer ({lost.what})",
            hint=in_doubt if is_in_doubt else _NOT_REACHED,
            request_id=call.request_id,
            idempotency_key=call.idempotency_key,
            may_have_been_sent=is_in_doubt,
        )
    )


def _refusal(call: Call[Any], url: str, answer: Received) -> ClientError:
    """Return the error for an answer that is no success."""
    problem = answer.problem
    if problem is None:
        return _unexpected(call, url, answer, _page(answer))
    kind = _BY_STATUS.get(answer.status, ServiceFailed)
    return kind(
        Facts(
            method=call.method,
            url=url,
            status=answer.status,
            code=problem["code"],
            detail=str(problem.get("detail") or problem.get("title") or ""),
            hint=(
                _NO_IDEMPOTENCY
                if kind is IdempotencyUnavailable
                else str(problem.get("hint") or "")
            ),
            request_id=str(problem.get("request_id") or call.request_id),
            idempotency_key=call.idempotency_key,
            retry_after=answer.retry_after,
            errors=_faults(problem.get("errors")),
            may_have_been_sent=call.sends and _in_doubt(answer.status, problem),
            content=answer.content,
            members=problem,
        )
    )


def _unexpected(call: Call[Any], url: str, answer: Received, what: str) -> UnexpectedAnswer:
    """Return the error for an answer that is none of this API."""
    return UnexpectedAnswer(
        Facts(
            method=call.method,
            url=url,
            status=answer.status,
            code="unexpected_answer",
            detail=f"{_origin(url)} answered {answer.status}: {what}",
            hint=_NOT_REACHED,
            request_id=call.request_id,
            idempotency_key=call.idempotency_key,
            retry_after=answer.retry_after,
            # Something that answers with a redirect or an error did not necessarily ask the
            # service; something that answers 2xx or 5xx may have.
            may_have_been_sent=call.sends and not 300 <= answer.status < 500,
        )
    )


def _in_doubt(status: int, problem: Mapping[str, Any]) -> bool:
    # A 502 without a reason is about a mail that is still being handed over.
    return problem["code"] in _IN_DOUBT or (
        status == 502 and problem.get("reason") in (None, "", "outcome_unknown")
    )


def _page(answer: Received) -> str:
    if 300 <= answer.status < 400 and "Location" in answer.headers:
        return f"a redirect to {_origin(answer.headers['Location'])}, which is not followed"
    return "no answer of this API"


def _faults(errors: Any) -> tuple[Fault, ...]:
    if not isinstance(errors, list):
        return ()
    return tuple(
        Fault(pointer=str(each.get("pointer", "")), detail=str(each.get("detail", "")))
        for each in errors
        if isinstance(each, dict)
    )


def _origin(url: str) -> str:
    """Return the scheme and host of an address: the rest may be anything."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "this host"
