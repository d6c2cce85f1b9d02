"""GET /health/ready: which parts work, in bounded time, and who is told why one does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from django.core.cache.backends.locmem import LocMemCache
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from pytest_django.fixtures import Settings

from django_authmail.api import readiness
from tests.api.conftest import Api, MakeKey, problem
from tests.workers import Broker, UseBroker

pytestmark = pytest.mark.django_db(transaction=True)

#: Far above what an answer takes on a busy machine, and far below for ever.
PATIENCE = 20.0
SETTING_KEY = "a-shared-key-of-at-least-32-characters"


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    readiness.forget()
    yield
    readiness.forget()


def _elsewhere(port: int) -> Iterator[None]:
    """Let threads that connect from now on look for the database where it is not."""
    real = connections.settings["default"]
    connections.settings["default"] = real | {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        # So that a thread which waits for it ends when the test does, and not later.
        "OPTIONS": {"connect_timeout": 3},
    }
    yield
    connections.settings["default"] = real
    for thread in threading.enumerate():
        if thread.name.startswith("authmail-ready-"):
            thread.join(10)


@pytest.fixture
def no_database(dead_port: int) -> Iterator[None]:
    """A database that refuses connections."""
    yield from _elsewhere(dead_port)


@pytest.fixture
def silent_database() -> Iterator[None]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield from _elsewhere(listener.getsockname()[1])


class Forgetful(LocMemCache):
    """A cache whose client swallows the errors of its server."""

    def __init__(self, location: str, parameters: dict[str, object]) -> None:
        super().__init__("forgetful", parameters)

    def get(self, *args: object, **options: object) -> None:
        return None


def names(checks: list[dict[str, object]]) -> list[object]:
    return [check["check"] for check in checks]


def test_a_process_that_can_work_says_so_and_no_more() -> None:
    response = Client().get("/health/ready", headers={"Accept": "text/html"})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_a_caller_with_a_key_gets_each_check(make_key: MakeKey) -> None:
    body = Api(key=make_key(scopes=("send:otp",))[1]).get("/health/ready").json()
    assert names(body["checks"]) == ["database", "migrations", "cache"]
    assert {check["status"] for check in body["checks"]} == {"ok"}
    assert all(check["duration_ms"] >= 0 for check in body["checks"])


def test_a_key_that_is_none_is_refused() -> None:
    problem(Api(key="am_live_x").get("/health/ready"), 401, "invalid_api_key")


def test_a_key_of_another_network_is_refused(make_key: MakeKey) -> None:
    key = make_key(networks=("192.0.2.0/24",))[1]
    problem(Api(key=key).get("/health/ready"), 403, "ip_not_allowed")


@pytest.mark.usefixtures("no_database")
def test_a_database_that_is_down_is_named(settings: Settings) -> None:
    settings.AUTHMAIL_API_KEY = SETTING_KEY
    response = Client().get("/health/ready")
    body = problem(response, 503, "not_ready")
    assert (response["Retry-After"], body["retry_after"]) == ("1", 1)
    failing = {"status": "failing"}
    assert body["checks"] == [{"check": "database"} | failing, {"check": "migrations"} | failing]
    assert body["retryable"] is True
    known = problem(Api(key=SETTING_KEY).get("/health/ready"), 503, "not_ready")
    assert names(known["checks"]) == ["database", "migrations", "cache"]
    assert known["checks"][0]["detail"] == "OperationalError"


@pytest.mark.usefixtures("no_database")
def test_a_database_that_is_down_is_not_asked_for_a_key(make_key: MakeKey) -> None:
    body = problem(Api(key="am_live_x").get("/health/ready"), 503, "not_ready")
    assert "detail" not in body["checks"][0]


@pytest.mark.usefixtures("silent_database")
def test_a_database_that_hangs_does_not_hang_the_answer_or_collect_threads() -> None:
    client, begun = Client(), time.monotonic()
    for _ in range(3):
        body = problem(client.get("/health/ready"), 503, "not_ready")
        assert names(body["checks"]) == ["database", "migrations"]
    assert time.monotonic() - begun > readiness.WAIT_SECONDS
    assert time.monotonic() - begun < PATIENCE
    waiting = [t for t in threading.enumerate() if t.name == "authmail-ready-database"]
    assert len(waiting) <= 1


def test_a_migration_that_was_not_run_is_named(api: Api) -> None:
    recorder = MigrationRecorder(connections["default"])
    recorder.record_unapplied("authmail", "0001_initial")
    try:
        body = problem(Client().get("/health/ready"), 503, "not_ready")
    finally:
        recorder.record_applied("authmail", "0001_initial")
    assert body["checks"] == [{"check": "migrations", "status": "failing"}]


@pytest.mark.parametrize(
    "cache",
    [
        pytest.param(
            {"BACKEND": "django.core.cache.backends.redis.RedisCache"}, id="Redis that is down"
        ),
        pytest.param({"BACKEND": f"{__name__}.Forgetful"}, id="a client that hides errors"),
    ],
)
def test_a_cache_that_does_not_work_is_named(
    cache: dict[str, str], settings: Settings, dead_port: int
) -> None:
    settings.CACHES = {"default": cache | {"LOCATION": f"redis://127.0.0.1:{dead_port}/0"}}
    body = problem(Client().get("/health/ready"), 503, "not_ready")
    assert names(body["checks"]) == ["cache"]


def test_a_project_without_a_cache_is_ready(settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert Client().get("/health/ready").status_code == 200


@pytest.mark.parametrize("broker", ["filesystem", "redis", "rabbitmq"])
def test_a_broker_that_answers_is_ready(
    broker: str, use_broker: UseBroker, make_key: MakeKey, request: pytest.FixtureRequest
) -> None:
    if broker == "filesystem":
        use_broker(*request.getfixturevalue("filesystem_broker"))
    else:
        use_broker(request.getfixturevalue(f"{broker}_url"))
    caller, deadline = Api(key=make_key()[1]), time.monotonic() + PATIENCE
    # A client library that is being imported for the first time may take longer than a look.
    while (response := caller.get("/health/ready")).status_code != 200:
        assert time.monotonic() < deadline, response.content
    assert names(response.json()["checks"])[-1] == "broker"


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
@pytest.mark.parametrize("state", ["dead", "silent"])
def test_a_broker_that_does_not_answer_is_named_in_time(
    scheme: str, state: str, use_broker: UseBroker, dead_port: int, settings: Settings
) -> None:
    settings.AUTHMAIL_API_KEY = SETTING_KEY
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = dead_port if state == "dead" else listener.getsockname()[1]
        use_broker(f"{scheme}://guest:canary-password@127.0.0.1:{port}//")
        begun = time.monotonic()
        response = Api(key=SETTING_KEY).get("/health/ready")
        assert time.monotonic() - begun < PATIENCE
        body = problem(response, 503, "not_ready")
    assert [c["check"] for c in body["checks"] if c["status"] == "failing"] == ["broker"]
    assert body["checks"][-1]["detail"]
    assert "canary" not in response.content.decode()


def test_many_askers_are_one_look(
    use_broker: UseBroker, filesystem_broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    connect = connections["default"].__class__.get_new_connection

    def counted(self: object, parameters: object) -> object:
        opened.append(threading.current_thread().name)
        return connect(self, parameters)  # type: ignore[arg-type] # passed on as it came

    monkeypatch.setattr(connections["default"].__class__, "get_new_connection", counted)
    client = Client()
    assert [client.get("/health/ready").status_code for _ in range(20)] == [200] * 20
    assert opened.count("authmail-ready-database") == 1


def test_a_look_that_hangs_for_long_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "STUCK_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "MOST_STUCK", 2)
    well, begun = threading.Event(), threading.Semaphore(0)

    def look() -> str:
        begun.release()
        well.wait(PATIENCE)
        return ""

    probe = readiness._Probe("part", look)
    looks = [probe.ask() for _ in range(5)]
    assert len({id(inquiry) for inquiry in looks}) == 2
    assert all(begun.acquire(timeout=PATIENCE) for _ in range(2))
    assert probe.finding(looks[-1], until=0).problem.startswith("no answer")
    well.set()
    assert probe.finding(looks[-1], until=time.monotonic() + PATIENCE).ok
    assert looks[0].done.wait(PATIENCE)
    assert probe.ask() is looks[-1]


_FORK = """
import os, sys, time
import django
django.setup()
from django_authmail.api import readiness
parent, probe = os.getpid(), readiness._probes[0]
probe._look = lambda: time.sleep(600) if os.getpid() == parent else ""
probe.ask()
child = os.fork()
if child == 0:
    found = probe.finding(probe.ask(), until=time.monotonic() + 20)
    os._exit(0 if found.ok else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_a_child_does_not_wait_for_a_look_of_its_parent() -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", _FORK], env=environment, check=True, timeout=60)
