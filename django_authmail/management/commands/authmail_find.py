"""Lists all mail to an address."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.management import findings
from django_authmail.management.tables import explained_when_missing


class Command(BaseCommand):
    help = (
        "List what is recorded about an address: mails to it, newest first, with why they did not "
        "arrive and what became of webhooks about them, suppressions, and limits."
    )

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
                to_hashes = findings.to_hashes(address)
                facts = {
                    "messages": findings.messages(
                        address,
                        all_spellings=options["all_spellings"],
                        limit=max(1, options["limit"]),
                    ),
                    "suppressions": findings.suppressions(address),
                    "counters": findings.counters(address),
                }
        except (InvalidAddress, UnsafeHeader) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            answer = {**facts, "to_hash": to_hashes}
            self.stdout.write(json.dumps(answer, indent=2, ensure_ascii=False))
            return
        for fact in facts["messages"]:
            for line in _about_message(fact):
                self.stdout.write(line)
        for fact in facts["suppressions"]:
            self.stdout.write(
                f"suppressed for {_owner(fact)} until {fact['ends_at']}: {fact['reason']}"
            )
        for fact in facts["counters"]:
            self.stdout.write(_about_counter(fact))
        if not any(facts.values()):
            self.stderr.write("Nothing is recorded about this address.")
        self.stdout.write(f"In the log: to_hash={' or '.join(to_hashes)}")
        self.stdout.write(
            "Requests that were refused (409, 429, 503) are in the log only, as api.refused: look "
            "there for this to_hash."
        )


def _about_message(fact: dict[str, Any]) -> Iterator[str]:
    names = ("id", "created_at", "kind", "state", "reason")
    yield _line(*(fact[name] for name in names), fact["is_test"] and "test", _owner(fact))
    yield f"  Message-ID  {fact['message_id']}"
    for each in fact["recipients"]:
        yield f"  recipient  {_line(*each.values())}"
    last = fact["last_attempt"]
    if last is not None and last["reason"] not in [each["reason"] for each in fact["recipients"]]:
        # Why it waits now is not what its mail server said.
        yield f"  last attempt  {_line(*last.values())}"
    if fact["next_attempt"] is not None:
        yield f"  next attempt  {fact['next_attempt']}"
    yield f"  {fact['meaning']}"
    for each in fact["waits_for"]:
        yield f"  {each['meaning']}"
    for hint in fact["what_to_do"].values():
        yield "  " + _("What to do: %(hint)s") % {"hint": hint}
    for each in fact["webhooks"]:
        yield f"  webhook  {_line(*each.values())}"


def _about_counter(fact: dict[str, Any]) -> str:
    counted = "counted {used} of {kind} in {seconds} s".format(**fact)
    if fact["is_reached"]:
        return f"{counted}: limit reached, refused until {fact['ends_at']}"
    return f"{counted} until {fact['ends_at']}"


def _owner(fact: dict[str, Any]) -> str:
    owner, name = fact["owner"], fact["owner_name"]
    return f"{owner}  {name}" if owner.startswith("key:") and name != owner else str(owner)


def _line(*values: Any) -> str:
    return "  ".join(str(value) for value in values if value)
