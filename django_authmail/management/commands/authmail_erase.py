"""Deletes all that is recorded about an address."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.management.database import DatabaseCommand
from django_authmail.outbox import erasure


class Command(DatabaseCommand):
    help = (
        "Delete all that is recorded about an address, and end what is still to be sent to it "
        "(GDPR article 17; 개인정보 보호법 제36조)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address")
        parser.add_argument(
            "--all-spellings",
            action="store_true",
            help="the same mailbox in any case and with any +tag; reads the whole table",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            erased = erasure.erase(options["address"], all_spellings=options["all_spellings"])
        except (InvalidAddress, UnsafeHeader) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Mails to this address alone, deleted: {erased.messages}")
        self.stdout.write(f"Mails to others too, without it now: {erased.shared}")
        self.stdout.write(
            f"Of the mails in both lines, ended before they were sent to it: {erased.ended}"
        )
        self.stdout.write(f"Suppressions deleted: {erased.suppressions}")
        self.stdout.write(f"Counters deleted: {erased.counters}")
        if erased.busy:
            are, were = ("mail is", "was") if erased.busy == 1 else ("mails are", "were")
            raise CommandError(
                f"{erased.busy} {are} being handed over at this moment and {were} left. "
                "Run this again in a minute."
            )
