"""`manage.py demo` as somebody runs it, from the command line to the last process that ends."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import pytest

ROOT = Path(__file__).parents[2]
PROC = Path("/proc")

# What the user's shell may hold. The demo must not be reached by any of it.
HOSTILE = {
    "SMTP_HOST": "smtp.invalid",
    "SMTP_USE_TLS": "perhaps",
    "DATABASE_URL": "postgres://nobody@db.invalid/none",
    "CELERY_BROKER_URL": "amqp://mq.invalid",
    "CACHE_URL": "redis://cache.invalid",
    "ALLOWED_HOSTS": "app.example.com",
    "API_KEY": "k" * 40,
    "PORT": "none",
    "DJANGO_SETTINGS_MODULE": "somebody.elses.settings",
    "http_proxy": "http://127.0.0.1:9",
}
# No process of the demo may warn, but for Celery of root, which is who tests run as in CI.
STRICT = {"PYTHONWARNINGS": "error,ignore:You're running the worker with superuser privileges"}

pytestmark = pytest.mark.skipif(not PROC.is_dir(), reason="/proc tells which processes are left")


def _heed_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class RunningDemo:
    """A demo in a process of its own, and what it has written so far."""

    def __init__(self, output: Path, *arguments: str) -> None:
        self._output = output
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", *arguments],
                cwd=ROOT,
                env={**os.environ, **HOSTILE, **STRICT},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A shell starts what it runs in the background with Ctrl-C ignored, and all that
                # this starts inherits it.
                preexec_fn=_heed_interrupt,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def folder(self) -> Path:
        """The run folder, as its first line names it."""
        named = re.search(r"demo, in (\S+)\n", self.output)
        assert named is not None, self.output
        return ROOT / named[1]

    def wait_for(self, text: str, *, seconds: float = 60) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None, seconds=seconds)
        assert text in self.output, self.output

    def children(self) -> dict[str, int]:
        """Return the pids of its processes by the module that each runs."""
        mark = f"DATA_DIR={self.folder}\0".encode()
        found = {}
        for path in PROC.glob("[0-9]*"):
            with suppress(OSError):
                # Empty for a process that has ended and that nobody has waited for.
                if mark in (path / "environ").read_bytes():
                    arguments = (path / "cmdline").read_bytes().decode().split("\0")
                    if not any(arguments):
                        continue  # it has ended since
                    child = arguments[arguments.index("example_project.demo.child") + 1 :]
                    found["beat" if "beat" in child else child[0]] = int(path.name)
        return found

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)


def wait_until(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningDemo]]:
    """Start demos; at the end none of them runs, and none has left a folder."""
    demos: list[RunningDemo] = []

    def start(*arguments: str) -> RunningDemo:
        demo = RunningDemo(tmp_path / f"output-{len(demos)}", *arguments)
        demos.append(demo)
        return demo

    yield start
    for demo in demos:
        demo.process.kill()
        demo.process.wait()
        with suppress(AssertionError):
            shutil.rmtree(demo.folder, ignore_errors=True)


def read_mails(folder: Path) -> list[EmailMessage]:
    files = sorted((folder / "mails").glob("*.eml"))
    return [BytesParser(policy=policy.default).parsebytes(file.read_bytes()) for file in files]


def code_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    code = re.search(r"^([0-9]{8})\s*$", body.get_content(), re.MULTILINE)
    assert code is not None
    return code[1]


def test_two_at_once_with_the_port_taken(start: Callable[..., RunningDemo]) -> None:
    """Both get their two mails; no code of theirs is anywhere but in the mails."""
    with ExitStack() as stack:
        held = False
        with suppress(OSError):  # another program's, who may let it go at any time
            stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
            held = True
        demos = [start("--once", "--keep") for _ in range(2)]
        for demo in demos:
            demo.process.wait(90)
    assert len({demo.folder for demo in demos}) == 2
    for demo in demos:
        assert demo.process.returncode == 0, demo.output
        assert not held or "(8000 is taken)" in demo.output
        assert demo.children() == {}
        mails = read_mails(demo.folder)
        assert [mail["To"] for mail in mails] == ["minji.kim@example.com", "alex.doe@example.com"]
        assert [mail["Subject"] for mail in mails] == ["인증 코드 안내", "Your verification code"]
        (kept,) = (demo.folder / "webhooks").glob("*.json")
        webhook = json.loads(kept.read_bytes())
        assert (webhook["standard"], webhook["s0"], webhook["answer"]) == (*["verified"] * 2, 204)
        told = json.loads(webhook["body"])
        assert (told["type"], told["message_id"]) == ("email.accepted", mails[1]["Message-ID"])
        assert told["message_id"] in demo.output.partition("what the webhook said")[2]
        assert " webhook.delivered id=" in demo.output
        for code in map(code_of, mails):
            assert code in demo.output
            assert places_of(code, demo.folder) == []


def places_of(code: str, folder: Path) -> list[str]:
    """Return the files of a run that hold a text: database, WAL, broker, logs, metrics."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".eml"]
    names = {path.relative_to(folder).parts[0] for path in files}
    assert {"db.sqlite3", "broker", "logs", "metrics", "webhooks"} <= names
    return [str(path) for path in files if code.encode() in path.read_bytes()]


def test_it_stays_and_shows_everything_until_interrupted(
    start: Callable[..., RunningDemo],
) -> None:
    demo = start()
    demo.wait_for("Press Ctrl-C to stop")
    base_url = re.search(r"(http://127\.0\.0\.1:\d+)/docs", demo.output)
    assert base_url is not None
    steps, _, _ = demo.output.partition("OTP, at once: what arrived")
    for line in steps.splitlines()[1:-1]:
        assert re.fullmatch(r"  .{18} .{58,} [ \d.]{5} s  at [ \d.]{5} s", line), line
    (example,) = re.findall("-d '(.*)'", demo.output)
    assert json.loads(example)["locale"] == "en"  # what it prints is in English
    browser = build_opener(ProxyHandler({}))

    def get(path: str, language: str = "en") -> str:
        request = Request(base_url[1] + path, headers={"Accept-Language": language})
        with browser.open(request, timeout=10) as response:
            assert response.status == 200
            return str(response.read().decode())

    assert "Inbox" in get("/inbox/")
    assert "받은편지함" in get("/inbox/", "ko")
    newest = json.loads(get("/inbox/newest"))["newest"]
    for tab in ("html/", "text/", "source/", "frame", "download"):
        assert get(f"/inbox/{newest}/{tab}")
    code = code_of(read_mails(demo.folder)[-1])
    assert code in get(f"/inbox/{newest}/frame")
    assert "email.accepted" in get("/webhooks/")
    assert "검증됨" in get("/webhooks/", "ko")
    assert json.loads(get("/webhooks/newest"))["newest"]
    assert get("/static/admin/css/base.css")
    assert "<form" in get("/admin/authmail/message/")  # its login
    assert get("/docs")
    # One mail was sent by the web server, the other by the worker; the counter has both.
    assert 'email_send_total{error_code="",result="success"} 2.0' in get("/metrics")
    for log in (demo.folder / "logs").iterdir():
        assert "Warning" not in log.read_text()
        assert "Traceback" not in log.read_text()
    sinks = {"example_project.sink", "example_project.webhook_sink"}
    assert set(demo.children()) == {*sinks, "celery", "beat", "uvicorn"}

    assert demo.end(signal.SIGINT) == 0
    assert demo.children() == {}
    assert "nothing is left running" in demo.output
    assert not demo.folder.exists()


def test_nothing_outlives_a_demo_that_is_killed(start: Callable[..., RunningDemo]) -> None:
    demo = start()
    demo.wait_for("web server answers")

    assert demo.end(signal.SIGKILL) == -signal.SIGKILL

    wait_until(lambda: demo.children() == {}, seconds=15)
    folder = demo.folder
    assert folder.exists()
    os.utime(folder / "running", (0, 0))  # as if it were long ago
    with (folder / "running").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one that runs for so long
        assert start("--port=none").process.wait(60) == 2
        assert folder.exists()
    assert start("--port=none").process.wait(60) == 2
    assert not folder.exists()


def test_interrupted_before_its_first_step(start: Callable[..., RunningDemo]) -> None:
    demo = start()
    wait_until(lambda: any((ROOT / "var").glob(f"demo-*-{demo.process.pid}")), seconds=60)

    assert demo.end(signal.SIGINT) == 128 + signal.SIGINT

    assert demo.output.endswith("\nStopped; nothing is left running.\n")
    assert "Traceback" not in demo.output
    assert not any((ROOT / "var").glob(f"demo-*-{demo.process.pid}"))


def test_a_process_that_dies_fails_the_demo_by_name(start: Callable[..., RunningDemo]) -> None:
    demo = start()  # whichever step it has come to meanwhile, and past the last one too
    demo.wait_for("web server answers")
    os.kill(demo.children()["example_project.sink"], signal.SIGKILL)

    assert demo.process.wait(60) == 1
    assert "the process sink was killed by signal 9" in demo.output, demo.output
    assert "The last lines of sink.log:" in demo.output
    assert demo.children() == {}
    assert not demo.folder.exists()


def test_a_port_that_was_asked_for_and_is_taken(start: Callable[..., RunningDemo]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = start("--once", "--port", str(port))
        assert demo.process.wait(60) == 1

    assert f"Step 'web server': port {port} cannot be had" in demo.output
    assert demo.children() == {}


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_a_port_that_is_none(start: Callable[..., RunningDemo], port: str) -> None:
    demo = start("--once", f"--port={port}")

    assert demo.process.wait(60) == 2
    assert f"'{port}' is no port; it must be from 1 to 65535, or 0 for any" in demo.output


def test_a_reader_who_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    with (tmp_path / "errors").open("w+") as errors:
        with subprocess.Popen(
            [sys.executable, "manage.py", "demo"],
            cwd=ROOT,
            env={**os.environ, **HOSTILE, **STRICT},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            named = re.search(r"demo, in (\S+)\n", process.stdout.readline())
            process.stdout.close()
            assert process.wait(60) == 128 + signal.SIGPIPE
        errors.seek(0)
        assert errors.read() == ""
    assert named is not None
    assert not (ROOT / named[1]).exists()


def test_terminated_while_it_starts(start: Callable[..., RunningDemo]) -> None:
    demo = start()
    demo.wait_for("database")

    assert demo.end(signal.SIGTERM) == 128 + signal.SIGTERM

    assert demo.children() == {}
    assert not demo.folder.exists()
