"""Messages and suppressed addresses for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django_authmail.clock import db_now
from django_authmail.hashes import address_hash
from django_authmail.message import AuthMessage
from django_authmail.models import Suppression

CODE = "CANARY-482901"


def auth_message(**changes: Any) -> AuthMessage:
    values: dict[str, Any] = {
        "to": ("hong@example.com",),
        "subject": "Your code",
        "text_body": f"Your code: {CODE}\n",
        "html_body": f"<p>{CODE}</p>",
        "from_email": "no-reply@example.org",
        "kind": "otp",
        "locale": "en",
        "expires_in": timedelta(minutes=5),
    }
    return AuthMessage(**values | changes)


def suppress(address: str, *, owner: str = "site", **changes: Any) -> Suppression:
    now = db_now("default")
    values = {"created_at": now, "ends_at": now + timedelta(days=1)}
    return Suppression.objects.create(
        owner=owner,
        address_hash=address_hash(address),
        masked="h***@example.com",
        reason="bad_recipient",
        **values | changes,
    )
