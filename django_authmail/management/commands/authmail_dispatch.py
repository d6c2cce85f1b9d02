"""Send queued messages without Celery or a broker."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from typing import Any

from django.db import Error

from django_authmail.drain import Drain
from django_authmail.management import database
from django_authmail.management.database import DatabaseCommand
from django_authmail.models import Priority, State
from django_authmail.outbox import carriers
from django_authmail.webhooks.courier import EXTRA, Courier, run_beside

#: As many as an account's pool keeps by default.
CONNECTIONS = 4


class Command(DatabaseCommand):
    help = "Send queued messages and webhooks; run one or more of these instead of Celery workers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="send what is due now, then end instead of waiting"
        )
        parser.add_argument(
            "--connections",
            type=_at_least_one,
            default=CONNECTIONS,
            metavar="N",
            help=f"hand over so many mails at a time ({CONNECTIONS})",
        )
        parser.add_argument(
            "--priority",
            choices=[priority.name.lower() for priority in Priority],
            help="send those only; without it, high before low",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        priority = Priority[options["priority"].upper()] if options["priority"] else None
        stop = threading.Event()
        if options["once"]:
            drain = Drain(options["connections"], priority=priority)
            total = drain.run(stop, until_empty=True)
            courier = Courier()
            courier.run(stop, until_empty=True)
            paused = _paused()
            for line in _what_became(total, drain.left, drain.settled):
                self.stdout.write(line)
            if told := _what_was_told(courier.left):
                self.stdout.write(told)
            if courier.unsent:
                many = "1 webhook" if courier.unsent == 1 else f"{courier.unsent} webhooks"
                self.stdout.write(f"{many}: not sent, install {EXTRA}.")
            if paused:
                self.stdout.write(paused)
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            # The messages in hand are finished; nothing more is claimed.
            signal.signal(name, lambda *_: stop.set())
        self.stdout.write("Sending queued messages. Ctrl-C ends it after those in hand.")
        # Beside the mails, so that a slow receiver delays none.
        webhooks = threading.Thread(target=run_beside, args=(stop,), name="authmail-webhooks")
        webhooks.start()
        try:
            Drain(options["connections"], priority=priority, on_trouble=self._trouble).run(stop)
        finally:
            stop.set()
            webhooks.join()
        self.stdout.write("Stopped; nothing is left in the middle.")

    def _trouble(self, error: Error) -> None:
        # It may be restarting. Missing tables, however, are not going to come back by themselves.
        if (lack := database.lacking(error)) is not None:
            raise lack
        self.stderr.write(database.told(error))


def _what_became(
    total: int, left: Counter[tuple[str, str]], settled: Counter[tuple[str, str]]
) -> Iterator[str]:
    """Say what became of mails that were due, with a hand-over or without one."""
    if total:
        ends = _ends(left)
        if lost := total - left.total():
            ends.append(f"{lost} not recorded, see the log")
        yield f"{_mails(total)} handled: {', '.join(ends)}."
    if settled:
        many = _mails(settled.total())
        yield f"{many} settled without a hand-over: {', '.join(_ends(settled))}."
    if not (total or settled):
        yield "Nothing was due."


def _ends(counts: Counter[tuple[str, str]]) -> list[str]:
    return [
        f"{count} {'queued again' if state == State.QUEUED else state}"
        # One that is expired has that for its reason.
        f"{f' ({reason})' if reason not in ('', state) else ''}"
        for (state, reason), count in sorted(counts.items())
    ]


def _mails(count: int) -> str:
    return f"{count} {'mail' if count == 1 else 'mails'}"


def _what_was_told(left: Counter[str]) -> str:
    """Say what became of webhooks; empty where none was due."""
    words = {"pending": "to be tried again"}
    ends = [f"{count} {words.get(state, state)}" for state, count in sorted(left.items())]
    total = left.total()
    return f"{total} {'webhook' if total == 1 else 'webhooks'}: {', '.join(ends)}." if ends else ""


def _paused() -> str:
    """Say which mailers are paused; empty where none is."""
    statuses = carriers.statuses()
    if any(status.all_paused for status in statuses):
        return "Paused: every mailer. Resume by: manage.py authmail_resume"
    names = [status.name for status in statuses if status.paused_at is not None]
    commands = " and ".join(f"manage.py authmail_resume {name}" for name in names)
    return f"Paused: {', '.join(names)}. Resume by: {commands}" if names else ""


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("must be 1 or more")
    return number
