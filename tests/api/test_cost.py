"""What one request asks of the database: a person waits for each way there and back."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from tests.api.conftest import Api
from tests.queries import go_together, ways
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

COUNTED = "authmail_counter"
#: What is around the statements of a transaction.
AROUND = ("BEGIN", "COMMIT")
OTHER = {"to": "kim@example.com", "user_name": "", "code": "482901"}


def named(sql: str) -> str:
    """Return the verb of a statement, and the table that it is about; the clock has none."""
    verb = sql.split()[0]
    table = re.search(r"authmail_\w+", sql)
    return verb if verb in AROUND else f"{verb} {table[0] if table else 'the clock'}"


@pytest.fixture(autouse=True)
def limits(settings: Settings) -> None:
    # Where the cache is one process's own, this is counted in a transaction of its own.
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(5, timedelta(minutes=10)), (20, timedelta(days=1))]


def admission() -> list[str]:
    """Return what comes before the message's row. What it takes the place of, behind the count."""
    asked = ["SELECT authmail_suppression", f"INSERT {COUNTED}"]
    behind = ["SELECT authmail_message", "SELECT the clock"]
    # Elsewhere the count needs the clock, and so several statements.
    return asked + (behind if connection.vendor == "postgresql" else behind[::-1])


def assert_asked(made: list[list[str]], expected: list[list[str]]) -> None:
    found = [[named(sql) for sql in way] for way in made]
    if go_together():
        assert found == expected
        return
    # One statement each; and counting takes more than one.
    assert [name for way in found for name in way if COUNTED not in name] == [
        name for way in expected for name in way if name not in AROUND and COUNTED not in name
    ]
    assert all(len(way) == 1 for way in found)


def test_a_request_in_the_background_goes_to_the_database_twice(api: Api) -> None:
    assert api.post(Prefer="respond-async").status_code == 202  # the key is known from here on
    with ways() as made:
        assert api.post(body=OTHER, Prefer="respond-async").status_code == 202
    assert_asked(
        made,
        [
            [
                "BEGIN",
                *admission(),
            ],
            ["INSERT authmail_message", "INSERT authmail_recipient", "COMMIT"],
        ],
    )


def test_a_request_with_a_key_of_its_own_goes_once_more(api: Api) -> None:
    assert api.post(Prefer="respond-async").status_code == 202
    headers = {"Prefer": "respond-async", "Idempotency-Key": "one"}
    with ways() as made:
        assert api.post(body=OTHER, **headers).status_code == 202
    assert_asked(
        made,
        [
            ["SELECT authmail_idempotencyrecord"],
            [
                "BEGIN",
                "INSERT authmail_idempotencyrecord",
                *admission(),
            ],
            [
                "INSERT authmail_message",
                "INSERT authmail_recipient",
                "UPDATE authmail_idempotencyrecord",
                "COMMIT",
            ],
        ],
    )


def test_a_mail_that_is_sent_now_is_settled_in_two(api: Api, smtp_server: SmtpServer) -> None:
    assert api.post().status_code == 200  # the carrier is known from here on, too
    with ways() as made:
        assert api.post(body=OTHER).status_code == 200
    assert len(smtp_server.mails) == 2
    keys = ["SELECT authmail_recipient"]  # MySQL does not tell the keys of what was inserted
    is_told = connection.features.can_return_rows_from_bulk_insert
    assert_asked(
        made,
        [
            [
                "BEGIN",
                *admission(),
            ],
            ["INSERT authmail_message", "INSERT authmail_recipient", "COMMIT"],
            [
                "BEGIN",
                "SELECT authmail_message",
                "SELECT the clock",
                "SELECT authmail_suppression",
                "SELECT authmail_webhookendpoint",
                *([] if is_told else ["SELECT authmail_message", *keys]),
            ],
            [
                "UPDATE authmail_message",
                "UPDATE authmail_recipient",
                "INSERT authmail_attempt",
                "COMMIT",
            ],
        ],
    )
