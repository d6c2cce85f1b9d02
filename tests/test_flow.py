"""The main job, end to end: asked for over HTTP, sent by a worker process, on record everywhere."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from django_authmail import keys
from django_authmail.models import ApiKey, Message
from tests import smtp_server as servers
from tests.workers import Broker, UseBroker, worker

CANARY = "K7-CANARY-93"


@pytest.fixture
def caller(live_server: LiveServer) -> Any:
    key = keys.generate()
    ApiKey.objects.create(
        name="flow", prefix=keys.prefix(key), digest=keys.digest(key), scopes=list(keys.SCOPES)
    )
    with httpx.Client(
        base_url=live_server.url, headers={"Authorization": f"Bearer {key}"}, timeout=10
    ) as client:
        yield client


def otp(to: str) -> dict[str, str]:
    return {"to": to, "user_name": "홍길동", "code": CANARY, "locale": "ko"}


@pytest.mark.django_db(transaction=True)
def test_from_http_to_the_mail_server_and_onto_the_record(
    caller: httpx.Client,
    live_server: LiveServer,
    smtp_server: servers.SmtpServer,
    use_broker: UseBroker,
    filesystem_broker: Broker,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.AUTHMAIL_METRICS_ENABLED = True
    caplog.set_level(logging.DEBUG)
    app = use_broker(*filesystem_broker)
    before = sent_count(caller)

    now = caller.post("/send/otp", json=otp("now@example.com"), headers={"X-Request-ID": "r-now"})
    later = caller.post(
        "/send/otp", json=otp("later@example.com"), headers={"Prefer": "respond-async"}
    )
    assert (now.status_code, later.status_code) == (200, 202)
    # What is waiting: sealed in the database, an id in the broker.
    assert_nowhere(filesystem_broker.folder, caplog)
    with worker(app, smtp_server):
        assert smtp_server.wait_for(2)

    first, second = smtp_server.mails
    assert (first.recipients, second.recipients) == (["now@example.com"], ["later@example.com"])
    for received in smtp_server.mails:
        assert received.secure
        assert CANARY in received.text
        assert CANARY in received.html
        assert CANARY not in str(received.mail["Subject"])
        assert received.mail["Content-Language"] == "ko"

    for answer, received, request in ((now, first, "r-now"), (later, second, None)):
        body = answer.json()
        assert received.mail["Message-ID"] == body["message_id"]
        row = Message.objects.get(id=body["id"])
        assert (row.state, row.sealed) == ("accepted", None)
        assert row.request_id == (request or answer.headers["X-Request-ID"])
        [attempt] = row.attempts.all()
        assert attempt.result == "accepted"
        assert attempt.reply_code == 250
        shown = caller.get(f"/messages/{row.id}").json()
        assert shown["state"] == "accepted"
        assert CANARY not in str(shown)
    assert caller.get(later.headers["Location"]).json()["id"] == later.json()["id"]
    # The worker's own count is its own process's; the demo shows them summed.
    assert sent_count(caller) == before + 1

    User.objects.create_superuser("admin", password="admin")
    admin = Client()
    assert admin.login(username="admin", password="admin")
    for page in ("/admin/authmail/message/", f"/admin/authmail/message/{row.id}/change/"):
        text = admin.get(page).content.decode()
        assert "l***@example.com" in text
        assert CANARY not in text
        assert "later@example.com" not in text

    assert_nowhere(filesystem_broker.folder, caplog)
    assert CANARY not in caller.get("/metrics").text


def sent_count(caller: httpx.Client) -> float:
    name = 'email_send_total{error_code="",result="success"}'
    lines = caller.get("/metrics").text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def assert_nowhere(broker: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Search the bytes of everything that outlives a request for the code."""
    files = [path for path in broker.rglob("*") if path.is_file()]
    if connection.vendor == "sqlite":
        # With its write-ahead log: what was there for a moment only is found as well.
        name = Path(str(connection.settings_dict["NAME"]))
        database = list(name.parent.glob(f"{name.name}*"))
        assert database
        files += database
    assert found_in(files) == []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            assert CANARY not in str(cursor.fetchall()), table
    for record in caplog.records:
        # The client's own libraries are not ours to keep silent.
        if not record.name.startswith(("httpx", "httpcore", "mail")):
            assert CANARY not in record.getMessage()
            assert CANARY not in str(vars(record))


def found_in(files: list[Path]) -> list[str]:
    """Return the files whose bytes hold the code.

    Read by another process: closing a database's file in this one would drop the locks that
    SQLite holds here, and the database would break (sqlite.org, "How to corrupt", 2.2).
    """
    script = (
        "import pathlib, sys\n"
        "for name in sys.argv[2:]:\n"
        "    if sys.argv[1].encode() in pathlib.Path(name).read_bytes(): print(name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, CANARY, *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
