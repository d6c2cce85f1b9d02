"""What may be shown of what a database says, by the errors that real drivers raise."""

from __future__ import annotations

import importlib
import logging
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction
from django.db.utils import DatabaseErrorWrapper

from django_authmail import faults
from django_authmail.logs import describe, describe_apart, named
from django_authmail.models import Carrier
from django_authmail.outbox import carriers
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from tests import smtp_server as servers

HONG = "hong@example.com"
PASSWORD = "a-password-of-the-database"


class Driver:
    """What Django's wrapper of errors asks: the driver's classes."""

    def __init__(self, module: Any) -> None:
        self.Database = module
        self.errors_occurred = False


def refused(driver: str, **options: Any) -> OperationalError:
    """Return the error of Django for a server that is not there."""
    module = importlib.import_module(driver)
    with (
        pytest.raises(OperationalError) as caught,
        DatabaseErrorWrapper(Driver(module)),
    ):
        module.connect(host="127.0.0.1", port=servers.free_port(), user="shop", **options)
    return caught.value


@pytest.mark.parametrize("driver", [name for name in ("psycopg", "psycopg2") if find_spec(name)])
def test_postgresql_that_is_not_there_is_named_with_what_it_said(driver: str) -> None:
    error = refused(driver, dbname="shop", password=PASSWORD)
    fault = faults.said(error)
    assert fault is not None
    assert fault.is_away
    assert 'server at "127.0.0.1", port ' in fault.text
    assert fault.text.endswith("failed: Connection refused")
    assert PASSWORD not in fault.text
    assert describe(error).endswith(f" database={fault.text}")
    assert named(error) == f"OperationalError database={fault.text}"


def test_sqlite_that_cannot_be_opened_is_named_with_what_it_said(tmp_path: Path) -> None:
    with (
        pytest.raises(OperationalError) as caught,
        DatabaseErrorWrapper(Driver(sqlite3)),
    ):
        sqlite3.connect(tmp_path).execute("SELECT 1")
    assert faults.said(caught.value) == ("unable to open database file", True)


@pytest.mark.parametrize(
    ("sqlstate", "name", "text", "shown", "is_away"),
    [
        ("57P03", "OperationalError", "the database system is starting up", None, True),
        ("53300", "OperationalError", "sorry, too many clients already", None, True),
        ("57P01", "OperationalError", "terminating connection", None, True),
        ("40P01", "OperationalError", "deadlock detected", None, False),
        ("25006", "InternalError", "cannot execute INSERT in a read-only transaction", None, False),
        ("23505", "IntegrityError", f"Key (key)=({HONG})", "SQLSTATE 23505", False),
        ("22001", "DataError", f"value too long: {HONG}", "SQLSTATE 22001", False),
        ("P0001", "ProgrammingError", f"a trigger says {HONG}", "SQLSTATE P0001", False),
    ],
)
def test_postgresql_is_quoted_where_it_shows_no_value(
    sqlstate: str, name: str, text: str, shown: str | None, is_away: bool
) -> None:
    errors = importlib.import_module("psycopg.errors")
    assert name in [each.__name__ for each in errors.lookup(sqlstate).__mro__]
    error = DatabaseError(text)
    error.__cause__ = errors.lookup(sqlstate)(f"{text}\nDETAIL:  Key (key)=({HONG})")
    assert faults.said(error) == (shown or text, is_away)


@pytest.mark.django_db
def test_of_a_statement_there_is_a_code_and_no_value() -> None:
    Carrier.objects.create(name=HONG)
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        Carrier.objects.create(name=HONG)
    said = describe_apart(caught.value)["database"]
    codes = {"postgresql": "SQLSTATE 23505", "mysql": "error 1062"}
    assert said == codes.get(connection.vendor, "SQLITE_CONSTRAINT_PRIMARYKEY")
    assert "hong" not in describe(caught.value) + named(caught.value)


def test_the_text_of_an_error_that_no_driver_raised_stays_out() -> None:
    assert faults.said(OperationalError(HONG)) is None
    assert named(OperationalError(HONG)) == "OperationalError"
    assert "database" not in describe_apart(OperationalError(HONG))


def test_what_a_driver_says_in_many_lines_is_one() -> None:
    errors = importlib.import_module("psycopg")
    error = OperationalError("x")
    error.__cause__ = errors.OperationalError(
        'connection to server at "localhost" (::1), port 5432 failed: Connection refused\n'
        "\tIs the server running on that host?\n"
        'connection to server at "localhost" (127.0.0.1), port 5432 failed: FATAL:  sorry, too\r'
        " many clients already\n"
    )
    fault = faults.said(error)
    assert fault is not None
    assert "FATAL: sorry, too" in fault.text
    assert not {"\r", "\n"} & {*fault.text}


def test_a_note_about_a_carrier_that_is_not_made_says_why(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused("psycopg", dbname="shop", password=PASSWORD)

    def refuse(*args: Any) -> None:
        raise error

    monkeypatch.setattr(carriers, "_report", refuse)
    failure = Failure(
        error_code=ErrorCode.SMTP_CONNECTION,
        reason=Reason.CONNECTION_REFUSED,
        retry=Retry.CARRIER,
    )
    caplog.set_level(logging.WARNING)
    carriers.report(
        carriers.Pass(carrier="default"), SendResult(message_id="<a@b>", failure=failure)
    )
    assert "email.carrier_not_recorded carrier=default error=OperationalError database=" in (
        caplog.text
    )
    assert "Connection refused" in caplog.text
