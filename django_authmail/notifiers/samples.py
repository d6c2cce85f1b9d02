"""What the samples of mails show: nobody, and nothing that opens anything."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

SAMPLE_CODE = "482901"
SAMPLE_TOKEN = "sample-8Jr2VxkQ0mZtWn5cYbEaLg"  # noqa: S105 - it opens nothing

#: A moment as good as any.
SAMPLE_MOMENT = datetime(2026, 11, 26, 5, 5, tzinfo=UTC)


def sample_name(locale: str) -> str:
    """Return a name as they are in this language."""
    return in_locale(locale, ko="홍길동", en="Alex Morgan")


def sample_origin(locale: str) -> dict[str, Any]:
    """Return when, where and by what a sample was asked for."""
    return {
        "at": SAMPLE_MOMENT,
        "place": in_locale(locale, ko="서울, 대한민국", en="Seoul, South Korea"),
        "device": in_locale(locale, ko="Windows의 Chrome", en="Chrome on Windows"),
    }


def in_locale(locale: str, **texts: str) -> str:
    """Return the one of `texts` that is in this language."""
    return texts[locale]
