"""Which request a thing is done for, and spans of OpenTelemetry where that is installed.

A request's `traceparent` (W3C Trace Context) goes from the request to the row, to the headers of
Celery's task, to the log lines of the SMTP dialogue, and into the span of the hand-over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from django_authmail.extras import installed

if installed("opentelemetry.trace"):
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    _HAS_SPANS = True
else:
    _HAS_SPANS = False

# Version, trace id, parent id, flags. A later version may go on after these; `ff` is none.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


class Origin(NamedTuple):
    """The request that something is done for; empty where there is none."""

    request_id: str = ""
    traceparent: str = ""


_NOBODY = Origin()
_origin: ContextVar[Origin] = ContextVar("authmail_origin", default=_NOBODY)


def well_formed(traceparent: str) -> str:
    """Return a traceparent as it may be handed on; empty if it is none."""
    known = _TRACEPARENT.match(traceparent)
    if known is None or (traceparent.startswith("00") and known[0] != traceparent):
        return ""
    return known[0] if traceparent[len(known[0]) :][:1] in ("", "-") else ""


def current() -> Origin:
    """Return what was given to the innermost `doing`, in this thread or task."""
    return _origin.get()


@contextmanager
def doing(origin: Origin) -> Iterator[None]:
    """Let what runs inside be known as done for `origin`."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def traceparent() -> str:
    """Return the traceparent that is to be handed on: of the active span, else of the request."""
    if _HAS_SPANS and trace.get_current_span().get_span_context().is_valid:
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        return carrier.get("traceparent", "")
    return current().traceparent


@contextmanager
def span(name: str, origin: Origin, **attributes: str) -> Iterator[None]:
    """Run the block as a span below the one that `origin` names. No value may be secret."""
    # The API alone, which other libraries bring along, hands spans to nobody.
    if not _HAS_SPANS or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield
        return
    parent = None
    # Within the process the active span is nearer than what the row has of it.
    if origin.traceparent and not trace.get_current_span().get_span_context().is_valid:
        parent = TraceContextTextMapPropagator().extract({"traceparent": origin.traceparent})
    tracer = trace.get_tracer("django_authmail")
    with tracer.start_as_current_span(
        name,
        context=parent,
        kind=trace.SpanKind.CLIENT,
        attributes=attributes,
        # An exception's text may hold what a caller sent.
        record_exception=False,
        set_status_on_exception=False,
    ):
        yield
