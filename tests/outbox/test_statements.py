"""Statements by hand write what the ORM would have written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from django_authmail.models import Attempt, Message
from django_authmail.outbox import queue, statements
from tests.outbox.factories import auth_message

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
    statements.insert(made, "default", keys=keys)
    for one in made:
        stored = Attempt.objects.get(message_id=one.message_id)
        for field in Attempt._meta.concrete_fields:
            if not field.primary_key:
                assert getattr(stored, field.attname) == getattr(one, field.attname)
        if keys and connection.features.can_return_rows_from_bulk_insert:
            assert one.pk == stored.pk


@pytest.mark.parametrize("count", [1, 4], ids=["one", "many"])
def test_an_update_writes_what_is_shared_and_what_differs(count: int) -> None:
    others = queue.submit_many([auth_message()])
    messages = queue.submit_many([auth_message() for _ in range(count)])
    until = timezone.now() + timedelta(hours=1)
    for message, text in zip(messages, HOSTILE, strict=False):
        message.due_at, message.provider_id, message.reason = until, text, "greylisted"
    statements.update(messages, ["due_at", "provider_id", "reason"], "default")
    for message in messages:
        stored = Message.objects.get(id=message.id)
        assert (stored.due_at, stored.provider_id) == (until, message.provider_id)
        assert stored.reason == "greylisted"
    assert Message.objects.get(id=others[0].id).reason == ""


def test_an_update_of_what_all_share_writes_that_to_each_of_them_alone() -> None:
    other, *messages = queue.submit_many([auth_message() for _ in range(3)])
    for message in messages:
        message.reason = "greylisted"
    statements.update(messages, ["reason"], "default")
    assert set(Message.objects.filter(reason="greylisted")) == set(messages)
    assert Message.objects.get(id=other.id).reason == ""


def test_nothing_to_write_asks_nothing(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        statements.update([], ["reason"], "default")
        statements.insert([], "default")
