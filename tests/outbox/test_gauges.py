"""What Prometheus reads from the tables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pytest_django.fixtures import Settings

from django_authmail import dispatch, metrics, outbox
from django_authmail.clock import db_now
from django_authmail.models import Carrier, Message
from django_authmail.outbox import carriers
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer
from tests.workers import worker_environment

pytestmark = pytest.mark.django_db(transaction=True)

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture(autouse=True)
def _metrics_are_on(settings: Settings) -> None:
    settings.AUTHMAIL_METRICS_ENABLED = True


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped() -> Samples:
    return samples(metrics.exposition()[0].decode())


def test_tells_how_many_messages_wait_and_how_long() -> None:
    assert scraped()["authmail_queue_oldest_seconds", ()] == 0
    outbox.submit(auth_message())
    outbox.submit(auth_message())
    Message.objects.update(created_at=db_now("default") - timedelta(seconds=90))
    found = scraped()
    assert found["authmail_queue_depth", ("queued",)] == 2
    assert found["authmail_queue_depth", ("sending",)] == 0
    assert found["authmail_queue_depth", ("held",)] == 0
    assert 90 <= found["authmail_queue_oldest_seconds", ()] < 120


def test_tells_what_is_left_of_a_quota_and_whether_a_breaker_is_open(settings: Settings) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 500, "minute": 30}}
    assert isinstance(carriers.admit("default", 4), carriers.Pass)
    found = scraped()
    assert found["authmail_quota_remaining", ("default",)] == 26
    assert found["authmail_breaker_open", ("default",)] == 0
    Carrier.objects.create(name="default", broken_until=db_now("default") + timedelta(seconds=20))
    assert scraped()["authmail_breaker_open", ("default",)] == 1


def test_counts_the_end_of_a_message_and_its_time(smtp_server: SmtpServer) -> None:
    before = scraped()
    outbox.submit(auth_message())
    dispatch.dispatch_due()
    after = scraped()

    def grown(name: str, *labels: str) -> float:
        return after[name, labels] - before.get((name, labels), 0)

    assert grown("authmail_messages_total", "accepted", "otp") == 1
    assert grown("authmail_time_to_accept_seconds_count", "otp") == 1
    assert 0 < grown("authmail_time_to_accept_seconds_sum", "otp") < 60
    assert ("authmail_messages_total", ("queued", "otp")) not in after


def test_a_database_that_fails_leaves_the_other_metrics() -> None:
    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        raise OperationalError("gone away")

    with connection.execute_wrapper(refuse):
        found = scraped()
    assert ("email_send_active", ()) in found
    assert ("authmail_queue_depth", ("queued",)) not in found


def test_with_metrics_off_a_scrape_of_the_common_registry_reads_no_table(
    settings: Settings, django_assert_num_queries: Any
) -> None:
    settings.AUTHMAIL_METRICS_ENABLED = False
    with django_assert_num_queries(0):
        text = generate_latest(REGISTRY).decode()
    assert "authmail_queue_depth" not in text
    assert "authmail_webhook_queue_depth" not in text
    assert "authmail_breaker_open" not in text
    # What the process counted in its memory is there: it costs nothing, and nobody's query.
    assert "email_send_active" in text
    settings.AUTHMAIL_METRICS_ENABLED = True
    assert "authmail_queue_depth{" in generate_latest(REGISTRY).decode()


_SCRAPE = """
import django; django.setup()
from django.conf import settings
settings.AUTHMAIL_METRICS_ENABLED = True
from django_authmail import metrics
metrics.set_connections(idle=2, lent=1)
print(metrics.exposition()[0].decode())
"""


def test_several_processes_say_the_same_once(smtp_server: SmtpServer, tmp_path: Path) -> None:
    outbox.submit(auth_message())
    environment = worker_environment(smtp_server) | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", _SCRAPE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.count("authmail_queue_depth{") == 3
    found = samples(run.stdout)
    assert found["authmail_queue_depth", ("queued",)] == 1
    assert found["authmail_pool_connections", ("idle",)] == 2
    assert list(tmp_path.iterdir()), os.listdir(tmp_path)
