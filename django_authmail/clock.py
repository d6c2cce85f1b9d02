"""The one clock: the database's, in UTC.

Hosts disagree about the time, and a server whose zone is KST answers NOW() nine hours off, so
due times, leases and expiry are all compared with what `db_now` returns.
"""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import connections

# Statement time, not transaction time: a claim in a long transaction must not see an old clock.
_QUERIES = {
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "postgresql": "SELECT clock_timestamp() AT TIME ZONE 'UTC'",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "oracle": "SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM DUAL",
}


def db_now(using: str) -> datetime:
    """Return the database's current time, aware, in UTC."""
    connection = connections[using]
    with connection.cursor() as cursor:
        cursor.execute(_QUERIES[connection.vendor])
        value = cursor.fetchone()[0]
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return value.replace(tzinfo=UTC)  # type: ignore[no-any-return] # a cursor's row is untyped
