"""Lists all mail to an address."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.management.tables import explained_when_missing
from django_authmail.models import Counter
from django_authmail.outbox import erasure, limits


class Command(BaseCommand):
    help = "List what is recorded about an address: mails to it, newest first, and suppressions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address")
        parser.add_argument(
            "--all-spellings",
            action="store_true",
            help="the same mailbox in any case and with any +tag; reads the whole table",
        )
        parser.add_argument("--limit", type=int, default=50, metavar="N", help="%(default)s mails")
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        address = options["address"]
        try:
            with explained_when_missing():
                found = erasure.messages_to(address, all_spellings=options["all_spellings"])
                messages = [
                    {
                        "id": str(row.id),
                        "created_at": row.created_at.isoformat(timespec="seconds"),
                        "kind": row.kind,
                        "state": str(row.state),
                        "reason": row.reason,
                        "owner": row.owner,
                    }
                    for row in found[: max(1, options["limit"])]
                ]
                suppressions = [
                    {
                        "owner": row.owner,
                        "reason": row.reason,
                        "created_at": row.created_at.isoformat(timespec="seconds"),
                        "ends_at": row.ends_at.isoformat(timespec="seconds"),
                    }
                    for row in erasure.suppressions_of(address)
                ]
                counters = [_counted(row) for row in erasure.counters_of(address)]
        except (InvalidAddress, UnsafeHeader) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            answer = {
                "messages": messages,
                "suppressions": suppressions,
                "counters": counters,
            }
            self.stdout.write(json.dumps(answer, indent=2))
            return
        for fact in messages:
            self.stdout.write("  ".join(value for value in fact.values() if value))
        for fact in suppressions:
            self.stdout.write("suppressed for {owner} until {ends_at}: {reason}".format(**fact))
        for count in counters:
            self.stdout.write(
                "counted {used} of {kind} in {seconds} s until {ends_at}".format(**count)
            )
        if not (messages or suppressions or counters):
            self.stderr.write("Nothing is recorded about this address.")


def _counted(row: Counter) -> dict[str, Any]:
    kind, seconds = limits.counted(row.key)
    ends_at = row.ends_at.isoformat(timespec="seconds")
    return {"kind": kind, "used": row.used, "seconds": int(seconds), "ends_at": ends_at}
