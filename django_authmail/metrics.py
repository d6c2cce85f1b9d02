"""The Prometheus series of this package; without prometheus-client everything here does nothing.

Names and labels of the first five are a contract with dashboards (contract, section 8). No label
holds a recipient or free text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django_authmail.extras import installed
from django_authmail.outcomes import SendResult

if installed("prometheus_client"):
    from prometheus_client import (
        CONTENT_TYPE_LATEST,
        REGISTRY,
        CollectorRegistry,
        Counter,
        Gauge,
        Histogram,
        generate_latest,
        multiprocess,
    )

    _sent = Counter("email_send_total", "Hand-overs to a mail server.", ["result", "error_code"])
    _duration = Histogram(
        "email_send_duration_seconds",
        "Duration of one hand-over.",
        # A warm hand-over takes one round trip, a cold one about ten; 45 s is the deadline.
        buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    )
    _active = Gauge("email_send_active", "Hand-overs under way.", multiprocess_mode="livesum")
    _AVAILABLE = True
else:
    _AVAILABLE = False


def available() -> bool:
    """Tell whether prometheus-client is installed."""
    return _AVAILABLE


@contextmanager
def sending() -> Iterator[Callable[[SendResult], None]]:
    """Count and time one hand-over; call what it yields with the result."""
    if not _AVAILABLE:
        yield lambda result: None
        return
    started = time.monotonic()

    def record(result: SendResult) -> None:
        _duration.observe(time.monotonic() - started)
        word = "success" if result.sent else "failure"
        _sent.labels(result=word, error_code=result.error_code).inc()

    with _active.track_inprogress():
        yield record


def exposition() -> tuple[bytes, str]:
    """Return the metrics of all processes and their content type; call only when available."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # untyped there
    return generate_latest(registry), CONTENT_TYPE_LATEST
