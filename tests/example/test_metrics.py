"""/metrics of the service as it is run: several processes, one sum."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from example_project.certificates import ServerCertificate
from example_project.environment import Environment
from example_project.metrics import VARIABLE, share_metrics
from example_project.names import NAMES
from tests import smtp_server as servers

ROOT = Path(__file__).parents[2]
KEY = "k" * 40
WEB = ("-m", "gunicorn", "example_project.wsgi")

_opener = build_opener(ProxyHandler({}))


def call(url: str, body: object = None, **headers: str) -> str:
    content = None if body is None else json.dumps(body).encode()
    own = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    request = Request(url, content, own | headers)
    with _opener.open(request, timeout=90) as response:
        return str(response.read().decode())


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@contextmanager
def running(environment: dict[str, str], *command: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment) as process:
        try:
            yield
        finally:
            process.terminate()


def test_every_scrape_shows_the_sum_of_all_processes(
    certificate: ServerCertificate, tmp_path: Path
) -> None:
    port = servers.free_port()
    url = f"http://127.0.0.1:{port}"
    kept = {n: v for n, v in os.environ.items() if n not in (*NAMES, VARIABLE)}
    with servers.running(certificate) as server:
        environment = kept | {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "ENV_FILE": "",
            "DATA_DIR": str(tmp_path),
            "API_KEY": KEY,
            "CELERY_BROKER_URL": "none",
            "METRICS_ENABLED": "true",
            "PORT": str(port),
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(server.port),
            "SMTP_USER": servers.USER,
            "SMTP_PASSWORD": servers.PASSWORD,
            "SMTP_CA_FILE": str(certificate.ca_file),
            "SMTP_FROM": "a@example.com",
            "WEB_CONCURRENCY": "2",
        }
        migrate = [sys.executable, "manage.py", "migrate", "-v0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        assert not (tmp_path / "metrics").exists()
        dispatch = ("manage.py", "authmail_dispatch")
        with running(environment, *WEB), running(environment, *dispatch):
            wait_until(lambda: answers(f"{url}/health"))
            otp = {"to": "hong@example.org", "user_name": "Hong", "code": "482901"}
            for _ in range(3):
                call(f"{url}/send/otp", otp)
            for name in ("kim", "lee"):  # a second one for the same would supersede the first
                body = {**otp, "to": f"{name}@example.org"}
                call(f"{url}/send/otp", body, Prefer="respond-async")
            sent = 'email_send_total{error_code="",result="success"} 5.0'
            wait_until(lambda: sent in call(f"{url}/metrics"))
            scrapes = [call(f"{url}/metrics") for _ in range(8)]

    assert [sent in scrape for scrape in scrapes] == [True] * 8
    assert ["email_send_active 0.0" in scrape for scrape in scrapes] == [True] * 8
    assert len(server.mails) == 5


def answers(url: str) -> bool:
    with suppress(OSError):
        return bool(call(url))
    return False


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Share as a process does when it starts; the folder is this test's own."""
    monkeypatch.setenv(VARIABLE, "")  # monkeypatch puts back what was there

    def share(**values: str) -> Path:
        share_metrics(Environment({"DATA_DIR": str(tmp_path), "METRICS_ENABLED": "1", **values}))
        return Path(os.environ[VARIABLE])

    return share


def test_without_metrics_there_is_no_folder(share: Callable[..., Path], tmp_path: Path) -> None:
    share(METRICS_ENABLED="0")

    assert os.environ[VARIABLE] == ""
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_given_is_taken(share: Callable[..., Path], tmp_path: Path) -> None:
    assert share(**{VARIABLE: str(tmp_path / "own")}) == tmp_path / "own"
    assert (tmp_path / "own").is_dir()


def test_what_ended_processes_counted_stays_while_others_run(share: Callable[..., Path]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    folder = share()
    assert (folder.stat().st_mode & 0o777) == 0o700
    for pid in (ended.pid, os.getpid()):
        for kind in ("counter", "gauge_livesum"):
            (folder / f"{kind}_{pid}.db").touch()

    share()

    assert sorted(file.name for file in folder.iterdir()) == sorted(
        [f"counter_{ended.pid}.db", f"counter_{os.getpid()}.db", f"gauge_livesum_{os.getpid()}.db"]
    )
    for kind in ("counter", "gauge_livesum"):
        (folder / f"{kind}_{os.getpid()}.db").unlink()
    share()  # nobody runs any more: all begin anew
    assert list(folder.iterdir()) == []
