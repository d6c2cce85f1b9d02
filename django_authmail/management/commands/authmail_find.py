"""Lists all mail to an address."""

from __future__ import annotations

import json
import uuid
from argparse import ArgumentParser
from collections.abc import Collection
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import router

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.management.tables import explained_when_missing
from django_authmail.models import Counter, Message, WebhookDelivery
from django_authmail.outbox import erasure, limits
from django_authmail.webhooks.deliveries import webhook_id


class Command(BaseCommand):
    help = (
        "List what is recorded about an address: mails to it, newest first, with what became of "
        "webhooks about them, and suppressions."
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
                found = erasure.messages_to(address, all_spellings=options["all_spellings"])
                rows = list(found[: max(1, options["limit"])])
                webhooks = _webhooks(rows)
                messages: list[dict[str, Any]] = [
                    {
                        "id": str(row.id),
                        "created_at": row.created_at.isoformat(timespec="seconds"),
                        "kind": row.kind,
                        "state": str(row.state),
                        "reason": row.reason,
                        "owner": row.owner,
                        "webhooks": webhooks[row.pk],
                    }
                    for row in rows
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
            told = fact.pop("webhooks")
            self.stdout.write(_line(fact))
            for each in told:
                self.stdout.write(f"  webhook  {_line(each)}")
        for fact in suppressions:
            self.stdout.write("suppressed for {owner} until {ends_at}: {reason}".format(**fact))
        for count in counters:
            self.stdout.write(
                "counted {used} of {kind} in {seconds} s until {ends_at}".format(**count)
            )
        if not (messages or suppressions or counters):
            self.stderr.write("Nothing is recorded about this address.")


def _line(fact: dict[str, Any]) -> str:
    return "  ".join(str(value) for value in fact.values() if value)


def _webhooks(rows: Collection[Message]) -> dict[uuid.UUID, list[dict[str, Any]]]:
    """Return what became of the webhooks about each message, oldest first; never their URLs."""
    found: dict[uuid.UUID, list[dict[str, Any]]] = {row.pk: [] for row in rows}
    using = router.db_for_write(WebhookDelivery)
    deliveries = WebhookDelivery.objects.using(using).filter(message_id__in=list(found))
    for each in deliveries.defer("sealed_target", "sealed_payload").order_by("created_at", "pk"):
        if each.message_id is not None:
            found[each.message_id].append(
                {
                    "webhook_id": webhook_id(each.pk),
                    "type": each.type,
                    "host": each.host,
                    "endpoint": None if each.endpoint_id is None else str(each.endpoint_id),
                    "state": str(each.state),
                    "attempts": each.attempt_count,
                    "status_code": each.status_code,
                    "reason": each.reason,
                }
            )
    return found


def _counted(row: Counter) -> dict[str, Any]:
    kind, seconds = limits.counted(row.key)
    ends_at = row.ends_at.isoformat(timespec="seconds")
    return {"kind": kind, "used": row.used, "seconds": int(seconds), "ends_at": ends_at}
