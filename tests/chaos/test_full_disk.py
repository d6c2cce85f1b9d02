"""A disk that is full when an outcome is to be written: the mail is out, and goes out once."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connections
from pytest_django import DjangoDbBlocker
from pytest_django.fixtures import Settings

from django_authmail import dispatch, transactions
from django_authmail.models import Attempt, Message
from django_authmail.outbox import queue
from example_project.environment import Environment
from tests import smtp_server as servers
from tests.chaos.processes import wait_until
from tests.chaos.servers import PostgreSQL
from tests.outbox.factories import auth_message
from tests.services import missing

ALIAS = "small"
#: A cluster of PostgreSQL has about 40 MB, and its log of changes wants 32 more.
SIZE = "120m"


class Router:
    """Whatever the outbox asks goes to the database on the small disk."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return ALIAS

    db_for_write = db_for_read

    def allow_relation(self, one: Any, two: Any, **hints: Any) -> bool:
        return True


@contextmanager
def outbox_in(url: str, settings: Settings) -> Iterator[None]:
    """Let the outbox have its tables in this database."""
    found = Environment({"DATABASE_URL": url}).database("DATABASE_URL", default="")
    wrapper = connections["default"]
    connections.settings[ALIAS] = {**wrapper.settings_dict, "OPTIONS": {}, **found}
    settings.DATABASE_ROUTERS = ["tests.chaos.test_full_disk.Router"]
    try:
        wait_until(lambda: _answers(), "the database")
        call_command("migrate", database=ALIAS, verbosity=0)
        yield
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]


def _answers() -> bool:
    try:
        connections[ALIAS].ensure_connection()
    except OperationalError:
        return False
    return True


def fill(filler: Path) -> None:
    """Leave no room on its disk."""
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        missing("a disk that is full needs root, to mount one")
    # Not below tmp_path, where the account of PostgreSQL may not come.
    place = Path(tempfile.mkdtemp(prefix="authmail-disk-"))
    options = f"size={SIZE},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, disk: Path) -> Iterator[str]:
    """A database on it."""
    if request.param == "sqlite":
        yield f"sqlite:///{disk}/db.sqlite3"
        return
    disk.chmod(0o755)
    server = PostgreSQL(disk)
    server.start()
    try:
        yield server.url
    finally:
        server.end()


def test_the_outcome_is_written_when_there_is_room_again_and_no_second_mail_goes_out(
    url: str,
    disk: Path,
    smtp_server: servers.SmtpServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    django_db_blocker: DjangoDbBlocker,
) -> None:
    filler = disk / "filler"
    refusals: list[str] = []

    def room_again(seconds: float) -> None:
        """What happens while a verb waits to try again."""
        refusals.append("full")
        filler.unlink(missing_ok=True)

    with django_db_blocker.unblock(), outbox_in(url, settings):
        row = queue.submit(auth_message())
        claim = queue.claim(row.id)
        assert claim is not None
        end = dispatch.hand_over(claim)
        if url.startswith("sqlite"):
            with connections[ALIAS].cursor() as cursor:
                # What is written next needs room of its own.
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fill(filler)
        monkeypatch.setattr(
            transactions, "time", SimpleNamespace(sleep=room_again, monotonic=time.monotonic)
        )
        queue.settle_many([end])
        assert refusals
        stored = Message.objects.get()
        assert (stored.state, Attempt.objects.count()) == ("accepted", 1)
    assert len(smtp_server.mails) == 1
