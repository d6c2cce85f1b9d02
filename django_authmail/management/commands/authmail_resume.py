"""Send again what `authmail_pause` has stopped."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django_authmail.management.database import DatabaseCommand
from django_authmail.management.naming import add_carrier_argument, known_carrier, resume_by
from django_authmail.outbox import carriers


class Command(DatabaseCommand):
    help = "End a pause: what waited is due at once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_carrier_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        name = known_carrier(options["carrier"])
        changed = carriers.resume(name)
        was = "Resumed" if changed else "Not paused"
        self.stdout.write(f"{was}: {name or 'every mailer'}.")
        if name and changed and carriers.is_paused(name):
            self.stdout.write("Every mailer is paused as well: manage.py authmail_resume")
        if not name:
            for status in carriers.statuses():
                if status.paused_at is not None:
                    self.stdout.write(f"Still paused: {status.name}. {resume_by(status.name)}")
