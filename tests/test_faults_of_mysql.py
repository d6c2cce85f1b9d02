"""What may be shown of what MySQL and MariaDB say. Collected where the driver is (conftest.py)."""

from __future__ import annotations

import MySQLdb
import pytest
from django.db import DatabaseError

from django_authmail import faults
from tests.test_faults import HONG, PASSWORD, refused


def test_mysql_that_is_not_there_is_named_with_what_it_said() -> None:
    fault = faults.said(refused("MySQLdb", database="shop", password=PASSWORD))
    assert fault is not None
    assert fault.is_away
    assert fault.text.startswith("2002 Can't connect to server on '127.0.0.1'")
    assert PASSWORD not in fault.text


@pytest.mark.parametrize(
    ("code", "text", "shown", "is_away"),
    [
        (1040, "Too many connections", "1040 Too many connections", True),
        (2013, "Lost connection to server", "2013 Lost connection to server", True),
        (1213, "Deadlock found", "1213 Deadlock found", False),
        (1062, f"Duplicate entry '{HONG}' for key 'PRIMARY'", "error 1062", False),
    ],
)
def test_mysql_is_quoted_where_it_shows_no_value(
    code: int, text: str, shown: str, is_away: bool
) -> None:
    error = DatabaseError(code, text)
    error.__cause__ = MySQLdb.OperationalError(code, text)
    assert faults.said(error) == (shown, is_away)
