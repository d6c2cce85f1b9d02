"""Messages that take each other's place and are submitted at the same moment.

Who comes later supersedes what was committed before it looked. Two that do not see each other both
leave. Where the limits of recipients are counted in the same transaction, as in the API, there are
no such two.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from pytest_django.fixtures import Settings

from django_authmail import dispatch, keyring, outbox
from django_authmail.keyring import Terms
from django_authmail.models import Message
from django_authmail.signals import message_changed
from tests.api.conftest import Api
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

PARALLEL = 8
WAVES = 5
PATIENCE = 60


def at_once(*work: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same moment, each in a thread of its own, and return what came of it."""
    barrier = threading.Barrier(len(work))

    def do(one: Callable[[], Any]) -> Any:
        try:
            barrier.wait(PATIENCE)
            return one()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(work)) as executor:
        return list(executor.map(do, work))


@pytest.fixture
def told() -> Iterator[Counter[tuple[str, str]]]:
    """Count what each message is said to have become."""
    found: Counter[tuple[str, str]] = Counter()
    lock = threading.Lock()

    def note(sender: object, id: object, state: str, **extra: object) -> None:
        with lock:
            found[str(id), state] += 1

    message_changed.connect(note)
    yield found
    message_changed.disconnect(note)


def submit() -> str:
    return str(outbox.submit(auth_message(supersedes=True)).id)


def states() -> dict[str, str]:
    return {str(id): state for id, state in Message.objects.values_list("id", "state")}


def expect_each_told_once(told: Counter[tuple[str, str]]) -> None:
    superseded = {id for id, state in states().items() if state == "superseded"}
    assert {id: n for (id, state), n in told.items() if state == "superseded"} == dict.fromkeys(
        superseded, 1
    )
    open_bodies = Message.objects.exclude(state="queued").filter(sealed__isnull=False)
    assert not open_bodies.exists()


def test_all_that_was_committed_before_gives_way_to_those_that_come_at_once(
    told: Counter[tuple[str, str]],
) -> None:
    before: set[str] = set()
    for _ in range(WAVES):
        wave = set(at_once(*[submit] * PARALLEL))
        assert len(wave) == PARALLEL
        found = states()
        # None is lost, none of the older ones is left, and one of the new ones at least leaves.
        assert found.keys() == before | wave
        assert {found[id] for id in before} <= {"superseded"}
        assert {found[id] for id in wave} <= {"superseded", "queued"}
        assert "queued" in {found[id] for id in wave}
        before |= wave
    last = submit()
    assert [id for id, state in states().items() if state == "queued"] == [last]
    expect_each_told_once(told)


if connection.vendor != "sqlite":
    # SQLite lets one transaction write at a time.

    def test_two_that_do_not_see_each_other_both_leave() -> None:
        written = threading.Barrier(2)

        def submit_and_wait() -> str:
            with transaction.atomic():
                id = submit()
                written.wait(PATIENCE)
            return id

        both = at_once(submit_and_wait, submit_and_wait)
        assert states() == dict.fromkeys(both, "queued")
        last = submit()
        assert states() == dict.fromkeys(both, "superseded") | {last: "queued"}


def test_one_that_is_rolled_back_leaves_the_older_one_to_the_next() -> None:
    old = submit()

    def submit_in_vain() -> None:
        with transaction.atomic():
            submit()
            transaction.set_rollback(True)

    at_once(*[submit_in_vain] * PARALLEL)
    assert states() == {old: "queued"}
    new = submit()
    assert states() == {old: "superseded", new: "queued"}


@pytest.mark.parametrize("limits", [1, 2], ids=["one limit", "two limits"])
def test_with_limits_the_api_leaves_one(
    limits: int, settings: Settings, told: Counter[tuple[str, str]]
) -> None:
    windows = (timedelta(minutes=10), timedelta(days=1))
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1000, window) for window in windows[:limits]]
    api = Api(key=keyring.issue("tests", Terms(scopes=("send:otp",), rate_per_minute=0))[1])

    def post() -> str:
        answer = api.post(Prefer="respond-async")
        assert answer.status_code == 202, answer.content
        return str(answer.json()["id"])

    before: set[str] = set()
    for _ in range(WAVES):
        wave = set(at_once(*[post] * PARALLEL))
        before |= wave
        found = states()
        assert found.keys() == before
        [left] = [id for id, state in found.items() if state == "queued"]
        assert left in wave
        assert Counter(found.values()) == {"queued": 1, "superseded": len(before) - 1}
    expect_each_told_once(told)


def test_beside_a_worker_each_is_sent_or_superseded(
    smtp_server: SmtpServer, told: Counter[tuple[str, str]]
) -> None:
    def submit_several() -> list[str]:
        return [submit() for _ in range(WAVES)]

    def work() -> list[str]:
        for _ in range(WAVES * 4):
            dispatch.dispatch_due()
        return []

    submitted = at_once(*[submit_several] * PARALLEL, work, work)
    while dispatch.dispatch_due():
        pass
    found = states()
    assert found.keys() == {id for ids in submitted for id in ids}
    assert set(found.values()) <= {"accepted", "superseded"}
    # What gave way never arrived, and what was accepted did so once.
    arrived = Counter(mail.mail["Message-ID"] for mail in smtp_server.mails)
    accepted = Message.objects.filter(state="accepted").values_list("message_id", flat=True)
    assert arrived == dict.fromkeys(accepted, 1)
    expect_each_told_once(told)
