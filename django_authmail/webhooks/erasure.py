"""What webhooks hold about an address, taken out of them when its owner asks for that.

A message for that address alone takes its webhooks along. This is for those that others got too.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection
from typing import Any

from django_authmail.exceptions import SealBroken
from django_authmail.hashes import address_hashes
from django_authmail.models import WebhookDelivery
from django_authmail.sealing import seal, unseal


def forget(messages: Collection[uuid.UUID], hashes: Collection[str], using: str) -> None:
    """Take the recipients with these hashes out of the webhooks of `messages`.

    What was delivered loses its payload, and cannot be replayed; what is on its way says less.
    """
    rows = WebhookDelivery.objects.using(using).filter(
        message_id__in=messages, sealed_payload__isnull=False
    )
    rows.filter(due_at__isnull=True).update(sealed_payload=None)
    for row in rows.filter(due_at__isnull=False).only("id", "sealed_payload"):
        old = bytes(row.sealed_payload or b"")
        try:
            new = seal(_without(json.loads(unseal(old)), set(hashes)))
        except SealBroken:
            continue  # nobody reads it: it fails when a courier comes to it
        rows.filter(pk=row.pk, due_at__isnull=False).update(sealed_payload=new)


def _without(body: dict[str, Any], hashes: set[str]) -> bytes:
    for recipient in body.get("data", {}).get("recipients", ()):
        if recipient["hash"] in hashes:
            recipient["hash"] = ""
    if "refused" in body:
        body["refused"] = [a for a in body["refused"] if not hashes.intersection(address_hashes(a))]
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
