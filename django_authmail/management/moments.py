"""Points in time on a command line: as people write them, and as programs read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

_AGO = re.compile("([0-9]{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime, *, option: str) -> datetime:
    """Return a time that is written as 2026-11-26, 2026-11-26T13:30, or 90m, 24h, 7d (before now).

    Without an offset it is in the project's time zone. Raises CommandError, which names `option`.
    """
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = parse_datetime(text)
        if found is None and (day := parse_date(text)) is not None:
            found = datetime.combine(day, time.min)
    except ValueError:  # well formed, and no day of the calendar
        found = None
    if found is None:
        raise CommandError(
            f"{option}: {text!r} is no time. Write 2026-11-26, 2026-11-26T13:30 or "
            "2026-11-26T13:30+09:00; or 90m, 24h, 7d for so long ago."
        )
    return found if timezone.is_aware(found) else timezone.make_aware(found)


def iso(value: datetime | None) -> str | None:
    """Return a time in ISO 8601, in UTC: a row's own zone is that of DATABASES."""
    return None if value is None else value.astimezone(UTC).isoformat()
