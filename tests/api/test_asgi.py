"""What of a body gets through to Django under ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from django_authmail.api.asgi import limit_bodies
from django_authmail.api.body import MAX_BODY_BYTES, MAX_DRAINED_BYTES

MB = 1024 * 1024


def through(
    sizes: list[int],
    *,
    path: str = "/mail/send",
    root_path: str = "",
    length: str = "",
    below: str = "/mail/",
) -> tuple[int, int]:
    """Return how many bytes the application is given of a body in chunks, and how many are read."""
    chunks: Iterator[dict[str, Any]] = iter(
        [
            {
                "type": "http.request",
                "body": b" " * size,
                "more_body": position < len(sizes) - 1,
            }
            for position, size in enumerate(sizes)
        ]
    )
    read, given = 0, 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        message = next(chunks)
        read += len(message["body"])
        return message

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal given
        more = True
        while more:
            message = await receive()
            given += len(message["body"])
            more = message["more_body"]

    async def send(message: object) -> None:
        raise AssertionError("nothing is answered here")

    headers = [(b"content-length", length.encode())] if length else []
    scope = {"type": "http", "path": path, "root_path": root_path, "headers": headers}

    async def call() -> None:
        await limit_bodies(application, below=below)(scope, receive, send)

    asyncio.run(call())
    return given, read


@pytest.mark.parametrize(
    ("sizes", "given", "read"),
    [
        pytest.param([0], 0, 0, id="none"),
        pytest.param([MB, 9 * MB], 10 * MB, 10 * MB, id="as much as is allowed"),
        pytest.param([MB] * 20, 11 * MB, 20 * MB, id="too much, thrown away"),
        pytest.param([MB] * 100, 11 * MB, 65 * MB, id="far too much, left where it is"),
    ],
)
def test_gives_no_more_than_is_needed_to_refuse_it(sizes: list[int], given: int, read: int) -> None:
    assert through(sizes) == (given, read)
    assert given <= MAX_BODY_BYTES + MB


def test_a_length_that_is_hopeless_is_not_read_at_all() -> None:
    assert through([MB] * 3, length=str(MAX_DRAINED_BYTES + 1)) == (0, 0)


def test_other_paths_of_the_project_are_left_alone() -> None:
    assert through([MB] * 20, path="/uploads") == (20 * MB, 20 * MB)


@pytest.mark.parametrize("below", ["/mail/", "/app/mail/"])
def test_a_project_that_is_mounted_below_a_path_itself_is_limited_too(below: str) -> None:
    sent = through([MB] * 20, path="/app/mail/send", root_path="/app", below=below)
    assert sent == (11 * MB, 20 * MB)


def test_a_mount_that_no_path_begins_with_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a slash: '/mail/'"):
        through([MB], below="mail/")
