"""The Prometheus series of this package; without prometheus-client everything here does nothing.

Names and labels of the first five are a contract with dashboards (contract, section 8). No label
holds a recipient or free text.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from django_authmail.conf import conf
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
    from prometheus_client.core import GaugeMetricFamily

    _sent = Counter("email_send_total", "Hand-overs to a mail server.", ["result", "error_code"])
    _duration = Histogram(
        "email_send_duration_seconds",
        "Duration of one hand-over.",
        # A warm hand-over takes one round trip, a cold one about ten; 45 s is the deadline.
        buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    )
    _messages = Counter(
        "authmail_messages_total", "Messages that came to an end, or are held.", ["type", "state"]
    )
    _to_accept = Histogram(
        "authmail_time_to_accept_seconds",
        "From the request to the answer that took the mail.",
        ["type"],
        # A warm hand-over takes well under a second; a code is of no use after minutes.
        buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200),
    )
    _rate_limited = Counter(
        "authmail_rate_limited_total",
        "Requests that a limit refused: of a key, a recipient, or failed authentications.",
        ["scope"],
    )
    _webhooks = Counter(
        "authmail_webhook_deliveries_total",
        "Attempts to tell a receiver, by what became of the delivery.",
        ["result"],
    )
    _webhooks_failed = Counter("email_webhook_failed_total", "Webhooks that were given up.")
    _endpoints_disabled = Counter(
        "authmail_webhook_endpoints_disabled_total",
        "Endpoints that were disabled by themselves.",
        ["reason"],
    )
    _connections = Gauge(
        "authmail_pool_connections",
        "Connections of the pools, looked at every five seconds.",
        ["state"],
        multiprocess_mode="livesum",
    )
    _active = Gauge("email_send_active", "Hand-overs under way.", multiprocess_mode="livesum")
    _AVAILABLE = True
else:
    _AVAILABLE = False

#: States that a message comes to more than once.
_UNDER_WAY = frozenset(("queued", "sending"))


def available() -> bool:
    """Tell whether prometheus-client is installed."""
    return _AVAILABLE


def shared() -> bool:
    """Tell whether all processes count together, as prometheus-client's multiprocess mode does."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


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


def count_message(
    sender: object,
    state: str,
    kind: str,
    accepted_after: float | None = None,
    is_test: bool = False,
    **extra: Any,
) -> None:
    """Count a message that came to an end; a receiver of `message_changed`."""
    if not _AVAILABLE or state in _UNDER_WAY or is_test:
        return
    _messages.labels(type=kind, state=state).inc()
    if accepted_after is not None:
        _to_accept.labels(type=kind).observe(accepted_after)


def count_rate_limited(scope: str) -> None:
    """Count a request that a limit refused: `key`, `recipient` or `auth`."""
    if _AVAILABLE:
        _rate_limited.labels(scope=scope).inc()


def count_webhook(result: str, count: int = 1) -> None:
    """Count attempts to tell a receiver: `delivered`, `deferred`, or `failed` for good."""
    if not _AVAILABLE:
        return
    _webhooks.labels(result=result).inc(count)
    if result == "failed":
        _webhooks_failed.inc(count)


def count_endpoint_disabled(reason: str) -> None:
    """Count an endpoint that was disabled by itself: `gone` or `failing`."""
    if _AVAILABLE:
        _endpoints_disabled.labels(reason=reason).inc()


def set_connections(*, idle: int, lent: int) -> None:
    """Note how many connections the pools of this process have."""
    if _AVAILABLE:
        _connections.labels(state="idle").set(idle)
        _connections.labels(state="lent").set(lent)


class Reading(NamedTuple):
    """A gauge that is read when somebody asks, and its values by their labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: Mapping[tuple[str, ...], float]


def read_at_scrape(read: Callable[[], Iterable[Reading]]) -> None:
    """Let every scrape ask `read`, in whichever process it arrives: the tables are everybody's.

    With AUTHMAIL_METRICS_ENABLED off, none does.
    """
    global _at_scrape
    if _AVAILABLE and _at_scrape is None:
        _at_scrape = _AtScrape(read)
        # In the common registry, so that django-prometheus' page has them too.
        REGISTRY.register(_at_scrape)


class _AtScrape:
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> list[Any]:
        # Asked at registration; without it, `collect` would be, when there is no database yet.
        return []

    def collect(self) -> Iterator[Any]:
        # A page of django-prometheus, or of the project's own, would ask the tables for what its
        # project has not switched on.
        if not conf.metrics_enabled:
            return
        for reading in self._read():
            family = GaugeMetricFamily(reading.name, reading.help, labels=reading.labels)
            for labels, value in reading.values.items():
                family.add_metric(labels, value)
            yield family


_at_scrape: _AtScrape | None = None


def exposition() -> tuple[bytes, str]:
    """Return the metrics of all processes and their content type; call only when available."""
    registry = REGISTRY
    if shared():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # untyped there
        if _at_scrape is not None:
            registry.register(_at_scrape)
    return generate_latest(registry), CONTENT_TYPE_LATEST
