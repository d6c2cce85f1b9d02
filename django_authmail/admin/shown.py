"""How rows, states, times and replies look in the admin."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

EMPTY = "-"


class ReadOnly:
    """Rows that people look at and nobody edits."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Titled:
    """A row whose str() is for people who read the admin in their own language."""

    def __init__(self, row: models.Model, title: str) -> None:
        self._row = row
        self._title = title

    def __str__(self) -> str:
        return self._title

    def __getattr__(self, name: str) -> Any:  # whatever the templates ask of a row
        return getattr(self._row, name)


def badge(state: str, label: str) -> SafeString:
    return format_html(
        '<span class="authmail-state authmail-state-{}">{}</span>', state.replace("_", "-"), label
    )


def when(value: datetime | None) -> str:
    # With seconds, and in the one order that nobody reads as another: logs are next to it.
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}" if value is not None else EMPTY


def reply(code: int | None, enhanced: str, text: str) -> str:
    return " ".join(filter(None, (str(code or ""), enhanced, text))) or EMPTY
