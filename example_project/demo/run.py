"""The demo itself: send two codes over HTTP, wait for both mails and for what a caller is told."""

from __future__ import annotations

import errno
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection

from example_project.demo.caller import Answer, Caller
from example_project.demo.processes import DemoFailed, Process, Processes
from example_project.demo.receivers import Receivers
from example_project.demo.surroundings import for_children
from example_project.webhook_sink import Webhook

DEFAULT_PORT = 8000
START_SECONDS = 30.0
ARRIVE_SECONDS = 30.0
FINAL_STATES = frozenset({"accepted", "partially_accepted", "failed", "expired", "unknown"})


class StepFailed(Exception):
    """A step of the demo did not work out."""

    def __init__(self, step: str, cause: DemoFailed) -> None:
        super().__init__(f"Step {step!r}: {cause}.")
        self.process = cause.process


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One of the two mails: how it was asked for, what the API and the sink made of it."""

    how: str
    record: dict[str, Any]
    mail: EmailMessage
    #: What its caller was told afterwards; None where it did not ask to be.
    webhook: Webhook | None
    log_lines: list[str]
    webhook_log_lines: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything that the demo has to show once both mails have arrived."""

    base_url: str
    key: str
    admin_password: str
    arrived: list[Arrived]


class Demo:
    """One run. `write` gets text to show, as it becomes known.

    Beat is started only for a demo that stays: its sweep finds what a lost task left behind.
    """

    def __init__(
        self,
        folder: Path,
        processes: Processes,
        *,
        port: int | None,
        stays: bool,
        write: Callable[[str], None],
    ) -> None:
        self._stays = stays
        self._folder = folder
        self._processes = processes
        self._port = port
        self._write = write
        self._started = time.monotonic()

    @contextmanager
    def _step(self, name: str, *, part: str = "") -> Iterator[list[str]]:
        """Show a step, or a part of one, with its result and its time; name it when it fails."""
        begun = time.monotonic()
        result: list[str] = []
        self._write(f"  {'  ' + part if part else name:<18} ")
        try:
            yield result
        except DemoFailed as failure:
            self._write("failed\n")
            # A process that died explains more than what it did not do.
            cause = self._processes.death() or failure
            raise StepFailed(f"{name}, {part}" if part else name, cause) from None
        took, total = time.monotonic() - begun, time.monotonic() - self._started
        self._write(f"{result[0] if result else 'ok':<58} {took:5.2f} s  at {total:5.2f} s\n")

    def run(self) -> Shown:
        """Do every step; raise StepFailed at the first that does not work."""
        with self._step("SMTP sink") as result:
            receivers = Receivers(self._folder, self._processes, start_seconds=START_SECONDS)
            sink = receivers.smtp_address()
            environment = for_children(self._folder, sink)
            result.append(f"{sink.host}:{sink.port}, STARTTLS and AUTH required")
        with self._step("worker") as result:
            worker = self._processes.start(
                "worker",
                "celery",
                *("-A", "example_project", "worker", "-P", "threads", "-c", "4", "-l", "INFO"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                environment=environment,
            )
            result.append(f"celery on filesystem://, pid {worker.pid}, starting")
        with self._step("database") as result:
            result.append(self._migrate())
        with self._step("API key") as result:
            key, shown_key = self._make_key()
            result.append(shown_key)
        with self._step("web server") as result:
            web, base_url, remark = self._start_web(environment)
            result.append(f"uvicorn on {base_url}, pid {web.pid}, starting{remark}")
        with self._step("webhook sink") as result:
            hook = receivers.webhook_address()
            result.append(hook.url)
        with self._step("admin user") as result:
            password = self._make_admin()
            result.append("admin, with a password made for this run")
        with self._step("web server answers") as result:
            self._wait_for_web(web, base_url)
            result.append("GET /health: 200")
        caller = Caller(base_url=base_url, key=key)
        minji = {"to": "minji.kim@example.com", "user_name": "김민지", "locale": "ko"}
        # A request with a webhook is sent in the background.
        alex = {"to": "alex.doe@example.com", "user_name": "Alex", "locale": "en"}
        alex |= {"webhook_url": hook.url, "webhook_secret": hook.secret}
        arrived = [
            self._send("OTP, at once", caller, minji, receivers, status=200, blame=web),
            self._send("OTP, in background", caller, alex, receivers, status=202, blame=worker),
        ]
        if self._stays:
            with self._step("beat") as result:
                beat = self._processes.start(
                    "beat", "celery", "-A", "example_project", "beat", environment=environment
                )
                result.append(f"celery beat, a sweep every 5 s, pid {beat.pid}, starting")
        return Shown(base_url=base_url, key=key, admin_password=password, arrived=arrived)

    def _migrate(self) -> str:
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            (mode,) = cursor.fetchone()
            cursor.execute("SELECT COUNT(*) FROM django_migrations")
            (count,) = cursor.fetchone()
        return f"SQLite in {mode.upper()} mode, {count} migrations"

    def _make_key(self) -> tuple[str, str]:
        output = StringIO()
        call_command(
            *("authmail_key", "create", "--name", "demo"),
            *("--scope", "send:otp", "--scope", "messages:read", "--json"),
            stdout=output,
        )
        made = json.loads(output.getvalue())
        return made["key"], "for send:otp and messages:read"

    def _make_admin(self) -> str:
        password = secrets.token_urlsafe(9)
        get_user_model().objects.create_superuser("admin", password=password)
        connection.close()
        return password

    def _start_web(self, environment: dict[str, str]) -> tuple[Process, str, str]:
        listener, remark = self._listen()
        with listener:
            # The server is given the socket, not the number: nobody can take the port in between.
            process = self._processes.start(
                "web",
                "uvicorn",
                *("example_project.asgi:application", "--fd", str(listener.fileno())),
                *("--lifespan", "off"),
                environment=environment,
                pass_fds=[listener.fileno()],
            )
            port = listener.getsockname()[1]
        return process, f"http://127.0.0.1:{port}", remark

    def _listen(self) -> tuple[socket.socket, str]:
        """Take the port that was asked for, else 8000, else a free one."""
        try:
            port = DEFAULT_PORT if self._port is None else self._port
            return socket.create_server(("127.0.0.1", port), backlog=128), ""
        except OSError as error:
            if error.errno != errno.EADDRINUSE or self._port is not None:
                raise DemoFailed(
                    f"port {port} cannot be had ({error.strerror}); choose another by --port"
                ) from None
        return socket.create_server(("127.0.0.1", 0), backlog=128), f" ({port} is taken)"

    def _wait_for_web(self, web: Process, base_url: str) -> None:
        caller = Caller(base_url=base_url)

        def healthy() -> Answer | None:
            answer = caller.get("/health")
            return answer if answer is not None and answer.status == 200 else None

        self._processes.wait_for(
            healthy, what="answer of GET /health", seconds=START_SECONDS, blame=web
        )

    def _send(
        self,
        how: str,
        caller: Caller,
        body: dict[str, str],
        receivers: Receivers,
        *,
        status: int,
        blame: Process,
    ) -> Arrived:
        code = f"{secrets.randbelow(10**8):08d}"
        with self._step(how) as result:
            answer = caller.post("/send/otp", {**body, "code": code})
            if answer is None:
                raise DemoFailed("POST /send/otp got no answer", process=blame)
            if answer.status != status:
                raise DemoFailed(
                    f"POST /send/otp answered {answer.status}, not {status}: {answer.body}",
                    process=blame,
                )
            result.append(f"POST /send/otp: {answer.status}, state {answer.body['state']}")
        with self._step(how, part="on record") as result:
            record = self._wait_until_final(caller, answer.body["id"], blame=blame)
            result.append(f"GET /messages/{record['id'][:8]}…: {record['state']}")
        with self._step(how, part="arrived") as result:
            mail, name = self._processes.wait_for(
                lambda: receivers.find_mail(answer.body["message_id"]),
                what="such mail at the sink",
                seconds=ARRIVE_SECONDS,
                blame=receivers.smtp,
            )
            if code not in mail.get_body(("plain",)).get_content():  # type: ignore[union-attr]
                raise DemoFailed("the mail arrived without its code", process=blame)
            result.append(f"{name} at the sink")
        webhook, told = None, []
        if "webhook_url" in body:
            with self._step(how, part="webhook") as result:
                webhook = self._wait_for_webhook(receivers, answer.body["message_id"], blame=blame)
                told = self._wait_until_settled(webhook, blame=blame)
                result.append("arrived, and its signature is verified")
        return Arrived(
            how=how,
            record=record,
            mail=mail,
            webhook=webhook,
            log_lines=self._processes.log_lines(f" id={record['id']} "),
            webhook_log_lines=told,
        )

    def _wait_for_webhook(
        self, receivers: Receivers, message_id: str, *, blame: Process
    ) -> Webhook:
        webhook = self._processes.wait_for(
            lambda: receivers.find_webhook(message_id),
            what="webhook about the message",
            seconds=ARRIVE_SECONDS,
            blame=blame,
        )
        if (webhook.standard, webhook.s0) != ("verified", "verified"):
            raise DemoFailed(
                f"the webhook arrived and is not genuine: {webhook.standard}, {webhook.s0}",
                process=blame,
            )
        return webhook

    def _wait_until_settled(self, webhook: Webhook, *, blame: Process) -> list[str]:
        """Return the lines of the log about a delivery, which is on record after it arrived."""
        id = UUID(webhook.headers["webhook-id"].removeprefix("msg_"))
        return self._processes.wait_for(
            lambda: self._processes.log_lines(f" id={id} ") or None,
            what="record of the webhook",
            seconds=ARRIVE_SECONDS,
            blame=blame,
        )

    def _wait_until_final(self, caller: Caller, id: str, *, blame: Process) -> dict[str, Any]:
        def record() -> dict[str, Any] | None:
            answer = caller.get(f"/messages/{id}")
            if answer is None:
                return None
            if answer.status != 200:
                raise DemoFailed(
                    f"GET /messages/{id} answered {answer.status}: {answer.body}", process=blame
                )
            return answer.body if answer.body["state"] in FINAL_STATES else None

        found = self._processes.wait_for(
            record, what="final state of the message", seconds=ARRIVE_SECONDS, blame=blame
        )
        if found["state"] != "accepted":
            raise DemoFailed(f"the message ended as {found['state']}: {found}", process=blame)
        return found
