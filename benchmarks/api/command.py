"""`benchmarks/run.py api`: requests to the HTTP API, and to what a project would write instead."""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import output
from benchmarks.api.bounds import RTT, verdicts
from benchmarks.api.report import TITLES, Run, as_json, as_svg, as_text
from benchmarks.places import databases, scratch
from benchmarks.smtp.processes import USER, Surroundings, surroundings
from benchmarks.smtp.server import STARTTLS
from tests.chaos.processes import wait_until
from tests.chaos.servers import Memcached, Redis
from tests.smtp_server import free_port

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2
#: Clients of the part that counts requests in a second.
CLIENTS = 8
#: Seconds between two single requests: nobody's connection to anything is busy or cold.
GAP = 0.02
_ASYNC = {"Prefer": "respond-async"}
#: What requests in a second are counted of.
_RATED = {
    "background": "/send/otp",
    "statements": "/statements",
    "row": "/row",
    "empty": "/empty",
}


_CACHES: dict[str, dict[str, object]] = {
    "memcached": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "OPTIONS": {"connect_timeout": 1, "timeout": 1, "dead_timeout": 5},
    },
    "redis": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is measured."""

    requests: int
    rounds: int
    seconds: int


FULL = Plan(requests=150, rounds=3, seconds=5)
QUICK = Plan(requests=40, rounds=1, seconds=3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen for a run."""
    output.add_arguments(parser, quick="fewer requests: a first look")
    parser.add_argument(
        "--cache",
        choices=("memcached", "redis"),
        default="memcached",
        help="what the requests of a key are counted in",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print, write; return the exit status."""
    if shutil.which("wrk") is None:
        output.say("wrk counts the requests in a second, and is not installed (Debian: wrk)")
        return 1
    with scratch() as folder:
        found = _measured(QUICK if options.quick else FULL, options.cache, folder)
    # A quick run must not replace the figures that the docs show.
    name = "api-quick" if options.quick else "api"
    output.publish(options.results, name, as_text(found), as_json(found), as_svg(found))
    if found.taken != found.sent:
        output.say("the mail server did not take what was sent: these figures are void")
        return 1
    return int(options.check and not all(one.is_met for one in found.verdicts))


def _measured(plan: Plan, cache_name: str, folder: Path) -> Run:
    started = time.monotonic()
    with ExitStack() as stack:
        output.say("starting a PostgreSQL, a cache, a mail server 20 ms away, and gunicorn ...")
        place = stack.enter_context(surroundings(folder, [RTT], secrets.token_hex(12)))
        database = stack.enter_context(databases(folder))
        cache = stack.enter_context(_cache(cache_name, folder))
        environment = os.environ | {
            "SSL_CERT_FILE": str(place.ca_file),
            "BENCHMARK_SETTINGS": json.dumps(
                {
                    "DATABASES": {"default": database("service")},
                    "CACHES": {"default": cache},
                    **_account(place),
                }
            ),
        }
        key = _key(environment)
        port = stack.enter_context(_gunicorn(environment, folder))
        numbers = itertools.count(1)
        began = 0.0
        # Kept open between requests, as this package's client keeps its own.
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        stack.callback(connection.close)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

        def ask(address: str, **more: str) -> float:
            """Return how many ms one request took, until its answer."""
            to = f"user{next(numbers)}@example.net"
            body = json.dumps({"to": to, "user_name": "홍길동", "code": "482901"})
            nonlocal began
            began = time.monotonic()
            connection.request("POST", address, body.encode(), headers | more)
            answer = connection.getresponse()
            answer.read()
            took = (time.monotonic() - began) * 1000
            if answer.status not in (200, 202):
                raise RuntimeError(f"{address}: {answer.status}")
            time.sleep(GAP)
            return took

        waits: dict[str, list[float]] = {name: [] for name in TITLES}

        def send(name: str, address: str) -> None:
            """Add how long one request took until its answer, and until it had the server's 250."""
            waits[name].append(ask(address))
            # Taken at the server's end; the 250 then has its way back.
            waits[f"{name}_250"].append((place.last_taken() - began) * 1000 + RTT / 2)

        # Each worker has made its connections by then.
        for _ in range(6 * WORKERS):
            ask("/send/otp")
            connection.close()  # the next one may come to another worker
        output.say(f"one request at a time: about {plan.requests * 0.55:.0f} s ...")
        for _ in range(plan.requests):
            # In turn: what disturbs the machine disturbs all of them.
            send("now", "/send/otp")
            waits["background"].append(ask("/send/otp", **_ASYNC))
            send("naive", "/naive")
            waits["statements"].append(ask("/statements"))
            waits["row"].append(ask("/row"))
            waits["empty"].append(ask("/empty"))
        sent = 6 * WORKERS + 2 * plan.requests
        taken = sum(one["data"] + one["bdat"] for one in place.counts().values())
        output.say(f"{CLIENTS} clients: about {len(_RATED) * plan.rounds * plan.seconds} s ...")
        rates: dict[str, list[float]] = {name: [] for name in _RATED}
        for _ in range(plan.rounds):
            for name, address in _RATED.items():
                rates[name].append(_rate(port, address, key, plan.seconds, folder))
        return Run(
            waits=waits,
            rates=rates,
            verdicts=verdicts(waits, rates),
            postgresql=database.version,
            cache=cache_name,
            sent=sent,
            taken=taken,
            seconds=time.monotonic() - started,
            quick=plan is QUICK,
        )


def _account(place: Surroundings) -> dict[str, object]:
    return {
        "EMAIL_HOST": "127.0.0.1",
        "EMAIL_PORT": place.ports["chunking", STARTTLS, RTT],
        "EMAIL_USE_TLS": True,
        "EMAIL_HOST_USER": USER,
        "EMAIL_HOST_PASSWORD": place.password,
    }


@contextmanager
def _cache(name: str, folder: Path) -> Iterator[dict[str, object]]:
    """Start what both processes count in, and give what CACHES says of it in docs/keys.md."""
    server = Memcached(folder) if name == "memcached" else Redis(folder)
    server.start()
    try:
        wait_until(server.answers, name)
        yield {"LOCATION": server.url, **_CACHES[name]}
    finally:
        server.end()


def _key(environment: dict[str, str]) -> str:
    """Make the tables and a key."""
    command = [sys.executable, "-m", "benchmarks.api.project"]
    made = subprocess.run(  # noqa: S603 - this Python, a module of this package
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return made.stdout.split()[-1]


@contextmanager
def _gunicorn(environment: dict[str, str], folder: Path) -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "benchmarks.api.project:application"]
    command += ["--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--log-level", "warning"]
    # Not the file in ROOT: that is the example project's, and wants its environment.
    command += ["--config", os.devnull]
    with (folder / "gunicorn.log").open("w") as log:
        server = subprocess.Popen(  # noqa: S603 - as above
            command, cwd=ROOT, env=environment, stdout=log, stderr=log, process_group=0
        )
    try:
        wait_until(lambda: server.poll() is not None or _answers(port), "gunicorn")
        if server.poll() is not None:
            raise RuntimeError((folder / "gunicorn.log").read_text())
        yield port
    finally:
        server.terminate()
        server.wait(30)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


# Each thread of wrk has a number, and so addresses of its own: no recipient's limit is reached.
_SCRIPT = """
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args) count = 0 end
function request()
  count = count + 1
  local to = string.format("r%s.%d.%d@example.net", "{mark}", id, count)
  return wrk.format("POST", nil, nil, '{{"to": "' .. to .. '", "user_name": "a", "code": "4829"}}')
end
wrk.headers["Authorization"] = "Bearer {key}"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Prefer"] = "respond-async"
"""


def _rate(port: int, address: str, key: str, seconds: int, folder: Path) -> float:
    """Return the requests in a second that several clients get answered."""
    script = folder / "wrk.lua"
    script.write_text(_SCRIPT.format(key=key, mark=secrets.token_hex(4)))
    command = ["wrk", "-t2", f"-c{CLIENTS}", f"-d{seconds}s", "-s", str(script)]
    done = subprocess.run(  # noqa: S603 - wrk, and arguments from here
        [*command, f"http://127.0.0.1:{port}{address}"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None:
        raise RuntimeError(done.stdout)
    return float(found[1])
