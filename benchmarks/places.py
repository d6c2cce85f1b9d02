"""What the queue and the service are measured against: a PostgreSQL of the run's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from benchmarks.smtp.processes import Child
from tests.chaos.processes import wait_until
from tests.chaos.servers import PostgreSQL


class Databases:
    """One database for each way to send, on a server of this run."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._made: set[str] = set()
        connection = wait_until(self._connect, "PostgreSQL")
        with connection:
            row = connection.execute("SHOW server_version").fetchone()
        assert row is not None  # noqa: S101 - SHOW has one row
        self.version = f"PostgreSQL {row[0].split()[0]}"

    def __call__(self, name: str) -> dict[str, Any]:
        """Return what Django's DATABASES says of this one."""
        if name not in self._made:
            self._made.add(name)
            connection = self._connect()
            assert connection is not None  # noqa: S101 - it has answered before
            with connection:
                connection.execute(f'CREATE DATABASE "{name}"')
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": name,
            "USER": "postgres",
            "HOST": self._host,
            "PORT": self._port,
            "CONN_MAX_AGE": None,
        }

    def _connect(self) -> psycopg.Connection[Any] | None:
        try:
            return psycopg.connect(
                host=self._host,
                port=self._port,
                user="postgres",
                dbname="postgres",
                autocommit=True,
            )
        except psycopg.OperationalError:
            return None


@contextmanager
def databases(folder: Path) -> Iterator[Databases]:
    """Start a durable server with its files in `folder`."""
    server = PostgreSQL(folder, is_durable=True)
    server.start()
    try:
        yield Databases(server.url)
    finally:
        server.end()


@contextmanager
def ended(child: Child) -> Iterator[Child]:
    """Give the process, and end it."""
    try:
        yield child
    finally:
        child.end()


@contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that the account of PostgreSQL can reach too, and remove it."""
    folder = Path(tempfile.mkdtemp(prefix="authmail-benchmark-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
