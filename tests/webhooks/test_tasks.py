"""Webhooks on their way by Celery, and without it."""

from __future__ import annotations

import signal
import threading
from io import StringIO

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from django_authmail import outbox, tasks
from django_authmail.models import WebhookDelivery
from django_authmail.schedule import task_routes
from django_authmail.webhooks import courier, endpoints
from tests import smtp_server as servers
from tests.outbox.factories import auth_message
from tests.test_dispatch import worker_process
from tests.webhooks.receiver import Receiver
from tests.workers import Broker, UseBroker, worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def arrived(receiver: Receiver) -> threading.Event:
    """Set as soon as something came in."""
    event = threading.Event()
    receiver.before = event.set
    return event


def once() -> list[str]:
    out = StringIO()
    call_command("authmail_dispatch", "--once", stdout=out)
    return out.getvalue().splitlines()


def test_a_worker_of_celery_sends_them(
    use_broker: UseBroker,
    filesystem_broker: Broker,
    smtp_server: servers.SmtpServer,
    receiver: Receiver,
    arrived: threading.Event,
) -> None:
    app = use_broker(*filesystem_broker)
    endpoints.create(receiver.url)
    with worker(app, smtp_server):
        outbox.submit(auth_message())
        assert arrived.wait(60)
    assert [each.json["type"] for each in receiver.received] == ["email.accepted"]


def test_the_dispatcher_sends_them_beside_the_mails(
    smtp_server: servers.SmtpServer, receiver: Receiver, arrived: threading.Event
) -> None:
    endpoints.create(receiver.url)
    outbox.submit(auth_message())
    with worker_process(smtp_server) as process:
        assert arrived.wait(60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    # It finished what it had in hand.
    assert WebhookDelivery.objects.get().state == "delivered"


def test_a_slow_receiver_keeps_no_mail(
    smtp_server: servers.SmtpServer, receiver: Receiver, arrived: threading.Event
) -> None:
    released = threading.Event()

    def hang() -> None:
        arrived.set()
        released.wait(60)

    receiver.before = hang
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    with worker_process(smtp_server) as process:
        try:
            assert arrived.wait(60)
            outbox.submit(auth_message())
            assert smtp_server.wait_for(1)
            assert WebhookDelivery.objects.get(type="webhook.test").state == "sending"
        finally:
            released.set()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_once_sends_them_and_says_what_became_of_them(
    smtp_server: servers.SmtpServer, receiver: Receiver
) -> None:
    endpoints.create(receiver.url)
    outbox.submit(auth_message())
    assert once() == ["1 mail handled: 1 accepted.", "1 webhook: 1 delivered."]
    receiver.statuses = [500]
    outbox.submit(auth_message())
    outbox.submit(auth_message())
    assert once()[1:] == ["2 webhooks: 1 delivered, 1 to be tried again."]
    assert once() == ["Nothing was due."]


def test_a_lost_task_is_found_by_the_sweep(
    use_broker: UseBroker, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_broker("memory://")  # no worker ever runs
    woken: list[bool] = []
    monkeypatch.setattr(courier, "wake", lambda: woken.append(True))
    tasks.sweep_webhooks()
    assert woken == []
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    tasks.sweep_webhooks()
    assert woken == [True]


def test_a_project_that_runs_its_tasks_itself_sends_them_at_once(
    use_broker: UseBroker, settings: Settings, receiver: Receiver
) -> None:
    app = use_broker("memory://")
    app.conf.task_always_eager = True
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    assert len(receiver.received) == 1


def test_their_tasks_have_a_queue_of_their_own() -> None:
    routes = task_routes(webhooks="mine")
    for task in (tasks.deliver_webhook, tasks.sweep_webhooks):
        assert routes[task.name] == {"queue": "mine"}
        assert (task.ignore_result, task.acks_late, task.max_retries) == (True, False, 0)
