"""What one request asks of the database: a person waits for each of these statements."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from tests.api.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)

COUNTED = "authmail_counter"


def statements(captured: CaptureQueriesContext) -> list[str]:
    """Return the verb of each statement, and the table that it is about; the clock has none."""
    texts = [str(query["sql"]) for query in captured.captured_queries]
    verbs = [text.split()[0] for text in texts]
    tables = [re.search(r"authmail_\w+", text) for text in texts]
    return [
        f"{verb} {table[0] if table else 'the clock'}"
        for verb, table in zip(verbs, tables, strict=True)
        if verb in ("SELECT", "INSERT", "UPDATE", "DELETE")
    ]


def test_a_request_in_the_background_asks_each_thing_once(api: Api, settings: Settings) -> None:
    # Where the cache is one process's own, this is counted in a transaction of its own.
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(5, timedelta(minutes=10)), (20, timedelta(days=1))]
    assert api.post(Prefer="respond-async").status_code == 202  # the key is known from here on
    other = {"to": "kim@example.com", "user_name": "", "code": "482901"}
    with CaptureQueriesContext(connection) as captured:
        assert api.post(body=other, Prefer="respond-async").status_code == 202
    made = statements(captured)
    assert [statement for statement in made if COUNTED not in statement] == [
        "SELECT the clock",
        "SELECT authmail_suppression",
        "INSERT authmail_message",
        "INSERT authmail_recipient",
        "SELECT authmail_message",
    ]
    if connection.vendor == "postgresql":
        assert made.count(f"INSERT {COUNTED}") == len(made) - 5 == 1


def test_a_request_with_a_key_of_its_own_asks_little_more(api: Api, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    assert api.post(Prefer="respond-async").status_code == 202
    other = {"to": "kim@example.com", "user_name": "", "code": "482901"}
    headers = {"Prefer": "respond-async", "Idempotency-Key": "one"}
    with CaptureQueriesContext(connection) as captured:
        assert api.post(body=other, **headers).status_code == 202
    assert [one for one in statements(captured) if COUNTED not in one] == [
        "SELECT authmail_idempotencyrecord",
        "INSERT authmail_idempotencyrecord",
        "SELECT the clock",
        "SELECT authmail_suppression",
        "INSERT authmail_message",
        "INSERT authmail_recipient",
        "SELECT authmail_message",
        "UPDATE authmail_idempotencyrecord",
    ]
