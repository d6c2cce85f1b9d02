"""Seals open mail again, by the newest key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from django_authmail.management.database import DatabaseCommand
from django_authmail.outbox import resealing
from django_authmail.outbox.resealing import Resealed


class Command(DatabaseCommand):
    help = (
        "Seal the content of open mail, the answers that are kept for repeats of requests, and the "
        "secrets and contents of webhooks by the newest key of AUTHMAIL_SEALING_KEYS, or "
        "SECRET_KEY. Afterwards the older keys can be removed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        tell = options["verbosity"] > 1
        mails = self._watched(resealing.reseal_open(), tell=tell)
        answers = self._watched(resealing.reseal_answers(), tell=tell)
        webhooks = self._watched(resealing.reseal_webhooks(), tell=tell)
        self.stdout.write(f"{mails.written} of {mails.seen} open mails were sealed again.")
        if answers.seen:
            text = f"{answers.written} of {answers.seen} kept answers were sealed again."
            self.stdout.write(text)
        if webhooks.seen:
            text = f"{webhooks.written} of {webhooks.seen} values of webhooks were sealed again."
            self.stdout.write(text)
        if webhooks.broken:
            shown = ", ".join(map(str, webhooks.broken[:10]))
            self.stderr.write(
                f"Of webhooks, {len(webhooks.broken)} cannot be opened by any key. Secrets of an "
                f"endpoint are to be rotated; the rest fails when it is due: {shown}"
            )
        if mails.broken:
            shown = ", ".join(map(str, mails.broken[:10]))
            raise CommandError(
                f"{len(mails.broken)} cannot be opened by any key, and will be failed: {shown}"
            )

    def _watched(self, steps: Iterator[Resealed], *, tell: bool) -> Resealed:
        state = Resealed()
        for state in steps:
            if tell:
                self.stderr.write(f"{state.seen} seen, {state.written} sealed again")
        return state
