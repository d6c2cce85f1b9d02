"""What a request with an Idempotency-Key is known by, and who of several is the first."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connection, connections
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from django_authmail.exceptions import IdempotencyKeyReused, Outrun
from django_authmail.models import IdempotencyRecord, Message
from django_authmail.outbox import idempotency, queue
from django_authmail.outbox.idempotency import Answer, Entry, KeyedRequest
from django_authmail.outbox.intake import Intake
from tests.outbox.factories import CODE, auth_message

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
names = st.text(max_size=4)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
bodies = st.dictionaries(st.text(max_size=6), values, max_size=5)


def keyed(**changes: Any) -> KeyedRequest:
    facts = {"owner": "key:1", "method": "POST", "path": "/send/otp", "key": "a", "body": {"to": 1}}
    return idempotency.keyed_request(**facts | changes)


def shuffled(value: Any, by: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(item, by) for item in value]
    if isinstance(value, dict):
        items = [(name, shuffled(item, by)) for name, item in value.items()]
        by.shuffle(items)
        return dict(items)
    return value


@given(
    body=bodies,
    by=st.randoms(use_true_random=False),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 0, 3]),
)
def test_a_body_is_the_same_in_any_spelling(
    body: dict[str, Any], by: random.Random, ascii_only: bool, indent: int | None
) -> None:
    spelled = json.dumps(shuffled(body, by), ensure_ascii=ascii_only, indent=indent)
    assert idempotency.canonical(json.loads(spelled)) == idempotency.canonical(body)


@given(body=bodies)
def test_bodies_that_say_something_else_are_spelled_otherwise(body: dict[str, Any]) -> None:
    # What can be read back whole is the spelling of nothing else.
    read = json.loads(idempotency.canonical(body))
    assert read == body
    assert idempotency.canonical(read) == idempotency.canonical(body)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {}),
        ({"a": 0.0}, {"a": -0.0}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": "é"}, {"a": "e\u0301"}),
        ({"a": "x"}, {"A": "x"}),
    ],
)
def test_what_a_mail_could_show_differently_is_different(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert not set(keyed(body=one).fingerprints) & set(keyed(body=other).fingerprints)
    assert keyed(body=one).scope == keyed(body=other).scope


@pytest.mark.parametrize(
    "change",
    [
        {"owner": "key:2"},
        {"method": "PUT"},
        {"path": "/send/otp/"},
        {"key": "A"},
        {"owner": "key:1POST", "method": ""},
    ],
)
def test_owner_method_path_and_key_make_the_scope(change: dict[str, str]) -> None:
    assert keyed(**change).scope != keyed().scope
    assert keyed(**change).fingerprints == keyed().fingerprints


def test_a_fingerprint_is_keyed_and_shows_nothing(settings: Settings) -> None:
    before = keyed(body={"code": CODE})
    assert CODE not in repr(before)
    settings.SECRET_KEY = "another-key-of-at-least-fifty-characters-in-a-project"
    after = keyed(body={"code": CODE})
    assert after.scope == before.scope
    assert after.fingerprints != before.fingerprints


def begin(request: KeyedRequest) -> Entry:
    """Be the first to do a request, as far as its message is recorded."""
    entry = Entry(standing=idempotency.find(request))
    queue.submit_claimed(auth_message(), intake=Intake(entry=entry))
    return entry


@pytest.mark.django_db
def test_a_record_points_to_the_message_of_its_transaction() -> None:
    request = keyed()
    assert idempotency.find(request).message is None
    entry = begin(request)
    standing = idempotency.find(request)
    assert (standing.message, standing.is_running, standing.answer) == (entry.row, True, None)
    answer = Answer(status=200, body={"sent": True}, headers={"Location": "/a"})
    entry.remember(answer)
    standing = idempotency.find(request)
    assert (standing.is_running, standing.answer) == (False, answer)
    with pytest.raises(IdempotencyKeyReused, match="another body"):
        idempotency.find(keyed(body={"to": 2}))


@pytest.mark.django_db
def test_who_looked_before_the_first_had_begun_is_outrun_and_stores_nothing() -> None:
    late = Entry(standing=idempotency.find(keyed()))
    first = begin(keyed(body={"to": 2}))
    with pytest.raises(Outrun):
        queue.submit_claimed(auth_message(), intake=Intake(entry=late))
    assert late.standing.has_changed()
    assert [row.id for row in Message.objects.all()] == [first.row.id if first.row else None]


@pytest.mark.django_db
def test_an_answer_that_cannot_be_stored_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    entry = begin(keyed())

    def refuse(*args: object) -> None:
        raise DatabaseError("read only")

    with connection.execute_wrapper(refuse):
        entry.remember(Answer(status=200, body={"code": CODE}))
    assert "idempotency.not_remembered error=DatabaseError" in caplog.text
    assert CODE not in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("before", ["nothing", "another message", "an old one"])
def test_of_threads_that_race_one_is_the_first(before: str) -> None:
    request = keyed()
    if before != "nothing":
        begin(request)
    if before == "an old one":
        IdempotencyRecord.objects.update(expires_at="2020-01-01T00:00Z", answer=b"")
    rows_before = Message.objects.count()
    barrier = threading.Barrier(6)

    def run(number: int) -> bool:
        try:
            entry = Entry(standing=idempotency.find(request))
            barrier.wait(30)
            queue.submit_claimed(auth_message(), intake=Intake(entry=entry))
            return True
        except Outrun:
            return False
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(run, range(6))) == 1
    assert Message.objects.count() == rows_before + 1
    newest = Message.objects.order_by("created_at").last()
    assert IdempotencyRecord.objects.get().message == newest
