"""What the samples of mails show: nobody, and nothing that opens anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

SAMPLE_CODE = "482901"
SAMPLE_TOKEN = "sample-8Jr2VxkQ0mZtWn5cYbEaLg"  # noqa: S105 - it opens nothing

_NAMES = {"ko": "홍길동", "en": "Alex Morgan"}
_PLACES = {"ko": "서울, 대한민국", "en": "Seoul, South Korea"}
_DEVICES = {"ko": "Windows의 Chrome", "en": "Chrome on Windows"}


def sample_name(locale: str) -> str:
    """Return a name as they are in this language."""
    return _NAMES[locale]


def sample_origin(locale: str) -> dict[str, Any]:
    """Return when, where and by what a sample was asked for."""
    return {
        "at": datetime(2026, 11, 26, 5, 5, tzinfo=UTC),
        "place": _PLACES[locale],
        "device": _DEVICES[locale],
    }
