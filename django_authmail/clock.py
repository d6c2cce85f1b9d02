"""The one clock: the database's, in UTC.

Hosts disagree about the time, and a server whose zone is KST answers NOW() nine hours off, so
due times, leases and expiry are all compared with what `db_now` returns.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import connections

# Not the time of the transaction: a claim in a long one must not see an old clock. To PostgreSQL,
# the time of the statement is that of all which came along with it, before any of them waited.
_CLOCKS = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "postgresql": "clock_timestamp()",
    "mysql": "UTC_TIMESTAMP(6)",
    "oracle": "SYS_EXTRACT_UTC(SYSTIMESTAMP)",
}


def db_now(using: str) -> datetime:
    """Return the database's current time, aware, in UTC."""
    with connections[using].cursor() as cursor:
        cursor.execute(question(using))
        return reading(cursor.fetchone()[0])


def question(using: str) -> str:
    """Return the statement that asks for the current time; `reading` understands the answer."""
    vendor = connections[using].vendor
    source = " FROM DUAL" if vendor == "oracle" else ""
    return f"SELECT {_CLOCKS[vendor]}{source}"


def reading(value: Any) -> datetime:  # each driver has its own
    """Return the time that a driver gave as the answer to `question`, aware, in UTC."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
