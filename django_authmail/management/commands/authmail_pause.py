"""Stop sending, by one mailer or by all, until `authmail_resume`."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_authmail.management.database import DatabaseCommand
from django_authmail.management.naming import add_carrier_argument, known_carrier, resume_by
from django_authmail.outbox import carriers


class Command(DatabaseCommand):
    help = "Stop sending: mail is queued, sending now answers 503, codes expire in their time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_carrier_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = known_carrier(options["carrier"])
        changed = carriers.pause(name)
        was = "Paused" if changed else "Already paused"
        self.stdout.write(f"{was}: {name or 'every mailer'}. {resume_by(name)}")
