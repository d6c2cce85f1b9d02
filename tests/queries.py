"""The statements that a test has captured, one by one: several may go to the database together."""

from __future__ import annotations

import re
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

_NEXT = re.compile(r"; (?=(?:SELECT|INSERT|UPDATE|DELETE|SET)\b)")


def trips_of(captured: CaptureQueriesContext) -> list[list[str]]:
    """Return the statements of each way to the database and back."""
    return [_NEXT.split(str(query["sql"])) for query in captured.captured_queries]


def statements_of(captured: CaptureQueriesContext) -> list[str]:
    """Return the statements in their order."""
    return [statement for trip in trips_of(captured) for statement in trip]


def driver() -> str:
    """Return the name of the module that talks to the database of this run."""
    wrapper: Any = connection  # its stubs do not know the driver
    return str(wrapper.Database.__name__)


def server_binds() -> bool:
    """Tell whether values go to the database of this run beside the statement, not in it."""
    return getattr(connection.features, "uses_server_side_binding", False)


def go_together() -> bool:
    """Tell whether several statements are one way to the database of this run."""
    return driver() == "psycopg" and not server_binds()
