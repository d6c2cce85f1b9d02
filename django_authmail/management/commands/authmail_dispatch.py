"""Send queued messages without Celery or a broker."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from django_authmail.drain import Drain
from django_authmail.management.tables import explained_when_missing
from django_authmail.models import Priority

#: As many as an account's pool keeps by default.
CONNECTIONS = 4


class Command(BaseCommand):
    help = "Send queued messages; run one or more of these instead of Celery workers."

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
            with explained_when_missing():
                drain = Drain(options["connections"], priority=priority)
                total = drain.run(stop, until_empty=True)
            self.stdout.write(f"{total} messages handled")
            return
        for name in (signal.SIGTERM, signal.SIGINT):
            # The messages in hand are finished; nothing more is claimed.
            signal.signal(name, lambda *_: stop.set())
        self.stdout.write("Sending queued messages. Ctrl-C ends it after those in hand.")
        Drain(options["connections"], priority=priority, on_trouble=self._trouble).run(stop)
        self.stdout.write("Stopped; nothing is left in the middle.")

    def _trouble(self, error: DatabaseError) -> None:
        # It may be restarting. Missing tables, however, are not going to come back by themselves.
        try:
            with explained_when_missing():
                raise error
        except DatabaseError as again:
            self.stderr.write(f"The database does not answer: {again}".strip())


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ArgumentTypeError("must be 1 or more")
    return number
