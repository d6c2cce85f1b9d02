"""Deletes what has been kept long enough."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django_authmail.management.database import DatabaseCommand
from django_authmail.outbox import retention


class Command(DatabaseCommand):
    help = (
        "Delete attempts, webhooks, final messages, counters, suppressions and idempotency records "
        "that have been kept long enough (AUTHMAIL_RETAIN_ATTEMPTS, AUTHMAIL_RETAIN_MESSAGES, "
        "AUTHMAIL_IDEMPOTENCY_TTL_SECONDS). Celery beat does it bit by bit; without Celery, run "
        "this once a day."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="say what would be deleted")
        parser.add_argument(
            "--batch",
            type=int,
            default=retention.BATCH,
            metavar="N",
            help="rows for each transaction (%(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self.stdout.write(f"Would delete: {_listed(retention.purgeable())}")
            return
        done: Counter[str] = Counter()
        for done in retention.purge(batch=max(1, options["batch"])):
            if options["verbosity"] > 1:
                self.stderr.write(_listed(done))
        self.stdout.write(f"Deleted: {_listed(done)}")


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing"
