"""The limits while their cache restarts, hangs and comes back: Redis and Memcached."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from django_authmail import counting
from django_authmail.api import counts
from django_authmail.api.counts import CacheDown
from tests.api.conftest import Api, MakeKey, problem
from tests.chaos.processes import wait_until
from tests.chaos.servers import Memcached, Redis, Server

pytestmark = pytest.mark.django_db(transaction=True)

LATER = {"Prefer": "respond-async"}
#: Seconds that a server may take. A busy machine must not look like a cache that is down.
TIMEOUT = 2
#: Far beyond what requests take that wait for it once.
PATIENCE = 20
MOST = 3

SERVERS: dict[str, type[Server]] = {"Redis": Redis, "Memcached": Memcached}


def cache_at(kind: str, port: int) -> dict[str, Any]:
    """Return the settings of a cache, with the timeouts that the check asks for, but longer."""
    backends = "django.core.cache.backends"
    if kind == "Redis":
        timeouts = {"socket_connect_timeout": TIMEOUT, "socket_timeout": TIMEOUT}
        backend, location = f"{backends}.redis.RedisCache", f"redis://127.0.0.1:{port}/0"
    else:
        timeouts = {"connect_timeout": TIMEOUT, "timeout": TIMEOUT}
        backend, location = f"{backends}.memcached.PyMemcacheCache", f"127.0.0.1:{port}"
    return {"default": {"BACKEND": backend, "LOCATION": location, "OPTIONS": timeouts}}


@pytest.fixture(params=SERVERS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the cache is. No minute ends during a test."""
    clock = SimpleNamespace(time=lambda: 1_800_000_000.0)
    monkeypatch.setattr("django_ratelimit.core.time", clock)
    return str(request.param)


@pytest.fixture
def server(kind: str, settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """A cache of this test's own, which is that of the settings."""
    found = SERVERS[kind](tmp_path)
    settings.CACHES = cache_at(kind, found.port)
    assert (counting.why_not_exact(), counting.missing_timeouts()) == ("", {})
    start(found)
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def silent(kind: str, settings: Settings) -> Iterator[socket.socket]:
    """A listener, which is the cache of the settings: it accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.CACHES = cache_at(kind, listener.getsockname()[1])
        yield listener


def start(server: Server) -> None:
    server.start()
    wait_until(server.answers, server.name)


def wait_until_it_counts() -> None:
    """Wait until the cache is asked with success; pymemcache rests for a second of its own."""

    def counts_failures() -> bool:
        counts.forget()
        return Api(key="x").post().status_code == 401

    wait_until(counts_failures, "the cache")


def expect_the_policy_of_a_cache_that_is_down(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Sending is open, failures are not let through, and the cache is asked only once."""
    caplog.clear()
    begun = time.monotonic()
    for _ in range(MOST + 1):
        response = api.post(**LATER)
        assert response.status_code == 202
        assert "RateLimit" not in response
        refused = problem(Api(key="x").post(), 429, "auth_throttled")
        assert refused["retry_after"] == counts.REST_SECONDS
    assert time.monotonic() - begun < PATIENCE
    [line] = [r.getMessage() for r in caplog.records if "cache" in r.getMessage()]
    assert line.startswith("limits.cache_down error=")


def test_a_restart_loses_a_window_at_most(
    server: Server, make_key: MakeKey, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = MOST
    api = Api(key=make_key()[1])
    a_window = [202] * MOST + [429] * 2
    assert [api.post(**LATER).status_code for _ in a_window] == a_window
    server.crash()
    expect_the_policy_of_a_cache_that_is_down(api, caplog)
    start(server)
    wait_until_it_counts()
    assert [api.post(**LATER).status_code for _ in a_window] == a_window


def test_one_that_is_stopped_costs_one_request_its_timeout(
    server: Server, make_key: MakeKey, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = MOST
    api = Api(key=make_key()[1])
    # What is kept open stays open.
    assert api.post(**LATER)["RateLimit"].startswith(f'"key";r={MOST - 1};')
    os.kill(server.child.group, signal.SIGSTOP)
    expect_the_policy_of_a_cache_that_is_down(api, caplog)
    os.kill(server.child.group, signal.SIGCONT)
    wait_until_it_counts()
    # It counts on from where it was. Those that were let through are not made up for.
    answers = [api.post(**LATER).status_code for _ in range(MOST)]
    assert answers == [202] * (MOST - 1) + [429]


@pytest.mark.usefixtures("silent")
def test_one_that_accepts_and_says_nothing_costs_one_request_its_timeout(
    make_key: MakeKey, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = MOST
    expect_the_policy_of_a_cache_that_is_down(Api(key=make_key()[1]), caplog)


def test_one_request_at_a_time_finds_out_whether_it_is_back(
    silent: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(counts, "time", SimpleNamespace(monotonic=lambda: now))
    parallel = 4
    barrier = threading.Barrier(parallel)

    def count() -> None:
        with pytest.raises(CacheDown):
            counts.count(RequestFactory().post("/"), "authmail.send", "shop", MOST)

    def count_at_once(_: int) -> None:
        barrier.wait(PATIENCE)
        count()

    count()
    now += counts.REST_SECONDS - 0.1
    count()
    assert connections_to(silent) == 1
    now += 0.2
    with ThreadPoolExecutor(parallel) as executor:
        list(executor.map(count_at_once, range(parallel)))
    assert connections_to(silent) == 1


def test_a_library_that_hides_its_errors_does_not_hide_them(
    dead_port: int, make_key: MakeKey, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = MOST
    settings.CACHES = cache_at("Memcached", dead_port)
    settings.CACHES["default"]["OPTIONS"]["ignore_exc"] = True
    expect_the_policy_of_a_cache_that_is_down(Api(key=make_key()[1]), caplog)


def connections_to(listener: socket.socket) -> int:
    """Return how many connections were made since the last look."""
    listener.setblocking(False)
    number = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            number += 1
    return number
