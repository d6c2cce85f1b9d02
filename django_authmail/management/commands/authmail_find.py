"""Lists all mail to an address."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.management import findings
from django_authmail.management.database import DatabaseCommand
from django_authmail.notifiers import registry
from django_authmail.notifiers.values import lifetime_in_words


class Command(DatabaseCommand):
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
            words = {"owner": _owner(fact), "time": fact["ends_at"], "reason": fact["reason"]}
            self.stdout.write(_("suppressed for %(owner)s until %(time)s: %(reason)s") % words)
        for fact in facts["counters"]:
            self.stdout.write(_about_counter(fact))
        if not any(facts.values()):
            self.stdout.write(_("Nothing is recorded about this address."))
        hashes = " / ".join(f"to_hash={each}" for each in to_hashes)
        self.stdout.write(_("In the log: %(hashes)s") % {"hashes": hashes})
        self.stdout.write(
            _(
                "Requests that were refused (409, 429, 503) are in the log only, as api.refused: "
                "look there for this to_hash."
            )
        )


def _about_message(fact: dict[str, Any]) -> Iterator[str]:
    names = ("id", "created_at", "kind", "state", "reason")
    yield _line(*(fact[name] for name in names), fact["is_test"] and "test", _owner(fact))
    yield f"  Message-ID  {fact['message_id']}"
    for each in fact["recipients"]:
        yield _line(f"  {_('recipient')}", *each.values())
    last = fact["last_attempt"]
    if last is not None and last["reason"] not in [each["reason"] for each in fact["recipients"]]:
        # Why it waits now is not what its mail server said.
        yield _line(f"  {_('last attempt')}", *last.values())
    if fact["next_attempt"] is not None:
        yield f"  {_('next attempt')}  {fact['next_attempt']}"
    yield f"  {fact['meaning']}"
    for each in fact["waits_for"]:
        yield f"  {each['meaning']}"
    for hint in fact["what_to_do"].values():
        yield "  " + _("What to do: %(hint)s") % {"hint": hint}
    for each in fact["webhooks"]:
        yield _line(f"  {_('webhook')}", *each.values())


def _about_counter(fact: dict[str, Any]) -> str:
    most = fact["most"]
    words = {
        "kind": _kind_in_words(fact["kind"]),
        "time": lifetime_in_words(timedelta(seconds=fact["seconds"])),
        "used": fact["used"],
        "most": most,
        "end": fact["ends_at"],
    }
    if most is None:
        counted = ngettext(
            "%(kind)s, to this mailbox within %(time)s: %(used)s mail. No setting limits it any "
            "more.",
            "%(kind)s, to this mailbox within %(time)s: %(used)s mails. No setting limits it any "
            "more.",
            fact["used"],
        )
        return counted % words
    counted = ngettext(
        "%(kind)s, to this mailbox within %(time)s: %(used)s of %(most)s mail.",
        "%(kind)s, to this mailbox within %(time)s: %(used)s of %(most)s mails.",
        most,
    )
    if fact["is_reached"]:
        counted += " " + _("Limit reached: more are refused until %(end)s.")
    elif fact["used"]:
        counted += " " + _("The window ends at %(end)s.")
    return counted % words


def _kind_in_words(kind: str) -> str:
    """Return a kind as limits know it, in words: mails of keys for tests are counted apart."""
    name = kind.removeprefix("test:")
    try:
        description = str(registry.get(name).description)
    except LookupError:
        description = ""
    words = {"description": description, "kind": name}
    if description:
        said = _("%(description)s (%(kind)s)") % words
    else:
        said = _("Mails of the kind %(kind)s") % words
    return said if name == kind else _("%(kind)s, by keys for tests") % {"kind": said}


def _owner(fact: dict[str, Any]) -> str:
    owner, name = fact["owner"], fact["owner_name"]
    return f"{owner}  {name}" if owner.startswith("key:") and name != owner else str(owner)


def _line(*values: Any) -> str:
    return "  ".join(str(value) for value in values if value)
