"""How states, times and replies look in the admin."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

EMPTY = "-"


def badge(state: str, label: str) -> SafeString:
    return format_html(
        '<span class="authmail-state authmail-state-{}">{}</span>', state.replace("_", "-"), label
    )


def when(value: datetime | None) -> str:
    # With seconds, and in the one order that nobody reads as another: logs are next to it.
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}" if value is not None else EMPTY


def reply(code: int | None, enhanced: str, text: str) -> str:
    return " ".join(filter(None, (str(code or ""), enhanced, text))) or EMPTY
