"""Statements that go to PostgreSQL together: what it is sent, and what is left when that fails.

Collected where psycopg 3 is the driver (tests/conftest.py).
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import threading
import uuid
import weakref
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import (
    DataError,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
    transaction,
)
from django.db.backends.base.base import BaseDatabaseWrapper

from django_authmail import outbox
from django_authmail.clock import db_now
from django_authmail.models import Counter, Message, Priority, Recipient, State
from django_authmail.outbox import queue
from django_authmail.outbox.idempotency import Entry, find, keyed_request
from django_authmail.outbox.intake import Intake
from django_authmail.signals import message_queued
from django_authmail.statements import Trip
from django_authmail.transactions import retried
from tests.chaos.processes import wait_until
from tests.outbox.factories import auth_message
from tests.queries import ways

pytestmark = pytest.mark.django_db(transaction=True)

IS_POOLED = os.environ.get("AUTHMAIL_TEST_PGBOUNCER") == "1"


@pytest.fixture
def other() -> Iterator[BaseDatabaseWrapper]:
    """Give one more connection to the database of the test, made as its settings say."""
    copied = connection.copy("other")
    connections["other"] = copied
    yield copied
    copied.close()
    del connections["other"]


def insert(key: str, using: str = "default", *, ends: bool = False) -> None:
    with Trip(using, ends=ends) as trip:
        trip.insert([Counter(key=key, used=1, ends_at=datetime(2030, 1, 1, tzinfo=UTC))])


def prepared(using: str = "default") -> list[str]:
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE name LIKE 'authmail_%%'")
        return [statement for (statement,) in cursor.fetchall()]


def cut(other: BaseDatabaseWrapper) -> None:
    """End the connection from the server's side."""
    raw: Any = other.connection
    if IS_POOLED:
        raw.pgconn.finish()  # what is at the other end is another's
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [raw.info.backend_pid])


def stored() -> set[str]:
    return set(Counter.objects.values_list("key", flat=True))


NOW = datetime(2026, 11, 26, 23, 59, 59, 999_999, tzinfo=UTC)
ID = uuid.UUID("d8f96736-0d0d-4876-b950-580a6da0fb6f")


@pytest.mark.parametrize(
    ("sql", "value", "expected"),
    [
        ("%s::text", "it's 100 %% \\ \"$1\" {} 한글 \N{PILE OF POO}\r\n", ...),
        ("%s::text", "", ...),
        ("%s::text", None, ...),
        ("%s::boolean", True, ...),
        ("%s::boolean", False, ...),
        ("%s::bigint", -(2**62), ...),
        ("%s::smallint", Priority.LOW, int(Priority.LOW)),
        ("%s::text", State.QUEUED, "queued"),
        ("%s::uuid", ID, ...),
        ("%s::timestamptz", NOW, ...),
        ("%s::timestamptz", NOW.astimezone(tz=None), NOW),
        ("%s::timestamptz - '2026-01-01 00:00:00+00'", NOW, NOW - datetime(2026, 1, 1, tzinfo=UTC)),
        ("%s::interval", timedelta(days=40, microseconds=1), ...),
        ("%s::interval", -timedelta(seconds=1), ...),
        # Not read as an interval: psycopg 3.2.1 loses the sign of so many hours.
        ("extract(epoch FROM %s::interval)::bigint", -timedelta(days=40), -3_456_000),
        ("extract(days FROM %s::interval)::integer", timedelta(days=40), 0),
        ("%s::bytea", b"\0\xff'\\", ...),
        ("%s::bytea", memoryview(b"\0\xff"), b"\0\xff"),
        ("100 %% 7 + %s::integer", 1, 3),
    ],
)  # fmt: skip
def test_the_server_reads_what_was_meant(sql: str, value: Any, expected: Any) -> None:
    with Trip("default") as trip:
        [found] = [trip.ask(f"SELECT {sql}", [value])]
    [(answer,)] = found
    assert answer == (value if expected is ... else expected)


def test_a_text_with_a_nul_is_refused_and_not_cut() -> None:
    with pytest.raises(DataError, match="NUL"):
        insert("cut\0here")
    assert stored() == set()


def test_a_value_that_nobody_knows_how_to_send_is_named() -> None:
    with pytest.raises(TypeError, match="type complex"), Trip("default") as trip:
        trip.ask("SELECT %s", [1j])
    insert("after")
    assert stored() == {"after"}


def test_a_transaction_goes_one_way_with_its_beginning_and_its_end() -> None:
    heard = []
    with ways() as made, transaction.atomic():
        transaction.on_commit(lambda: heard.append("committed"))
        insert("one", ends=True)
        assert not heard
    assert heard == ["committed"]
    assert [[sql.split()[0] for sql in way] for way in made] == [["BEGIN", "INSERT", "COMMIT"]]
    assert stored() == {"one"}


def test_what_ends_a_block_does_not_end_the_transaction_around_it() -> None:
    def fail_afterwards() -> None:
        with transaction.atomic():
            with transaction.atomic():
                insert("one", ends=True)
            with transaction.atomic(savepoint=False):
                insert("two", ends=True)
            raise ValueError("afterwards")

    with pytest.raises(ValueError, match="afterwards"):
        fail_afterwards()
    assert stored() == set()


def test_a_project_that_commits_by_itself_goes_on_doing_so(other: BaseDatabaseWrapper) -> None:
    other.set_autocommit(False)
    retried(lambda: insert("one", "other", ends=True), using="other")
    other.rollback()
    retried(lambda: insert("two", "other", ends=True), using="other")
    other.commit()
    assert stored() == {"two"}


def test_what_only_commit_refuses_is_an_error_and_not_there() -> None:
    heard: list[str] = []

    def insert_orphan() -> None:
        with transaction.atomic():
            transaction.on_commit(lambda: heard.append("committed"))
            with Trip("default", ends=True) as trip:
                # Django's foreign keys are looked at in the end.
                trip.insert([Recipient(message_id=ID, position=0)])

    with pytest.raises(IntegrityError, match="foreign key"):
        insert_orphan()
    assert heard == []
    insert("after")
    assert stored() == {"after"}


def test_a_transaction_that_collided_is_made_again_as_a_whole(other: BaseDatabaseWrapper) -> None:
    from psycopg import IsolationLevel

    options = {**other.settings_dict["OPTIONS"], "isolation_level": IsolationLevel.SERIALIZABLE}
    other.settings_dict["OPTIONS"] = options
    insert("one")
    runs: list[int] = []

    def add() -> None:
        with Trip("other") as trip:
            found = trip.ask("SELECT used FROM authmail_counter")
        runs.append(found[0][0])
        if len(runs) == 1:
            Counter.objects.update(used=10)
        with Trip("other", ends=True) as trip:
            trip.ask("UPDATE authmail_counter SET used = %s", [runs[-1] + 1])

    retried(add, using="other")
    assert runs == [1, 10]
    assert Counter.objects.get().used == 11


def test_an_error_takes_back_what_went_together_and_says_what_it_was() -> None:
    insert("one")

    def insert_again() -> None:
        with transaction.atomic(), Trip("default", ends=True) as trip:
            trip.insert([Counter(key=key, used=1, ends_at=NOW) for key in ("two",)])
            trip.insert([Counter(key="one", used=2, ends_at=NOW)])

    for _ in range(6):  # before and after it is prepared
        with pytest.raises(IntegrityError, match="authmail_counter_pkey"):
            insert_again()
        assert stored() == {"one"}


def test_a_wrong_statement_is_an_error_of_django() -> None:
    with pytest.raises(ProgrammingError, match="no_such_table"), Trip("default") as trip:
        trip.ask("SELECT 1 FROM no_such_table")
    insert("after")
    assert stored() == {"after"}


def test_a_transaction_is_as_isolated_as_the_project_says(other: BaseDatabaseWrapper) -> None:
    from psycopg import IsolationLevel

    options = {**other.settings_dict["OPTIONS"], "isolation_level": IsolationLevel.REPEATABLE_READ}
    other.settings_dict["OPTIONS"] = options
    with transaction.atomic("other"), Trip("other") as trip:
        found = trip.ask("SELECT current_setting('transaction_isolation')")
    assert found == [("repeatable read",)]


def test_an_insert_that_is_made_often_is_prepared_and_nothing_else(
    other: BaseDatabaseWrapper,
) -> None:
    for number in range(6):
        insert(f"key {number}", "other")
        with Trip("other") as trip:
            trip.ask("SELECT key FROM authmail_counter WHERE key = %s", ["key 1"])
    found = prepared("other")
    if IS_POOLED:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith("INSERT")
    assert len(stored()) == 6


def test_not_every_statement_of_a_long_life_is_kept(other: BaseDatabaseWrapper) -> None:
    for rows in range(1, 61):
        for _ in range(5):
            with transaction.atomic("other"), Trip("other") as trip:
                trip.insert([
                    Counter(key=uuid.uuid4().hex, used=n, ends_at=NOW) for n in range(rows)
                ])  # fmt: skip
    assert len(prepared("other")) == (0 if IS_POOLED else 50)


def test_a_statement_of_many_rows_is_carried_out_and_not_kept(other: BaseDatabaseWrapper) -> None:
    for _ in range(6):
        with transaction.atomic("other"), Trip("other") as trip:
            trip.insert([
                Counter(key=uuid.uuid4().hex, used=n, ends_at=NOW + timedelta(seconds=n))
                for n in range(1000)
            ])  # fmt: skip
    assert len(stored()) == 6000
    assert prepared("other") == []


def test_a_pool_is_found_out_without_being_told_of(other: BaseDatabaseWrapper) -> None:
    other.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = False
    for number in range(6):
        insert(f"key {number}", "other")
    assert bool(prepared("other")) != IS_POOLED


def test_a_pool_that_the_project_tells_of_has_nothing_prepared(
    other: BaseDatabaseWrapper,
) -> None:
    other.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
    for number in range(6):
        insert(f"key {number}", "other")
    assert prepared("other") == []


def test_what_a_server_has_forgotten_is_made_without_being_prepared(
    other: BaseDatabaseWrapper,
) -> None:
    for number in range(6):
        insert(f"key {number}", "other")
    with other.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    retried(lambda: insert("after", "other"), using="other")
    retried(lambda: insert("later", "other"), using="other")
    assert {"after", "later"} < stored()
    assert prepared("other") == []


def test_inside_of_a_transaction_its_caller_hears_of_it(other: BaseDatabaseWrapper) -> None:
    if IS_POOLED:
        other.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
    for number in range(6):
        insert(f"key {number}", "other")
    with other.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")

    def insert_twice() -> None:
        with transaction.atomic("other"):
            insert("before", "other")
            insert("after", "other")

    if not IS_POOLED:
        with pytest.raises(OperationalError, match="prepared"):
            insert_twice()
        assert len(stored()) == 6
    insert_twice()
    assert len(stored()) == 8


def test_a_connection_that_was_cut_is_made_anew(other: BaseDatabaseWrapper) -> None:
    insert("one", "other")
    cut(other)
    retried(lambda: insert("two", "other", ends=True), using="other")
    assert stored() == {"one", "two"}


def test_more_than_fits_on_the_way_goes_in_both_directions(other: BaseDatabaseWrapper) -> None:
    # Neither end may wait for the other to read first.
    text = "x" * 4_000_000
    with Trip("other") as trip:
        found = [trip.ask("SELECT %s::text", [text + str(number)]) for number in range(6)]
    assert found == [[(text + str(number),)] for number in range(6)]


class TooLate(Exception):
    """What a worker's time limit raises in the middle of anything."""


def test_what_interrupts_it_leaves_nothing_half_done(other: BaseDatabaseWrapper) -> None:
    def ring(*about: object) -> None:
        raise TooLate

    def ask() -> None:
        with transaction.atomic("other"), Trip("other", ends=True) as trip:
            trip.insert([Counter(key="one", used=1, ends_at=NOW)])
            trip.ask("SELECT pg_sleep(20)")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(TooLate):
            ask()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    retried(lambda: insert("two", "other"), using="other")
    assert "two" in stored()
    assert "one" not in stored()


def test_the_clock_of_a_trip_is_the_database_s() -> None:
    before = db_now("default")
    with Trip("default") as trip:
        time = trip.ask_time()
    assert before <= time() <= db_now("default")
    assert time().tzinfo is UTC


def test_nothing_of_a_connection_is_left_when_it_is_closed(other: BaseDatabaseWrapper) -> None:
    insert("one", "other")
    left = weakref.ref(other.connection)
    other.close()
    gc.collect()
    assert left() is None


def test_the_same_insert_twice_on_one_way_has_one_name(other: BaseDatabaseWrapper) -> None:
    insert("first", "other")
    for number in range(6):
        with transaction.atomic("other"), Trip("other") as trip:
            for letter in "ab":
                trip.insert([Counter(key=f"{letter}{number}", used=1, ends_at=NOW)])
    for number in range(6):
        with transaction.atomic("other"), Trip("other") as trip:
            trip.insert([
                Counter(key=f"{letter}{number}", used=used, ends_at=NOW)
                for used, letter in enumerate("cd")
            ])  # fmt: skip
    assert len(prepared("other")) == (0 if IS_POOLED else 2)
    assert len(stored()) == 25


def test_more_values_than_a_statement_has_room_for() -> None:
    with transaction.atomic(), Trip("default", ends=True) as trip:
        trip.insert(
            [Counter(key=str(number), used=number, ends_at=NOW) for number in range(33_000)]
        )
    assert Counter.objects.count() == 33_000


@pytest.mark.parametrize(
    ("before", "after", "old", "new"),
    [
        pytest.param("varchar(36)", "uuid USING value::uuid", str(ID), str(ID), id="to a uuid"),
        pytest.param("integer", "bigint", 1, 5_000_000_000, id="to larger numbers"),
        pytest.param("integer", "text", 1, "one", id="from a number to a text"),
        pytest.param("timestamptz", "text", NOW, "soon", id="from a time to a text"),
    ],
)
def test_a_column_that_has_got_another_type_is_no_lasting_error(
    other: BaseDatabaseWrapper, before: str, after: str, old: Any, new: Any
) -> None:
    def fill(value: Any) -> None:
        with Trip("other") as trip:
            trip.ask("INSERT INTO changing (value) VALUES (%s)", [value])

    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE changing (value {before})")
    try:
        for _ in range(6):
            fill(old)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE changing ALTER value TYPE {after}")
        retried(lambda: fill(new), using="other")
        fill(new)
    finally:
        other.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE changing")


def test_a_value_that_does_not_fit_its_column_is_an_error_at_once(
    other: BaseDatabaseWrapper,
) -> None:
    for number in range(6):
        insert(f"key {number}", "other")
    runs: list[int] = []

    def insert_too_much() -> None:
        runs.append(1)
        with Trip("other") as trip:
            trip.insert([Counter(key="too much", used=5_000_000_000, ends_at=NOW)])

    with pytest.raises(DataError):
        retried(insert_too_much, using="other")
    # Once as it is prepared, where it is, and once as it is not.
    assert len(runs) == (1 if IS_POOLED else 2)
    assert len(stored()) == 6


def test_a_transaction_is_as_its_connection_says(other: BaseDatabaseWrapper) -> None:
    other.ensure_connection()
    raw: Any = other.connection
    raw.read_only = raw.deferrable = True
    with transaction.atomic("other"), Trip("other") as trip:
        found = trip.ask(
            "SELECT current_setting('transaction_read_only'), "
            "current_setting('transaction_deferrable')"
        )
    assert found == [("on", "on")]


def test_a_connection_that_broke_between_two_requests_is_noticed(
    other: BaseDatabaseWrapper,
) -> None:
    other.settings_dict |= {"CONN_HEALTH_CHECKS": True, "CONN_MAX_AGE": None}
    insert("one", "other")
    other.close_if_unusable_or_obsolete()  # as at the end of a request
    cut(other)
    with Trip("other") as trip:
        found = trip.ask("SELECT 1")
    assert found == [(1,)]


def test_a_server_that_hangs_up_is_quoted(other: BaseDatabaseWrapper) -> None:
    insert("one", "other")
    if IS_POOLED:
        return
    cut(other)
    with pytest.raises(OperationalError, match="due to administrator command"):
        insert("two", "other")


def test_who_replaces_the_cursor_is_not_passed_by(
    other: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As SimpleTestCase does, and a toolbar.
    insert("one", "other")

    def forbidden() -> None:
        raise AssertionError("no queries here")

    monkeypatch.setattr(other, "cursor", forbidden)
    with pytest.raises(AssertionError, match="no queries"):
        insert("two", "other")
    assert stored() == {"one"}


def test_a_pipeline_of_the_caller_s_keeps_its_answers(other: BaseDatabaseWrapper) -> None:
    other.ensure_connection()
    raw: Any = other.connection
    with raw.pipeline():
        asked = raw.execute("SELECT 42")
        insert("one", "other")
        assert asked.fetchone() == (42,)
    insert("two", "other")
    assert stored() == {"one", "two"}


def test_threads_that_share_a_connection_wait_for_each_other(other: BaseDatabaseWrapper) -> None:
    other.ensure_connection()
    other.inc_thread_sharing()
    raw: Any = other.connection
    found: dict[str, Any] = {}

    def ask() -> None:
        connections["other"] = other
        with Trip("other") as trip:
            trip.ask("SELECT 1 FROM pg_advisory_xact_lock(20261127)")
            found["trip"] = trip.ask("SELECT 'trip'")

    def ask_too() -> None:
        found["cursor"] = raw.execute("SELECT 'cursor'").fetchall()

    threads = [threading.Thread(target=ask), threading.Thread(target=ask_too)]
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    def is_waiting() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            return bool(cursor.fetchone()[0])

    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(20261127)")
        threads[0].start()
        wait_until(is_waiting, "the first thread")
        threads[1].start()
        threads[1].join(0.3)  # time to do the damage
    for thread in threads:
        thread.join()
    other.dec_thread_sharing()
    assert found == {"trip": [("trip",)], "cursor": [("cursor",)]}


class Swallower:
    """A way to the server that carries COMMIT there, and cuts itself off before the answer."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.swallowed = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._target) as far:
            while True:
                ready, _, _ = select.select([near, far], [], [])
                for source in ready:
                    sink = far if source is near else near
                    content = source.recv(65_536)
                    if not content:
                        return
                    sink.sendall(content)
                    if source is near and b"COMMIT" in content and not self.swallowed:
                        self.swallowed += 1
                        far.recv(65_536)
                        return


@pytest.mark.parametrize("has_key", [False, True])
@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_mail_whose_commit_s_answer_was_lost_is_there_once(
    monkeypatch: pytest.MonkeyPatch, has_key: bool, is_waited_for: bool
) -> None:
    request = keyed_request(owner="key:1", method="POST", path="/send/otp", key="a", body={})
    intake = Intake(entry=Entry(standing=find(request)) if has_key else None)
    settings = connection.settings_dict
    way = Swallower((settings["HOST"] or "127.0.0.1", int(settings["PORT"] or 5432)))
    told: list[uuid.UUID] = []

    def listen(sender: object, id: uuid.UUID, **extra: object) -> None:
        told.append(id)

    message_queued.connect(listen)
    connection.close()
    monkeypatch.setitem(settings, "HOST", "127.0.0.1")
    monkeypatch.setitem(settings, "PORT", str(way.port))
    try:
        if is_waited_for:
            row, _ = queue.submit_claimed(auth_message(), intake=intake)
        else:
            row = outbox.submit(auth_message(), intake=intake)
    finally:
        message_queued.disconnect(listen)
        way.close()
        connection.close()
        monkeypatch.undo()
    assert way.swallowed
    assert [found.id for found in Message.objects.all()] == [row.id]
    assert told == ([] if is_waited_for else [row.id])
