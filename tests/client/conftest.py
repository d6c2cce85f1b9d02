"""A client, once with threads and once with asyncio, and a service that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from django_authmail.client import AsyncAuthmailClient, AuthmailClient
from tests.client import scripted

#: Nothing that the client shows may have it.
KEY = "am_live_CANARY5930"
CODE = "CANARY-7391"


class AsyncInTurn:
    """An AsyncAuthmailClient whose methods are awaited for the caller, so that one test does both.

    Each call has an event loop, and therefore a client, of its own.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._made_with = (args, options)

    def __getattr__(self, name: str) -> Any:
        args, options = self._made_with

        def call(*values: Any, **named: Any) -> Any:
            async def run() -> Any:
                async with AsyncAuthmailClient(*args, **options) as client:
                    return await getattr(client, name)(*values, **named)

            return asyncio.run(run())

        return call

    def close(self) -> None:
        """There is nothing to close: each call did."""


class MakeClient:
    """Makes clients of the kind that the test runs with, and closes them."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self._made: list[Any] = []

    def __call__(self, url: str, key: str = KEY, timeout: float = 10.0, **options: Any) -> Any:
        client = self.kind(url, key, timeout, **options)
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()


@pytest.fixture(params=[AuthmailClient, AsyncInTurn], ids=["sync", "async"])
def make_client(request: pytest.FixtureRequest) -> Iterator[MakeClient]:
    make = MakeClient(request.param)
    yield make
    make.close()


@pytest.fixture
def service() -> Iterator[scripted.Service]:
    with scripted.running() as service:
        yield service


@pytest.fixture
def client(make_client: MakeClient, service: scripted.Service) -> Any:
    """A client of the scripted service."""
    return make_client(service.url)
