"""Log lines: their times, and how an unexpected error is described."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, OperationalError, connection, transaction
from pytest_django.fixtures import Settings

from django_authmail.logs import Formatter, describe, describe_apart, log_event

CANARY = "CANARY-42"


def line(formatter: Formatter) -> str:
    record = logging.makeLogRecord({"name": "a.b", "msg": "event", "levelname": "INFO"})
    record.created = datetime(2026, 3, 4, 5, 6, 7, 89_000, UTC).timestamp()
    return formatter.format(record)


def test_a_line_begins_with_a_time_that_names_its_offset() -> None:
    time, rest = line(Formatter()).split(" ", 1)
    assert rest == "INFO a.b event"
    assert re.fullmatch(r"2026-03-0\dT\d\d:\d\d:07\.089[+-]\d\d:\d\d", time)
    assert datetime.fromisoformat(time) == datetime(2026, 3, 4, 5, 6, 7, 89_000, UTC)


def test_a_line_of_json_has_the_same_time(settings: Settings) -> None:
    text = line(Formatter())
    settings.AUTHMAIL_LOG_FORMAT = "json"
    members = json.loads(line(Formatter()))
    assert members == {
        "time": text.partition(" ")[0],
        "level": "INFO",
        "logger": "a.b",
        "message": "event",
    }


def test_facts_are_members_of_their_own(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_LOG_FORMAT = "json"
    caplog.set_level(logging.INFO)
    log_event(logging.getLogger("a.b"), id=7, state="accepted", attempt=1, reason="")
    members = json.loads(Formatter().format(caplog.records[0]))
    assert (members["message"], members["id"], members["attempt"]) == ("email.accepted", "7", 1)
    assert "reason" not in members
    # The record itself stays as it was, for the handlers that come after.
    assert caplog.records[0].getMessage() == "email.accepted id=7 attempt=1"


def fails() -> None:
    try:
        raise KeyError(CANARY)
    except KeyError as error:
        raise ValueError(CANARY) from error


def test_an_error_is_described_without_its_text() -> None:
    with pytest.raises(ValueError, match=CANARY) as caught:
        fails()
    said = describe(caught.value)
    assert re.fullmatch(
        r"ValueError from KeyError at=tests\.test_logs:\d+ > tests\.test_logs:\d+", said
    )
    assert describe_apart(caught.value) == dict(
        zip(("error", "at"), said.split(" at="), strict=True)
    )


def test_a_configuration_error_keeps_its_text() -> None:
    assert describe(ImproperlyConfigured("set X")) == "ImproperlyConfigured: set X at="


@pytest.mark.django_db
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM authmail_no_such",
        "SELECT no_such FROM authmail_counter",
        "UPDATE authmail_counter SET no_such = 1",
        "INSERT INTO authmail_counter (no_such) VALUES (1)",
    ],
)
def test_a_missing_table_or_column_is_said_with_what_to_do(sql: str) -> None:
    with pytest.raises(DatabaseError) as caught, transaction.atomic():
        connection.cursor().execute(sql)
    assert ": tables or columns are missing; run manage.py migrate at=" in describe(caught.value)
    assert "no_such" not in describe(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        'FATAL: database "shop" does not exist',
        'FATAL: role "shop" does not exist',
        "database is locked",
        "connection refused",
    ],
)
def test_another_error_of_the_database_is_no_missing_table(text: str) -> None:
    assert describe(OperationalError(text)) == "OperationalError at="


def test_a_long_way_is_cut_at_its_beginning() -> None:
    def deep(left: int) -> None:
        if left:
            deep(left - 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        deep(50)
    assert describe_apart(caught.value)["at"].count(" > ") == 11
