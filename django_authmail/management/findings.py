"""What is recorded about an address, as facts in the shape of JSON; times in the project's zone.

Addresses are masked, as they are stored. Texts are in the language that is active.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime
from typing import Any

from django.db import router
from django.utils import timezone

from django_authmail import hints
from django_authmail.clock import db_now
from django_authmail.guards import envelope_address
from django_authmail.hashes import log_hashes
from django_authmail.keyring.owners import owner_name
from django_authmail.models import Attempt, Counter, Message, Recipient, State, WebhookDelivery
from django_authmail.outbox import erasure, limits, waiting
from django_authmail.outbox.meanings import meaning
from django_authmail.outbox.waiting import Obstacle
from django_authmail.outcomes import Reply
from django_authmail.webhooks.deliveries import webhook_id

#: What is said of each message, by its id.
_ByMessage = dict[uuid.UUID, list[dict[str, Any]]]


def to_hashes(address: str) -> list[str]:
    """Return what log lines may have as the `to_hash` of `address`, the likeliest first."""
    bare = envelope_address(address, "address")
    return list(dict.fromkeys(each for s in (bare, bare.lower()) for each in log_hashes(s)))


def messages(address: str, *, all_spellings: bool, limit: int) -> list[dict[str, Any]]:
    """Return the newest `limit` messages to `address`: what became of each, why, and what to do."""
    rows = list(erasure.messages_to(address, all_spellings=all_spellings)[:limit])
    names = {owner: owner_name(owner) for owner in {row.owner for row in rows}}
    recipients = _recipients(address, rows, all_spellings=all_spellings)
    attempts = _last_attempts(rows)
    obstacles = waiting.obstacles(rows)
    webhooks = _webhooks(rows)
    now = db_now(router.db_for_write(Message))
    return [
        {
            "id": str(row.id),
            "created_at": when(row.created_at),
            "kind": row.kind,
            "state": str(row.state),
            "reason": row.reason,
            "is_test": row.is_test,
            "owner": row.owner,
            "owner_name": names[row.owner],
            "message_id": row.message_id,
            "recipients": recipients[row.pk],
            "last_attempt": attempts.get(row.pk),
            "next_attempt": when(row.due_at) if row.due_at and row.state == State.QUEUED else None,
            "meaning": meaning(row, now),
            "waits_for": [_obstacle(each) for each in obstacles.get(row.pk, [])],
            "what_to_do": _what_to_do(
                # What keeps its carriers says more than that none takes it.
                [each.reason for each in obstacles.get(row.pk, [])] or [row.reason],
                recipients[row.pk],
                attempts.get(row.pk),
            ),
            "webhooks": webhooks[row.pk],
        }
        for row in rows
    ]


def suppressions(address: str) -> list[dict[str, Any]]:
    """Return for whom `address` is suppressed, why and until when."""
    return [
        {
            "owner": row.owner,
            "owner_name": owner_name(row.owner),
            "reason": row.reason,
            "created_at": when(row.created_at),
            "ends_at": when(row.ends_at),
        }
        for row in erasure.suppressions_of(address)
    ]


def counters(address: str) -> list[dict[str, Any]]:
    """Return what was counted about the mailbox of `address`, and where the limit is reached."""
    now = db_now(router.db_for_write(Counter))
    found = []
    for row in erasure.counters_of(address):
        kind, seconds = limits.counted(row.key)
        most = limits.most(row.key)
        # Once its window has ended, the row counts from 0 again.
        is_over = row.ends_at <= now
        used = 0 if is_over else row.used
        found.append(
            {
                "kind": kind,
                "used": used,
                "most": most,
                "seconds": int(seconds),
                "ends_at": when(row.ends_at),
                "is_reached": most is not None and used >= most and not is_over,
            }
        )
    return found


def when(value: datetime) -> str:
    return timezone.localtime(value).isoformat(timespec="seconds")


def _recipients(address: str, rows: Collection[Message], *, all_spellings: bool) -> _ByMessage:
    """Return what the server said of this recipient of each message, and of no other."""
    found: _ByMessage = {row.pk: [] for row in rows}
    theirs = erasure.recipients_of(address, all_spellings=all_spellings)
    for each in theirs.filter(message_id__in=list(found)).order_by("position"):
        found[each.message_id].append(
            {"state": str(each.state), "reason": each.reason, "reply": _reply(each)}
        )
    return found


def _last_attempts(rows: Collection[Message]) -> dict[uuid.UUID, dict[str, Any]]:
    attempts = Attempt.objects.using(router.db_for_write(Attempt))
    found = attempts.filter(message_id__in=[row.pk for row in rows]).order_by("number")
    return {
        each.message_id: {
            "number": each.number,
            "started_at": when(each.started_at),
            "carrier": each.carrier,
            "result": str(each.result),
            "reason": each.reason,
            "reply": _reply(each),
        }
        for each in found
    }


def _obstacle(each: Obstacle) -> dict[str, Any]:
    return {
        "carrier": each.carrier,
        "reason": str(each.reason),
        "failures": each.failures,
        "since": None if each.since is None else when(each.since),
        "until": None if each.until is None else when(each.until),
        "meaning": each.sentence(when),
    }


def _what_to_do(
    own: list[str], recipients: list[dict[str, Any]], attempt: dict[str, Any] | None
) -> dict[str, str]:
    """Return by reason what to do about it: the message's own, and those that led to it."""
    others = [*recipients, attempt] if attempt is not None else recipients
    reasons = dict.fromkeys(str(each) for each in [*own, *(each["reason"] for each in others)])
    return {reason: str(hint) for reason in reasons if (hint := hints.hint(reason))}


def _reply(row: Recipient | Attempt) -> str:
    if row.reply_code is None:
        return ""
    return str(Reply(code=row.reply_code, enhanced=row.reply_enhanced, text=row.reply_text))


def _webhooks(rows: Collection[Message]) -> _ByMessage:
    """Return what became of the webhooks about each message, oldest first; never their URLs."""
    found: _ByMessage = {row.pk: [] for row in rows}
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
