"""The demo's receiver and its page: what arrived, and whether it was genuine."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.http import Http404
from django.test import RequestFactory, override_settings
from pytest_django.fixtures import Settings

from django_authmail.webhooks import signing
from django_authmail.webhooks.posting import post
from example_project import webhook_inbox
from example_project.webhook_sink import (
    MAX_BODY,
    READY_FILE,
    WEBHOOKS_FOLDER,
    WebhookSinkAddress,
)

ROOT = Path(__file__).parents[2]
GET = RequestFactory().get("/")
GIVEN = signing.new_secret()
BODY = '{"type":"email.accepted","data":{"이름":"<script>alert(1)</script>"}}'.encode()


@dataclass(frozen=True, slots=True)
class RunningSink:
    address: WebhookSinkAddress
    webhooks: Path

    def send(self, secrets: list[str], *, body: bytes = BODY, age: int = 0) -> int | None:
        headers = signing.headers(
            id="msg_1",
            timestamp=int(time.time()) - age,
            body=BODY,
            secrets=secrets,
            s0=True,
            v1=False,
        )
        return post(self.address.url, body, headers, seconds=10).status

    def newest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(sorted(self.webhooks.iterdir())[-1].read_bytes())
        return content


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSink]:
    """A sink as a process, with every warning an error."""
    folder = tmp_path_factory.mktemp("sink")
    command = [sys.executable, "-W", "error", "-m", "example_project.webhook_sink"]
    command += ["--dir", str(folder), "--secret", GIVEN]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not (folder / READY_FILE).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        address = WebhookSinkAddress(**json.loads((folder / READY_FILE).read_bytes()))
        with override_settings(AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK=True):
            yield RunningSink(address, folder / WEBHOOKS_FOLDER)
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "signature verified" in errors
    assert address.secret not in errors
    assert GIVEN not in errors


def test_a_genuine_webhook_is_kept(sink: RunningSink) -> None:
    assert sink.send([sink.address.secret]) == 204
    kept = sink.newest()
    assert (kept["standard"], kept["s0"], kept["answer"]) == ("verified", "verified", 204)
    assert kept["body"].encode() == BODY
    assert kept["path"] == "/hook"
    assert kept["headers"]["webhook-id"] == "msg_1"
    assert "Host" not in kept["headers"]
    assert {path.stat().st_mode & 0o777 for path in sink.webhooks.iterdir()} == {0o600}


def test_by_a_secret_that_it_was_given(sink: RunningSink) -> None:
    assert sink.send([GIVEN]) == 204


@pytest.mark.parametrize(
    ("secrets", "body", "age", "reason"),
    [
        ([], BODY, 0, "header_missing"),
        (["another"], BODY, 0, "signature_mismatch"),
        ([GIVEN], BODY + b" ", 0, "signature_mismatch"),
        ([GIVEN], BODY, 400, "too_old"),
    ],
)
def test_what_is_not_genuine_is_kept_too_and_refused(
    sink: RunningSink, secrets: list[str], body: bytes, age: int, reason: str
) -> None:
    assert sink.send(secrets, body=body, age=age) == 401
    kept = sink.newest()
    assert (kept["standard"], kept["s0"], kept["answer"]) == (reason, reason, 401)


def test_what_is_no_webhook_is_not_kept(sink: RunningSink) -> None:
    before = list(sink.webhooks.iterdir())
    parts = urlsplit(sink.address.url)
    for method, headers, status in (
        ("GET", {}, 501),
        ("POST", {"Content-Length": str(MAX_BODY + 1)}, 413),
        ("POST", {"Transfer-Encoding": "chunked"}, 411),
    ):
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        connection.putrequest(method, "/")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()
    assert list(sink.webhooks.iterdir()) == before


class TestPage:
    @pytest.fixture(autouse=True)
    def _urls(self, settings: Settings, tmp_path: Path) -> None:
        settings.DEMO_WEBHOOKS_DIR = tmp_path
        settings.ROOT_URLCONF = "tests.example.webhook_urls"
        # The example project is not installed here.
        settings.TEMPLATES = [
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "DIRS": [ROOT / "example_project" / "templates"],
            }
        ]

    def keep(self, folder: Path, name: str, **changes: Any) -> None:
        kept = {
            "received_at": 1_795_000_000.5,
            "path": "/hook",
            "headers": {"webhook-id": "msg_1", "X-Request-ID": "req-1"},
            "body": BODY.decode(),
            "standard": "verified",
            "s0": "header_missing",
            "answer": 204,
        }
        (folder / f"{name}.json").write_text(json.dumps(kept | changes))

    def test_it_shows_what_arrived_newest_first(self, tmp_path: Path) -> None:
        self.keep(tmp_path, "1")
        self.keep(tmp_path, "2")
        self.keep(tmp_path, "3", body="no JSON", standard="signature_mismatch", answer=401)

        newest, second, first = webhook_inbox.received_webhooks()

        assert [newest.name, second.name, first.name] == ["3", "2", "1"]
        assert (newest.type, newest.body, newest.is_genuine) == ("", "no JSON", False)
        assert (first.type, first.is_genuine) == ("email.accepted", True)
        assert '"이름"' in first.body
        # The same id: a delivery that was repeated.
        assert [first.arrival, second.arrival, newest.arrival] == [1, 2, 3]
        assert webhook_inbox.newest(GET).content == b'{"newest": "3"}'

    def test_a_form_that_an_endpoint_does_not_have_is_not_missed(self, tmp_path: Path) -> None:
        self.keep(tmp_path, "1")
        assert "V2" not in webhook_inbox.show(GET).content.decode()
        self.keep(tmp_path, "2", standard="header_missing", answer=401)
        assert "V2: header_missing" in webhook_inbox.show(GET).content.decode()

    def test_it_runs_nothing_of_what_arrived(self, tmp_path: Path) -> None:
        self.keep(tmp_path, "1", path="/<script>", headers={"webhook-id": "<script>"})
        response = webhook_inbox.show(GET)
        text = response.content.decode()
        assert "email.accepted" in text
        assert text.count("<script") == 1
        assert response["Content-Security-Policy"].startswith("default-src 'none';")
        assert "no-store" in response["Cache-Control"]

    @pytest.mark.parametrize("body", ["", "[]", '"x"', '{"type": 5}', "{", "null"])
    def test_any_body_is_shown(self, tmp_path: Path, body: str) -> None:
        self.keep(tmp_path, "1", body=body)
        assert webhook_inbox.show(GET).status_code == 200

    def test_before_the_first_one(self) -> None:
        assert "No webhook yet" in webhook_inbox.show(GET).content.decode()
        assert webhook_inbox.newest(GET).content == b'{"newest": ""}'

    def test_there_is_none_without_its_folder(self, settings: Settings) -> None:
        settings.DEMO_WEBHOOKS_DIR = None
        with pytest.raises(Http404):
            webhook_inbox.newest(GET)
