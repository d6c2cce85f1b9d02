"""Statements by hand write what the ORM would have written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_authmail.models import Attempt, Message
from django_authmail.outbox import queue
from django_authmail.statements import Trip
from tests.outbox.factories import auth_message
from tests.queries import go_together, statements_of, ways

pytestmark = pytest.mark.django_db


def _attempts(messages: list[Message], texts: list[str]) -> list[Attempt]:
    now = timezone.now()
    return [
        Attempt(
            message=message,
            number=1,
            started_at=now,
            duration_ms=20 + number,
            carrier="default",
            result=Attempt.Result.ACCEPTED,
            reply_code=250,
            reply_text=text,
        )
        for number, (message, text) in enumerate(zip(messages, texts, strict=True))
    ]


HOSTILE = ["it's 100 % 'ok' \\ \"%s\" {}", "한글 \N{PILE OF POO}", "", "'); DROP TABLE x; --"]


@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "without keys"])
@pytest.mark.parametrize("count", [1, 4], ids=["one", "many"])
def test_what_is_inserted_reads_as_it_was(count: int, keys: bool) -> None:
    messages = queue.submit_many([auth_message() for _ in range(count)])
    made = _attempts(messages, HOSTILE[:count])
    with Trip("default") as trip:
        trip.insert(made, keys=keys)
    for one in made:
        stored = Attempt.objects.get(message_id=one.message_id)
        for field in Attempt._meta.concrete_fields:
            if not field.primary_key:
                assert getattr(stored, field.attname) == getattr(one, field.attname)
        if keys and connection.features.can_return_rows_from_bulk_insert:
            assert one.pk == stored.pk


def test_contents_of_more_than_a_megabyte_are_inserted_by_several_statements() -> None:
    bodies = ["short", "long " * 100_000, "long " * 100_000, "short", "long " * 300_000, "short"]
    with CaptureQueriesContext(connection) as captured:
        messages = queue.submit_many([auth_message(text_body=body) for body in bodies])
    table = connection.ops.quote_name(Message._meta.db_table)
    made = [sql for sql in statements_of(captured) if sql.startswith(f"INSERT INTO {table} ")]
    assert len(made) == 4
    for message in messages:
        stored = Message.objects.get(id=message.id)
        assert (bytes(stored.sealed or b""), stored.size) == (message.sealed, message.size)
        assert stored.recipients.count() == 1


@pytest.mark.parametrize("count", [1, 4], ids=["one", "many"])
def test_an_update_writes_what_is_shared_and_what_differs(count: int) -> None:
    others = queue.submit_many([auth_message()])
    messages = queue.submit_many([auth_message() for _ in range(count)])
    until = timezone.now() + timedelta(hours=1)
    for message, text in zip(messages, HOSTILE, strict=False):
        message.due_at, message.provider_id, message.reason = until, text, "greylisted"
    with Trip("default") as trip:
        trip.update(messages, ["due_at", "provider_id", "reason"])
    for message in messages:
        stored = Message.objects.get(id=message.id)
        assert (stored.due_at, stored.provider_id) == (until, message.provider_id)
        assert stored.reason == "greylisted"
    assert Message.objects.get(id=others[0].id).reason == ""


def test_an_update_of_what_all_share_writes_that_to_each_of_them_alone() -> None:
    other, *messages = queue.submit_many([auth_message() for _ in range(3)])
    for message in messages:
        message.reason = "greylisted"
    with Trip("default") as trip:
        trip.update(messages, ["reason"])
    assert set(Message.objects.filter(reason="greylisted")) == set(messages)
    assert Message.objects.get(id=other.id).reason == ""


def test_nothing_to_write_asks_nothing() -> None:
    with ways() as asked, Trip("default") as trip:
        trip.update([], ["reason"])
        trip.insert([])
    assert not asked


def test_what_goes_together_is_one_way_where_the_driver_can() -> None:
    messages = queue.submit_many([auth_message() for _ in range(2)])
    made = _attempts(messages, HOSTILE[:2])
    messages[0].reason = "one; two"
    with ways() as asked, Trip("default") as trip:
        text = trip.ask("SELECT %s", [HOSTILE[3]])
        time = trip.ask_time()
        trip.insert(made)
        trip.update(messages[:1], ["reason"])
        found = trip.ask("SELECT provider_id, reason FROM authmail_message WHERE reason <> ''")
    assert [len(way) for way in asked] == ([5] if go_together() else [1] * 5)
    assert text == [(HOSTILE[3],)]
    assert abs(time() - timezone.now()) < timedelta(minutes=1)
    assert found == [("", "one; two")]
    assert [one.pk for one in made if one.pk] == [
        one.pk for one in Attempt.objects.order_by("id") if made[0].pk
    ]
    assert [one.reply_text for one in Attempt.objects.order_by("id")] == HOSTILE[:2]


def test_who_looks_on_sees_each_statement_by_itself() -> None:
    with CaptureQueriesContext(connection) as captured, Trip("default") as trip:
        first, second = trip.ask("SELECT %s", [1]), trip.ask("SELECT %s", [2])
    assert [int(value) for [(value,)] in (first, second)] == [1, 2]
    assert len(captured) == 2


#: Takes each database a moment.
SLOW = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) "
    "SELECT count(*) FROM n",
    "postgresql": "SELECT pg_sleep(0.02)",
    "mysql": "SELECT SLEEP(0.02)",
}


def test_the_time_is_that_behind_what_was_asked_before() -> None:
    with Trip("default") as trip:
        before = trip.ask_time()
        trip.ask(SLOW[connection.vendor])
        after = trip.ask_time()
    assert after() > before()


def test_one_that_fails_takes_the_others_back() -> None:
    messages = queue.submit_many([auth_message()])

    def insert_twice() -> None:
        with transaction.atomic(), Trip("default") as trip:
            trip.insert(_attempts(messages, ["first"]))
            trip.insert(_attempts(messages, ["the same again"]))

    with pytest.raises(IntegrityError):
        insert_twice()
    assert not Attempt.objects.exists()


def test_nothing_is_asked_where_the_block_ends_by_an_error() -> None:
    def ask_and_fail() -> None:
        with Trip("default") as trip:
            trip.ask("SELECT 1")
            raise ValueError("no")

    with ways() as asked, pytest.raises(ValueError, match="no"):
        ask_and_fail()
    assert not asked
