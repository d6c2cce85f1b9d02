"""`manage.py demo`: a code asked for over HTTP reaches a mail server, on this machine alone."""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from example_project.demo.processes import DemoFailed, Processes
from example_project.demo.run import Arrived, Demo, Shown, StepFailed
from example_project.demo.surroundings import own_log
from example_project.environment import BASE_DIR
from example_project.webhook_sink import Webhook

NOT_PRODUCTION = """\
Not production, in this demo:
  SQLite               use PostgreSQL or MariaDB (DATABASE_URL)
  filesystem:// broker use Redis or RabbitMQ (CELERY_BROKER_URL)
  the SMTP sink        use your mail server (SMTP_HOST …); nothing left this machine
  one uvicorn process  use gunicorn, or uvicorn with several workers, behind TLS
  the inbox page       shows every mail, and its code, to anybody who can reach it
  WEBHOOK_ALLOW_HOSTS  names your own receivers; others need https and a public address
  printed key and login, kept for this run only
"""


class Command(BaseCommand):
    help = (
        "Starts a mail sink, a webhook sink, a Celery worker and the web server; sends two one-time"
        " codes over HTTP, waits until both mails and a webhook arrived, shows them, and stays"
        " until Ctrl-C."
    )
    # Checks are for the settings of a real mail server; the demo's are its own.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="stop once all arrived; exit 0 only then"
        )
        parser.add_argument("--keep", action="store_true", help="keep the run folder")
        parser.add_argument(
            "--port",
            type=_port,
            help="port of the web server (8000, or a free one if that is taken)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._run(options)
        except BrokenPipeError:
            # `demo | head`: nobody reads any more, and all processes have ended by now. Python
            # would try to write the rest once more when it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)

    def _run(self, options: dict[str, Any]) -> None:
        arrived = False
        try:
            with Processes(settings.DATA_DIR) as processes, own_log(settings.DATA_DIR):
                self._write(f"django-authmail demo, in {settings.DATA_DIR.relative_to(BASE_DIR)}\n")
                demo = Demo(
                    settings.DATA_DIR,
                    processes,
                    port=options["port"],
                    stays=not options["once"],
                    write=self._write,
                )
                shown = demo.run()
                arrived = True
                self._show(shown, stays=not options["once"])
                if not options["once"]:
                    self._stay(processes)
        except (StepFailed, DemoFailed) as failure:
            self._explain(failure)
            sys.exit(1)
        except KeyboardInterrupt as interruption:
            number = interruption.args[0] if interruption.args else 2
            self._write("\nStopped; nothing is left running.\n")
            sys.exit(0 if arrived else 128 + number)
        self._write("Both mails and the webhook arrived. Nothing is left running.\n")
        if options["keep"]:
            self._write(f"Kept: {settings.DATA_DIR}\n")

    def _write(self, text: str) -> None:
        self.stdout.write(text, ending="")
        self.stdout.flush()

    def _show(self, shown: Shown, *, stays: bool) -> None:
        for arrived in shown.arrived:
            self._show_mail(arrived)
        url = shown.base_url
        self._write(
            f"\n{'Open' if stays else 'To open, were this not --once'}\n"
            f"  send log   {url}/admin/authmail/message/   (admin / {shown.admin_password})\n"
            f"  API docs   {url}/docs\n"
            f"  inbox      {url}/inbox/\n"
            f"  webhooks   {url}/webhooks/\n"
            f"  metrics    {url}/metrics\n\n"
            "Send one yourself\n"
            f"  curl {url}/send/otp -H 'Authorization: Bearer {shown.key}' \\\n"
            "    -H 'Content-Type: application/json' \\\n"
            "    -d '"
            '{"to": "you@example.com", "user_name": "You", "code": "482901", "locale": "en"}'
            "'\n\n"
        )
        self._write(NOT_PRODUCTION + "\n")

    def _show_mail(self, arrived: Arrived) -> None:
        self._write(f"\n{arrived.how}: what arrived\n")
        for name in ("From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Received"):
            value = " ".join(str(arrived.mail.get(name, "")).split())
            self._write(f"  {name}: {value}\n")
        self._write("\n")
        for line in _text(arrived.mail).splitlines():
            self._write(f"  | {line}".rstrip() + "\n")
        self._write(f"\n{arrived.how}: what the log says\n")
        for line in [*_record_lines(arrived.record), *arrived.log_lines]:
            self._write(f"  {line}\n")
        if arrived.webhook is not None:
            self._show_webhook(arrived.how, arrived.webhook)
            for line in arrived.webhook_log_lines:
                self._write(f"\n  {line}\n")

    def _show_webhook(self, how: str, webhook: Webhook) -> None:
        self._write(f"\n{how}: what the webhook said\n")
        for name, value in webhook.headers.items():
            self._write(f"  {name}: {value}\n")
        self._write("\n")
        for line in json.dumps(json.loads(webhook.body), indent=2, ensure_ascii=False).splitlines():
            self._write(f"  | {line}\n")

    def _stay(self, processes: Processes) -> None:
        self._write("Running. Press Ctrl-C to stop.\n")
        processes.watch()

    def _explain(self, failure: StepFailed | DemoFailed) -> None:
        self._write(f"\nThe demo failed. {failure}\n")
        if failure.process is not None:
            self._write(f"\nThe last lines of {failure.process.name}.log:\n")
            for line in failure.process.tail():
                self._write(f"  {line}\n")
        self._write("\nNothing is left running.\n")


def _port(given: str) -> int:
    if not (given.isdecimal() and 0 <= int(given) <= 65535):
        raise ArgumentTypeError(f"{given!r} is no port; it must be from 1 to 65535, or 0 for any")
    return int(given)


def _record_lines(record: dict[str, Any]) -> Iterator[str]:
    yield f"GET /messages/{record['id']}"
    for name in ("state", "kind", "locale", "created_at", "accepted_at", "expires_at"):
        yield f"  {name:<12} {record[name]}"
    for recipient in record["recipients"]:
        reply = f"{recipient['smtp_code']} {recipient['enhanced_code']} {recipient['reply']}"
        yield f"  recipient    {recipient['recipient']}: {recipient['state']}, {reply}"
    for attempt in record["attempts"]:
        yield f"  attempt {attempt['number']}    {attempt['result']}, {attempt['duration_ms']} ms"


def _text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    return str(part.get_content()) if part is not None else "(no text part)"
