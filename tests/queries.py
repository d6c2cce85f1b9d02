"""The statements that a test has captured, one by one: several may go to the database together."""

from __future__ import annotations

import re

from django.test.utils import CaptureQueriesContext

_NEXT = re.compile(r"; (?=(?:SELECT|INSERT|UPDATE|DELETE|SET)\b)")


def trips_of(captured: CaptureQueriesContext) -> list[list[str]]:
    """Return the statements of each way to the database and back."""
    return [_NEXT.split(str(query["sql"])) for query in captured.captured_queries]


def statements_of(captured: CaptureQueriesContext) -> list[str]:
    """Return the statements in their order."""
    return [statement for trip in trips_of(captured) for statement in trip]
