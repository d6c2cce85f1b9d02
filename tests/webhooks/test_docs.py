"""The receivers of docs/webhooks.md take what is genuine and fresh, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from django_authmail.webhooks import events, posting, signing
from tests.services import require_program
from tests.settings import BASE_DIR
from tests.smtp_server import free_port

PAGE = (BASE_DIR / "docs" / "webhooks.md").read_text()
BODY = '{"type":"email.accepted","data":{"이름":"값"}}'.encode()
OLD, NEW, OWN = signing.new_secret(), signing.new_secret(), "a-caller's-own-비밀"
SECRETS = f"{NEW} {OLD} {OWN}"

Send = Callable[[dict[str, str], bytes], int | None]


def block(heading: str, language: str) -> str:
    """Return the first example below a heading."""
    section = PAGE.split(f"### {heading}\n", 1)[1].split("\n##", 1)[0]
    found = re.search(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def signed(secret: str, *, age: float = 0, body: bytes = BODY) -> dict[str, str]:
    timestamp = int(time.time() - age)
    return signing.headers(
        id="msg_1", timestamp=timestamp, body=body, secrets=[secret], s0=True, v1=True
    )


def judge(send: Send) -> None:
    """Send what must be taken and what must not."""
    for secret in (NEW, OLD, OWN):
        assert send(signed(secret), BODY) == 204
    both = signing.headers(
        id="msg_1",
        timestamp=int(time.time()),
        body=BODY,
        secrets=[signing.new_secret(), OLD],
        s0=False,
        v1=False,
    )
    assert send(both, BODY) == 204
    assert send(signed(signing.new_secret()), BODY) == 401
    assert send(signed(NEW), BODY + b" ") == 401
    assert send(signed(NEW, age=400), BODY) == 401
    assert send(signed(NEW, age=-400), BODY) == 401
    assert send({}, BODY) == 401
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        for value in ("", "0", "v1,", "9" * 30, "NaN"):
            assert send(signed(NEW) | {name: value}, BODY) == 401, (name, value)


@contextmanager
def running(command: list[str], folder: Path, port: int) -> Iterator[Send]:
    """Run a receiver as a process; its output names what it took."""
    environment = {**os.environ, "WEBHOOK_SECRET": SECRETS, "PORT": str(port)}
    output = folder / "output"
    with (
        output.open("wb") as file,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT
        ) as process,
    ):

        def send(headers: dict[str, str], body: bytes) -> int | None:
            deadline = time.monotonic() + 60
            while True:
                posted = posting.post(f"http://127.0.0.1:{port}/hook", body, headers, seconds=10)
                if posted.reason != "connection_refused":
                    return posted.status
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

        try:
            yield send
        finally:
            process.terminate()
    assert "msg_1 email.accepted" in output.read_text()


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True


def test_django(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRETS)
    names: dict[str, Any] = {}
    exec(compile(block("Django", "python"), "example", "exec"), names)  # the project's own docs

    def send(headers: dict[str, str], body: bytes) -> int:
        request = RequestFactory(enforce_csrf_checks=True).post(
            "/hook", body, content_type="application/json", headers=headers
        )
        return int(names["receive_webhook"](request).status_code)

    judge(send)


def test_fastapi(tmp_path: Path) -> None:
    (tmp_path / "receiver.py").write_text(block("FastAPI, and any Python", "python"))
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "receiver:app", "--port", str(port)]
    with running(command, tmp_path, port) as send:
        judge(send)


def test_node(tmp_path: Path) -> None:
    (tmp_path / "receiver.mjs").write_text(block("Node", "js"))
    command = [require_program("node", variable="NODE"), "receiver.mjs"]
    port = free_port()
    with running(command, tmp_path, port) as send:
        judge(send)
        with socket.create_connection(("127.0.0.1", port)) as caller:
            # Whoever hangs up in the middle does not end it.
            caller.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
            linger = struct.pack("ii", 1, 0)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert send(signed(NEW), BODY) == 204
        assert send(signed(NEW), b" " * 1_000_001) in (413, None)
        assert send(signed(NEW), BODY) == 204


def test_go(tmp_path: Path) -> None:
    # Hundreds of megabytes for one example: it runs where it is, and nobody promises it.
    go = shutil.which("go")
    if go is None:
        pytest.skip("go is not installed")
    (tmp_path / "receiver.go").write_text(block("Go", "go"))
    environment = {
        **os.environ,
        "GOCACHE": str(tmp_path / "cache"),
        "GOPATH": str(tmp_path / "path"),
        "GOFLAGS": "-mod=mod",
        "GOTOOLCHAIN": "local",
    }
    build = [go, "build", "-o", "receiver", "receiver.go"]
    subprocess.run(build, cwd=tmp_path, env=environment, check=True)
    with running([str(tmp_path / "receiver")], tmp_path, free_port()) as send:
        judge(send)


def test_the_types_are_those_that_there_are() -> None:
    listed = re.findall(r"^\| `((?:email|webhook)\.\w+)` \|", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted([*events.MESSAGE_TYPES, events.TEST])


def test_the_reasons_are_those_that_there_are() -> None:
    documented = posting.Posted.__doc__ or ""
    section = PAGE.split("| reason of an attempt |", 1)[1].split("\n\n", 1)[0]
    first_cells = [row.split("|")[1] for row in section.splitlines()[1:]]
    listed = re.findall(r"`(\w+)`", "".join(first_cells))
    assert len(listed) == 11
    assert sorted(listed) == sorted(set(re.findall(r"`(\w+)`", documented)) - {"reason"})
