from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail import dispatch, outbox, tasks
from django_authmail.message import Priority
from django_authmail.models import Message
from django_authmail.schedule import beat_schedule, task_routes
from tests import smtp_server as servers
from tests.chaos.storm import SKEW_SECONDS, clock_ahead
from tests.conftest import UseMailer
from tests.outbox.factories import CODE, auth_message
from tests.workers import Broker, UseBroker, worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("broker", ["filesystem", "redis", "rabbitmq"])
def test_a_worker_sends_what_was_queued(
    broker: str,
    use_broker: UseBroker,
    smtp_server: servers.SmtpServer,
    request: pytest.FixtureRequest,
) -> None:
    if broker == "filesystem":
        app = use_broker(*request.getfixturevalue("filesystem_broker"))
    else:
        app = use_broker(request.getfixturevalue(f"{broker}_url"))
    before = outbox.submit(auth_message())
    with worker(app, smtp_server):
        assert smtp_server.wait_for(1)
        outbox.submit(auth_message(to=("second@example.com",)))
        assert smtp_server.wait_for(2)
    assert set(Message.objects.values_list("state", flat=True)) == {"accepted"}
    assert before.attempts.count() == 1
    assert sorted(m.recipients for m in smtp_server.mails) == [
        ["hong@example.com"],
        ["second@example.com"],
    ]


def test_a_task_carries_the_row_s_id_and_nothing_else(
    use_broker: UseBroker, filesystem_broker: Broker
) -> None:
    use_broker(*filesystem_broker)
    row = outbox.submit(auth_message())
    tasks._publisher.close()  # on a busy machine nobody had waited for it
    [file] = filesystem_broker.folder.iterdir()
    payload = json.loads(file.read_text())
    [args, kwargs, _] = json.loads(base64.b64decode(payload["body"]))
    assert (args, kwargs) == ([str(row.id)], {})
    text = file.read_text() + base64.b64decode(payload["body"]).decode()
    for secret in (CODE, "hong@", "Your code"):
        assert secret not in text


def silent_port() -> tuple[socket.socket, int]:
    """Return a listener that accepts (the kernel does) and never says a word."""
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("state", ["dead", "silent"])
def test_a_broker_that_is_down_costs_little_and_loses_nothing(
    scheme: str,
    state: str,
    use_broker: UseBroker,
    smtp_server: servers.SmtpServer,
    dead_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener, port = silent_port()
    with listener:
        if state == "dead":
            port = dead_port
        use_broker(f"{scheme}://user:broker-password@127.0.0.1:{port}//")
        tasks.warm_publisher()
        started = time.monotonic()
        row = outbox.submit(auth_message())
        # With room for a busy machine: without care it is up to 25 s, each time.
        assert time.monotonic() - started < 1
        outbox.submit(auth_message())
    # The second found it marked as down, and did not try.
    [down] = [record for record in caplog.records if "email.broker_down" in record.getMessage()]
    assert vars(down)["authmail_event"] == "email.broker_down"
    # A busy machine may be late with a refusal, too.
    known = {"no answer in time"} | ({"ConnectionRefusedError"} if state == "dead" else set())
    assert vars(down)["authmail_why"] in known
    assert "broker-password" not in caplog.text
    row.refresh_from_db()
    assert row.state == "queued"
    tasks.sweep()
    assert set(Message.objects.values_list("state", flat=True)) == {"accepted"}
    assert len(smtp_server.mails) == 2


def test_a_lost_task_is_found_by_the_sweep(
    use_broker: UseBroker, smtp_server: servers.SmtpServer
) -> None:
    use_broker("memory://")
    outbox.submit(auth_message())  # no worker ever runs
    assert tasks.sweep() == 1
    assert tasks.sweep() == 0
    assert len(smtp_server.mails) == 1


def test_a_worker_whose_clock_is_ahead_sweeps_as_well(
    use_broker: UseBroker,
    smtp_server: servers.SmtpServer,
    filesystem_broker: Broker,
    settings: Any,
    tmp_path: Path,
) -> None:
    app = use_broker(*filesystem_broker)
    settings.AUTHMAIL_CELERY = False  # its task is lost
    # SQLite's clock is that of who asks it.
    outbox.submit(auth_message(expires_in=timedelta(seconds=2 * SKEW_SECONDS)))
    for entry in beat_schedule().values():
        app.send_task(entry["task"], **entry["options"])
    with worker(app, smtp_server, **clock_ahead(SKEW_SECONDS, tmp_path)):
        assert smtp_server.wait_for(1)


_FIRST_TASK = """
import logging, sys
from celery import Celery
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django_authmail"], SECRET_KEY="x" * 50, AUTHMAIL_CELERY=True,
    DEFAULT_FROM_EMAIL="a@example.com",
)
django.setup()
logging.basicConfig(level=logging.INFO, format="%(message)s")
Celery("first", broker=sys.argv[1]).set_default()
from django_authmail import tasks
tasks._publisher.publish(tasks.DISPATCH, "some-id")
tasks._publisher.close()
"""


def test_the_first_task_of_a_process_is_not_called_late_for_its_imports(dead_port: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _FIRST_TASK, f"redis://:broker-password@127.0.0.1:{dead_port}/0"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "email.broker_down id=some-id why=ConnectionRefusedError" in ran.stderr
    assert "no answer in time" not in ran.stderr
    assert "broker-password" not in ran.stderr


def test_a_publisher_is_warm_before_its_first_task(
    use_broker: UseBroker, filesystem_broker: Broker
) -> None:
    use_broker(*filesystem_broker)
    tasks.warm_publisher()
    assert tasks._publisher._loaded.is_set()
    assert list(filesystem_broker.folder.iterdir()) == []


def test_a_task_that_comes_twice_sends_once(
    use_broker: UseBroker, smtp_server: servers.SmtpServer
) -> None:
    use_broker("memory://")
    row = outbox.submit(auth_message())
    tasks.dispatch_message(str(row.id))
    tasks.dispatch_message(str(row.id))
    assert len(smtp_server.mails) == 1


def test_nothing_is_published_unless_the_project_says_so(
    use_broker: UseBroker, settings: Any, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    use_broker(f"redis://127.0.0.1:{dead_port}/0")
    settings.AUTHMAIL_CELERY = False
    outbox.submit(auth_message())
    assert "broker_down" not in caplog.text


def test_celery_never_retries_or_keeps_a_result(use_broker: UseBroker) -> None:
    for task in (tasks.dispatch_message, tasks.dispatch_low_message, tasks.sweep):
        assert task.ignore_result
        assert not task.acks_late
        assert task.max_retries == 0
    assert (tasks.dispatch_message.name, tasks.dispatch_low_message.name, tasks.sweep.name) == (
        "authmail.dispatch_message",
        "authmail.dispatch_low_message",
        "authmail.sweep",
    )


def test_names_the_broker_without_connecting(use_broker: UseBroker, dead_port: int) -> None:
    use_broker(f"redis://127.0.0.1:{dead_port}/0")
    assert tasks.broker_url() == f"redis://127.0.0.1:{dead_port}/0"


def test_a_low_message_s_task_sends_what_is_urgent_first(
    use_broker: UseBroker, smtp_server: servers.SmtpServer
) -> None:
    use_broker("memory://")
    low = outbox.submit(auth_message(to=("receipt@example.com",), priority=Priority.LOW))
    outbox.submit(auth_message(to=("code@example.com",)))
    tasks.dispatch_low_message(str(low.id))
    assert [m.recipients for m in smtp_server.mails] == [
        ["code@example.com"],
        ["receipt@example.com"],
    ]


@pytest.mark.parametrize(("priority", "queue"), [("HIGH", "mine-high"), ("LOW", "mine-low")])
def test_each_priority_goes_to_the_queue_that_the_project_routes_it_to(
    priority: str, queue: str, use_broker: UseBroker, filesystem_broker: Broker
) -> None:
    app = use_broker(*filesystem_broker)
    app.conf.task_routes = task_routes(high="mine-high", low="mine-low")
    outbox.submit(auth_message(priority=Priority[priority]))
    tasks._publisher.close()  # on a busy machine nobody had waited for it
    [file] = filesystem_broker.folder.iterdir()
    assert json.loads(file.read_text())["properties"]["delivery_info"]["routing_key"] == queue


def test_a_worker_opens_its_connection_before_the_first_mail(
    use_broker: UseBroker, smtp_server: servers.SmtpServer, filesystem_broker: Broker
) -> None:
    app = use_broker(*filesystem_broker)
    with worker(app, smtp_server):
        deadline = time.monotonic() + 30
        while not smtp_server.connections:
            assert time.monotonic() < deadline, "the worker opened no connection"
            time.sleep(0.02)
    assert smtp_server.mails == []


def test_a_worker_that_cannot_connect_says_so_and_goes_on(
    use_mailer: UseMailer, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    dispatch.warm()
    assert (
        f"email.not_warmed carrier=default host=127.0.0.1:{dead_port} step=connecting "
        "reason=connection_refused error=ConnectionFailed"
    ) in caplog.text


def test_a_worker_names_the_step_at_which_the_server_fell_silent(
    use_mailer: UseMailer, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        use_mailer({"host": "127.0.0.1", "port": port, "timeout": 1})
        dispatch.warm()
    assert (
        f"email.not_warmed carrier=default host=127.0.0.1:{port} step=greeting "
        "reason=smtp_timeout error=TimedOut"
    ) in caplog.text


def test_a_worker_whose_mailer_cannot_be_used_says_what_to_mend(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_DELIVER_USING = "gone"
    dispatch.warm()
    assert "email.not_warmed carrier=gone error=MailerUnusable" in caplog.text
    assert ": There is no mailer 'gone'" in caplog.text
