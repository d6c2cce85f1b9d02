from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db.models import F
from pytest_django.fixtures import Settings

from django_authmail import tasks
from django_authmail.clock import db_now
from django_authmail.models import (
    Attempt,
    Counter,
    IdempotencyRecord,
    Message,
    Recipient,
    State,
    Suppression,
)
from django_authmail.outbox import queue, retention
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db


def final(*, days: float, **changes: Any) -> Message:
    """Return a message that became final so long ago, with an attempt of a moment before."""
    row = queue.submit(auth_message())
    then = db_now("default") - timedelta(days=days)
    values = {"state": State.ACCEPTED, "sealed": None, "due_at": None, "settled_at": then}
    Message.objects.filter(id=row.id).update(**values | {"created_at": then} | changes)
    attempt(row, days=days)
    row.refresh_from_db()
    return row


def attempt(row: Message, *, days: float, number: int = 1) -> Attempt:
    then = db_now("default") - timedelta(days=days)
    return Attempt.objects.create(
        message=row, number=number, started_at=then, duration_ms=1, carrier="default",
        result=Attempt.Result.ACCEPTED,
    )  # fmt: skip


def purge(**options: Any) -> str:
    out = StringIO()
    call_command("authmail_purge", stdout=out, **options)
    return out.getvalue().strip()


def test_each_kind_goes_when_its_time_is_over() -> None:
    gone, without_attempts, whole = final(days=91), final(days=31), final(days=29)
    assert purge(dry_run=True) == "Would delete: 2 attempts, 1 messages"
    assert Message.objects.count() == 3
    assert purge() == "Deleted: 2 attempts, 1 messages"
    assert set(Message.objects.all()) == {without_attempts, whole}
    assert set(Recipient.objects.values_list("message_id", flat=True)) == {
        without_attempts.id,
        whole.id,
    }
    assert [a.message_id for a in Attempt.objects.all()] == [whole.id]
    assert not Message.objects.filter(id=gone.id).exists()
    assert purge() == "Deleted: nothing"


def test_what_is_open_stays_however_old() -> None:
    row = final(days=400)
    open_row = queue.submit(auth_message())
    Message.objects.filter(id=open_row.id).update(created_at=F("created_at") - timedelta(days=400))
    # Old, and settled a moment ago.
    late = final(days=400, settled_at=db_now("default"))
    purge()
    assert set(Message.objects.all()) == {open_row, late}
    assert not Message.objects.filter(id=row.id).exists()


def test_a_window_and_a_suppression_go_after_their_end() -> None:
    now = db_now("default")
    for name, days in (("over", -2), ("ended", -0.5), ("running", 1)):
        Counter.objects.create(key=name, used=1, ends_at=now + timedelta(days=days))
        Suppression.objects.create(
            owner="site", address_hash=name, masked="h***@example.com", reason="bad_recipient",
            created_at=now, ends_at=now + timedelta(days=days),
        )  # fmt: skip
    assert purge() == "Deleted: 1 counters, 2 suppressions"
    assert set(Counter.objects.values_list("key", flat=True)) == {"ended", "running"}
    assert [row.address_hash for row in Suppression.objects.all()] == ["running"]


def remembered(row: Message, *, days: float) -> IdempotencyRecord:
    """Return what is known of the request that `row` was made for, until so many days from now."""
    now = db_now("default")
    return IdempotencyRecord.objects.create(
        scope=row.id.hex, fingerprint="", message=row, created_at=now,
        expires_at=now + timedelta(days=days),
    )  # fmt: skip


def test_a_request_is_forgotten_after_its_time_in_batches_and_its_message_stays() -> None:
    rows = [queue.submit(auth_message()) for _ in range(4)]
    for row, days in zip(rows, (-2, -1, -0.1, 0.1), strict=True):
        remembered(row, days=days)
    assert purge(dry_run=True) == "Would delete: 3 idempotency records"
    assert purge(batch=2) == "Deleted: 3 idempotency records"
    assert [record.message_id for record in IdempotencyRecord.objects.all()] == [rows[3].id]
    assert Message.objects.count() == 4


def test_a_request_is_forgotten_with_its_message() -> None:
    remembered(final(days=91), days=1)
    assert purge() == "Deleted: 1 attempts, 1 messages"
    assert not IdempotencyRecord.objects.exists()


def test_a_retry_outlives_what_it_took_up() -> None:
    failed = final(days=91, state=State.FAILED)
    retry = final(days=1, retry_of=failed)
    purge()
    retry.refresh_from_db()
    assert retry.retry_of is None


@pytest.mark.parametrize("batch", [1, 2, 3, 1000])
def test_in_batches_of_any_size(batch: int) -> None:
    for days in (120, 100, 95):
        final(days=days)
    kept = [final(days=29), final(days=29)]
    steps = [dict(done) for done in retention.purge(batch=batch)]
    assert steps[-1] == {"attempts": 3, "messages": 3}
    assert len(steps) == 2 * -(-3 // batch)
    assert set(Message.objects.all()) == set(kept)
    assert {a.message_id for a in Attempt.objects.all()} == {row.id for row in kept}


def test_an_attempt_that_was_written_over_later_is_as_young_as_that() -> None:
    for days in (80, 70):
        final(days=days)
    written_over = attempt(final(days=60), days=1, number=2)
    for days in (50, 40, 29, 1):
        final(days=days)
    purge()
    left = Attempt.objects.order_by("id")
    assert left.count() == 3
    assert left[0] == written_over


def test_settings_say_how_long_and_zero_is_for_ever(settings: Settings) -> None:
    row = final(days=400)
    settings.AUTHMAIL_RETAIN_ATTEMPTS = settings.AUTHMAIL_RETAIN_MESSAGES = timedelta(0)
    assert purge() == "Deleted: nothing"
    settings.AUTHMAIL_RETAIN_MESSAGES = timedelta(days=399)
    assert purge() == "Deleted: 1 messages"
    assert not Attempt.objects.filter(message_id=row.id).exists()


def test_it_ends_when_its_time_is_up() -> None:
    final(days=120)
    assert list(retention.purge(seconds=0)) == []
    assert Message.objects.count() == 1


def test_the_task_does_it() -> None:
    final(days=120)
    tasks.purge()
    assert not Message.objects.exists()
