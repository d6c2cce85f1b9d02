"""Seals open mail again, by the newest key."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_authmail.management.tables import explained_when_missing
from django_authmail.outbox import resealing


class Command(BaseCommand):
    help = (
        "Seal the content of open mail by the newest key of AUTHMAIL_SEALING_KEYS, or SECRET_KEY. "
        "Afterwards the older keys can be removed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        state = resealing.Resealed()
        with explained_when_missing():
            for state in resealing.reseal_open():
                if options["verbosity"] > 1:
                    self.stderr.write(f"{state.seen} seen, {state.written} sealed again")
        self.stdout.write(f"{state.written} of {state.seen} open mails were sealed again.")
        if state.broken:
            shown = ", ".join(map(str, state.broken[:10]))
            raise CommandError(
                f"{len(state.broken)} cannot be opened by any key, and will be failed: {shown}"
            )
