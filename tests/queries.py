"""The statements that a test has captured, and how they went to the database."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

_BOUND = re.compile(r'^F\t\d+\tBind\t "[^"]*" "([^"]+)"')
_TOLD = re.compile(r'^F\t\d+\t(Query|Parse)\t (?:"([^"]*)" )?"([A-Z]+ .*|[A-Z]+)"')


def statements_of(captured: CaptureQueriesContext) -> list[str]:
    """Return the statements in their order."""
    return [str(query["sql"]) for query in captured.captured_queries]


@contextmanager
def ways() -> Iterator[list[list[str]]]:
    """Give what will have the statements of each way to the database and back, as it was asked.

    Where nothing can go together, each statement is a way, and what begins and ends a transaction
    is not among them.
    """
    made: list[list[str]] = []
    if not go_together():
        with CaptureQueriesContext(connection) as captured:
            yield made
        made += [
            [sql]
            for sql in statements_of(captured)
            if sql.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")
        ]
        return
    from psycopg.pq import Trace

    connection.ensure_connection()
    raw: Any = connection.connection
    with tempfile.TemporaryFile("w+b") as file:
        raw.pgconn.trace(file.fileno())
        raw.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield made
        finally:
            raw.pgconn.untrace()
        file.seek(0)
        traced = file.read().decode(errors="replace")
    prepared = dict(raw.execute("SELECT name, statement FROM pg_prepared_statements").fetchall())
    made += _parted(traced, prepared)


def _parted(traced: str, prepared: dict[str, str]) -> Iterator[list[str]]:
    """Read what libpq wrote down: F is what went, and a Query or a Sync ends a way."""
    way: list[str] = []
    for line in traced.splitlines():
        if bound := _BOUND.match(line):
            way.append(prepared[bound[1]])
        elif (told := _TOLD.match(line)) and not told[2]:
            way.append(told[3])
        if re.match(r"F\t\d+\t(Query|Sync)", line):
            yield way
            way = []


def driver() -> str:
    """Return the name of the module that talks to the database of this run."""
    wrapper: Any = connection  # its stubs do not know the driver
    return str(wrapper.Database.__name__)


def server_binds() -> bool:
    """Tell whether values go to the database of this run beside the statement, not in it."""
    return getattr(connection.features, "uses_server_side_binding", False)


def go_together() -> bool:
    """Tell whether several statements are one way to the database of this run."""
    return driver() == "psycopg"
