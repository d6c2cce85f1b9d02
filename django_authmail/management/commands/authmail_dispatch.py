"""Send queued messages without Celery or a broker."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections

from django_authmail.dispatch import dispatch_due
from django_authmail.management.tables import explained_when_missing

# A mail is under way within 0.3 s while there is work; an idle queue is asked once a second.
SHORTEST_PAUSE = 0.2
LONGEST_PAUSE = 1.0


class Command(BaseCommand):
    help = "Send queued messages; run one or more of these instead of Celery workers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="send what is due now, then end instead of waiting"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            total = 0
            with explained_when_missing():
                while sent := dispatch_due():
                    total += sent
            self.stdout.write(f"{total} messages handled")
            return
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            # The message in hand is finished; nothing more is claimed.
            signal.signal(name, lambda *_: stop.set())
        self.stdout.write("Sending queued messages. Ctrl-C ends it after the message in hand.")
        self._run(stop)
        self.stdout.write("Stopped; nothing is left in the middle.")

    def _run(self, stop: threading.Event) -> None:
        pause = SHORTEST_PAUSE
        while not stop.is_set():
            close_old_connections()
            try:
                with explained_when_missing():
                    busy = dispatch_due(limit=1) > 0
            except DatabaseError as error:
                # The database is restarting: the rows are safe in it, and so is the loop.
                self.stderr.write(f"The database does not answer: {error}".strip())
                busy, pause = False, LONGEST_PAUSE
            if busy:
                pause = SHORTEST_PAUSE
            else:
                stop.wait(pause)
                pause = min(pause * 1.5, LONGEST_PAUSE)
