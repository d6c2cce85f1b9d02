"""What a client shares: connections among threads, and nothing with another process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from django_authmail.client import AsyncAuthmailClient, AuthmailClient
from tests.client import scripted
from tests.client.conftest import KEY
from tests.client.scripted import Service

OTP = ("hong@example.com", "홍길동", "482901")

FORK = """
import os, sys
from django_authmail.client import AuthmailClient
client = AuthmailClient(sys.argv[1], "key")
closed = AuthmailClient(sys.argv[1], "key")
closed.close()
otp = ("hong@example.com", "Kim", "482901")
assert client.send_otp(*otp).sent
child = os.fork()
assert client.send_otp(*otp).sent
assert client.send_otp(*otp).sent
if child:
    _, status = os.waitpid(child, 0)
    assert status == 0
else:
    try:
        closed.send_otp(*otp)
    except RuntimeError:
        os._exit(0)
    os._exit(1)
"""


def test_a_connection_is_kept(service: Service) -> None:
    service.script(scripted.keep_answering)
    with AuthmailClient(service.url, KEY) as client:
        for _ in range(3):
            client.send_otp(*OTP)
    assert (len(service.requests), service.connections) == (3, 1)


def test_threads_share_a_client(service: Service) -> None:
    service.script(scripted.keep_answering)
    start = threading.Barrier(8)
    sent = []

    def send(client: AuthmailClient) -> None:
        start.wait(10)
        sent.append(client.send_otp(*OTP).sent)

    with AuthmailClient(service.url, KEY) as client:
        threads = [threading.Thread(target=send, args=(client,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sent == [True] * 8
    assert len({request.headers["idempotency-key"] for request in service.requests}) == 8


def test_a_task_that_is_cancelled_ends_at_once(service: Service) -> None:
    service.script(scripted.stay_silent)

    async def run() -> None:
        async with AsyncAuthmailClient(service.url, KEY) as client:
            # TimeoutError, and no ServiceTimeout: it is the caller who has waited long enough.
            await asyncio.wait_for(client.send_otp(*OTP), 0.2)

    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert time.monotonic() - begun < 8
    assert service.connections == 1


def test_a_child_has_connections_of_its_own(service: Service) -> None:
    service.script(scripted.keep_answering)
    done = subprocess.run(
        [sys.executable, "-c", FORK, service.url], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    # One that the parent keeps for its three calls, and one for the child's two.
    assert (len(service.requests), service.connections) == (5, 2)
