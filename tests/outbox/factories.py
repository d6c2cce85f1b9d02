"""Messages for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django_authmail.message import AuthMessage

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
