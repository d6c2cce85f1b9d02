"""The service as it is run, by gunicorn or uvicorn, and a client that writes to its socket."""

from __future__ import annotations

import functools
import json
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from example_project.metrics import VARIABLE
from example_project.names import NAMES
from tests import smtp_server as servers

ROOT = Path(__file__).parents[2]
KEY = "k" * 40
SERVERS = ("gunicorn", "uvicorn")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back over a socket."""

    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:  # whatever the body holds
        return json.loads(self.content)


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service, and what it leaves behind."""

    server: str
    port: int
    folder: Path
    log: Path = field(repr=False)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def talk(self, request: bytes) -> Answer:
        """Send these octets over a new connection, and return what is answered."""
        with self.connect() as connection:
            # A server that has answered already need not read the rest.
            with suppress(ConnectionError):
                connection.sendall(request)
            return read_answer(connection)

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """Return these columns of all messages, oldest first."""
        with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=30)) as database:
            query = f"SELECT {columns} FROM authmail_message ORDER BY created_at"
            return database.execute(query).fetchall()

    def errors(self) -> list[str]:
        """Return the lines of its log that a request should not lead to."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if " ERROR " in line or "Traceback" in line]


def read_answer(connection: socket.socket) -> Answer:
    """Read up to the end of the connection."""
    received = bytearray()
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    head, _, content = bytes(received).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first.startswith("HTTP/1."), received
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(status=int(first.split()[1]), headers=headers, content=content)


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return the octets of a request with a key; a header whose value is empty is left out."""
    known = {"Host": "127.0.0.1", "Connection": "close", "Authorization": f"Bearer {KEY}"}
    if body is not None:
        known |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    known |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}" for name, value in known.items() if value]
    head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
    return head.encode("latin-1") + (body or b"")


def chunked(*chunks: bytes) -> bytes:
    """Return a body in chunks (RFC 9112 7.1)."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@contextmanager
def running(
    server: str, smtp: servers.SmtpServer, folder: Path, **environment: str
) -> Iterator[Service]:
    """Run the example project by one of SERVERS, on a database of its own."""
    port = servers.free_port()
    kept = {n: v for n, v in os.environ.items() if n not in (*NAMES, VARIABLE)}
    full = (
        kept
        | {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "ENV_FILE": "",
            "DATA_DIR": str(folder),
            "API_KEY": KEY,
            # Tests send more in a minute than a caller may.
            "API_RATE_LIMIT_PER_MINUTE": "0",
            "CELERY_BROKER_URL": "none",
            "PORT": str(port),
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(smtp.port),
            "SMTP_USER": servers.USER,
            "SMTP_PASSWORD": servers.PASSWORD,
            "SMTP_CA_FILE": str(smtp.certificate.ca_file),
            "SMTP_FROM": "a@example.com",
            "MAGIC_LINK_BASE_URL": "https://example.com",
            "LANGUAGE_CODE": "en",
            "WEB_CONCURRENCY": "1",
        }
        | environment
    )
    commands = {
        "gunicorn": ["-m", "gunicorn", "example_project.wsgi"],
        "uvicorn": ["-m", "uvicorn", "example_project.asgi:application", "--port", str(port)],
    }
    (folder / "db.sqlite3").write_bytes(_migrated(full["DJANGO_SETTINGS_MODULE"]))
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *commands[server]], cwd=ROOT, env=full, stdout=output, stderr=output
        )
    service = Service(server=server, port=port, folder=folder, log=log)
    try:
        _wait_until_it_answers(service, process)
        yield service
    finally:
        process.terminate()
        process.wait(30)


@functools.cache
def _migrated(settings: str) -> bytes:
    """Return the file of an empty database with these settings' tables: to make one takes long."""
    kept = {n: v for n, v in os.environ.items() if n not in (*NAMES, VARIABLE)}
    migrate = [sys.executable, "manage.py", "migrate", "-v0"]
    with tempfile.TemporaryDirectory() as folder:
        own = {"DJANGO_SETTINGS_MODULE": settings, "ENV_FILE": "", "DATA_DIR": folder}
        subprocess.run(migrate, cwd=ROOT, env=kept | own, check=True)
        return Path(folder, "db.sqlite3").read_bytes()


def _wait_until_it_answers(service: Service, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, service.log.read_text()
        assert time.monotonic() < deadline, service.log.read_text()
        with suppress(OSError, AssertionError):
            # A project that has the API elsewhere answers 404.
            if service.talk(request("GET", "/health")).status < 500:
                return
        time.sleep(0.05)
