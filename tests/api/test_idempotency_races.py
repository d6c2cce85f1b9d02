"""One Idempotency-Key is one mail: over processes that race, and over processes that are killed."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from pytest_django.fixtures import Settings

from django_authmail import dispatch
from django_authmail.clock import db_now
from django_authmail.models import Counter, IdempotencyRecord, Message, State
from example_project.certificates import ServerCertificate
from tests.api.conftest import OTP, TO, Api, MakeKey, problem
from tests.settings import BASE_DIR
from tests.smtp_server import SmtpServer, free_port
from tests.workers import worker_environment

pytestmark = pytest.mark.django_db(transaction=True)

PROCESSES = 4
REQUESTS = 50


class Answer(NamedTuple):
    status: int
    replayed: bool
    body: bytes


def call(port: int, method: str, path: str, body: str = "", **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body.encode(), given)
        response = connection.getresponse()
        return Answer(response.status, "Idempotent-Replayed" in response.headers, response.read())
    finally:
        connection.close()


def at_once(port: int, key: str, to: str, **headers: str) -> list[Answer]:
    """Send the same request from as many threads as there are requests."""
    barrier = threading.Barrier(REQUESTS)
    body = json.dumps({**OTP, "to": to})

    def one(number: int) -> Answer:
        barrier.wait(30)
        return call(
            port,
            "POST",
            "/send/otp",
            body,
            Authorization=f"Bearer {key}",
            Content_Type="application/json",
            **headers,
        )

    with ThreadPoolExecutor(REQUESTS) as pool:
        return list(pool.map(one, range(REQUESTS)))


@contextmanager
def server(smtp_server: SmtpServer, folder: Path) -> Iterator[tuple[int, Path]]:
    """Run gunicorn with several processes; yield its port, and a log of who answered."""
    port, log, config = free_port(), folder / "access.log", folder / "gunicorn.conf.py"
    config.write_text(
        f"bind = '127.0.0.1:{port}'\n"
        f"workers = {PROCESSES}\n"
        "worker_class = 'gthread'\n"
        # No process can take them all.
        f"threads = worker_connections = {REQUESTS // PROCESSES + 2}\n"
        "preload_app = True\n"
        f"accesslog, access_log_format = {str(log)!r}, '%(p)s'\n"
        "control_socket_disable = True\n"
    )
    application = "django.core.wsgi:get_wsgi_application()"
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", str(config), application],
        cwd=BASE_DIR,
        env=worker_environment(smtp_server) | {"DJANGO_SETTINGS_MODULE": "tests.api.race_settings"},
        stderr=subprocess.PIPE,
    )
    try:
        wait_until_it_answers(port, process)
        yield port, log
    finally:
        process.terminate()
        process.communicate(timeout=30)


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            call(port, "GET", "/health")
            return
        except OSError:
            assert process.poll() is None, process.communicate()[1].decode()
            assert time.monotonic() < end
            time.sleep(0.05)


def test_requests_that_race_over_processes_are_one_mail_with_one_answer(
    make_key: MakeKey, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    key = make_key()[1]
    with server(smtp_server, tmp_path) as (port, log):
        # The recipient may be sent one mail in ten minutes: nobody else may have counted.
        now = at_once(port, key, "now@example.com", Idempotency_Key="1")
        assert sorted(answer.replayed for answer in now) == [False] + [True] * (REQUESTS - 1)
        assert {(answer.status, answer.body) for answer in now} == {(200, now[0].body)}
        [mail] = smtp_server.mails
        assert json.loads(now[0].body)["message_id"] == mail.mail["Message-ID"]

        queued = at_once(
            port, key, "later@example.com", Prefer="respond-async", Idempotency_Key="2"
        )
        assert sorted(answer.replayed for answer in queued) == [False] + [True] * (REQUESTS - 1)
        assert {(answer.status, answer.body) for answer in queued} == {(202, queued[0].body)}
        assert dispatch.dispatch_due() == 1

        smtp_server.refuse["busy@example.com"] = "451 4.3.2 come back later"
        failed = at_once(port, key, "busy@example.com", Idempotency_Key="3")
        assert {answer.status for answer in failed} == {502}
        # Some came after the failure, and were done again: under the same Message-ID.
        assert len({json.loads(answer.body)["message_id"] for answer in failed}) == 1
    assert len(smtp_server.mails) == 2
    assert IdempotencyRecord.objects.count() == 3
    assert sorted(Counter.objects.values_list("used", flat=True)) == [0, 1, 1]
    assert len(set(log.read_text().split())) == PROCESSES


class Mortal:
    """Processes that do one request each, and are killed in the middle of it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.api.mortal"],
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def post(self, api: Api, server: SmtpServer, *, dies_when: str, **headers: str) -> None:
        order = {"key": api.key, "port": server.port, "dies_when": dies_when, "headers": headers}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline().strip() == str(-signal.SIGKILL)

    def end(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def mortal(django_db_setup: None, certificate: ServerCertificate) -> Iterator[Mortal]:
    mortal = Mortal(
        worker_environment(SmtpServer(host="localhost", port=0, certificate=certificate))
    )
    yield mortal
    mortal.end()


@pytest.mark.parametrize(
    "step", ["nothing is written", "the record is written", "the message is written"]
)
@pytest.mark.parametrize("prefer", ["", "respond-async"])
def test_a_request_that_dies_before_its_commit_was_none(
    api: Api, mortal: Mortal, smtp_server: SmtpServer, step: str, prefer: str
) -> None:
    mortal.post(api, smtp_server, dies_when=step, Idempotency_Key="a", Prefer=prefer)
    assert not Message.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    answer = api.post(Idempotency_Key="a", Prefer=prefer)
    assert answer.status_code == (202 if prefer else 200)
    assert "Idempotent-Replayed" not in answer
    dispatch.dispatch_due()
    assert len(smtp_server.mails) == Message.objects.count() == 1


@pytest.mark.parametrize(
    ("step", "arrived", "sent_again"),
    [
        pytest.param("both are committed", 0, 1, id="before the hand-over"),
        # The server has it, and whoever knew is dead: the policy of a code sends it once more.
        pytest.param("the server has the mail", 1, 1, id="after the hand-over"),
    ],
)
def test_a_request_that_dies_before_its_outcome_is_recorded_is_recovered_after_its_lease(
    api: Api,
    mortal: Mortal,
    smtp_server: SmtpServer,
    settings: Settings,
    step: str,
    arrived: int,
    sent_again: int,
) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.1)
    mortal.post(api, smtp_server, dies_when=step, Idempotency_Key="a")
    assert len(smtp_server.mails) == arrived
    problem(api.post(Idempotency_Key="a"), 409, "idempotency_in_progress")
    assert dispatch.dispatch_due() == 0
    Message.objects.update(due_at=db_now("default"))
    assert dispatch.dispatch_due() == 1
    replays(api, smtp_server, mails=arrived + sent_again)


@pytest.mark.parametrize("step", ["the outcome is recorded", "the answer is stored"])
def test_a_request_that_dies_after_its_outcome_is_recorded_is_answered_at_once(
    api: Api, mortal: Mortal, smtp_server: SmtpServer, step: str
) -> None:
    mortal.post(api, smtp_server, dies_when=step, Idempotency_Key="a")
    replays(api, smtp_server, mails=1)


def test_a_request_that_dies_after_its_failure_is_taken_up_again_under_its_message_id(
    api: Api, mortal: Mortal, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse[TO] = "451 4.3.2 come back later"
    mortal.post(api, smtp_server, dies_when="the outcome is recorded", Idempotency_Key="a")
    failed = Message.objects.get()
    smtp_server.refuse.clear()
    answer = api.post(Idempotency_Key="a")
    assert answer.status_code == 200
    assert Message.objects.get(id=answer.json()["id"]).retry_of == failed
    [mail] = smtp_server.mails
    assert mail.mail["Message-ID"] == failed.message_id


def test_a_request_that_dies_after_it_queued_its_mail_is_answered_at_once(
    api: Api, mortal: Mortal, smtp_server: SmtpServer
) -> None:
    asks = {"Idempotency_Key": "a", "Prefer": "respond-async"}
    mortal.post(api, smtp_server, dies_when="the mail is queued", **asks)
    answer = api.post(**asks)
    assert (answer.status_code, answer["Idempotent-Replayed"]) == (202, "true")
    assert answer["Location"] == f"/messages/{Message.objects.get().id}"
    assert dispatch.dispatch_due() == 1
    assert len(smtp_server.mails) == 1


def replays(api: Api, smtp_server: SmtpServer, *, mails: int) -> None:
    """Expect the one message's outcome, twice the same, and one Message-ID on all that arrived."""
    answers = [api.post(Idempotency_Key="a") for _ in range(2)]
    assert [(a.status_code, a["Idempotent-Replayed"]) for a in answers] == [(200, "true")] * 2
    assert len({answer.content for answer in answers}) == 1
    row = Message.objects.get()
    assert row.state == State.ACCEPTED
    assert answers[0].json()["provider_id"] == row.provider_id
    assert [mail.mail["Message-ID"] for mail in smtp_server.mails] == [row.message_id] * mails
