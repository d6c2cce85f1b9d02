"""What the database does for each query: it never reads the messages that are long over."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_authmail import keys
from django_authmail.clock import db_now
from django_authmail.message import OnUnknown, Priority
from django_authmail.models import ApiKey, Attempt, Message, Recipient, State
from django_authmail.outbox import queue
from django_authmail.outbox.lease import Claim
from tests.api.conftest import Api
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import UNKNOWN, accepted, failed
from tests.queries import statements_of

# Not within a transaction: MySQL's OPTIMIZE would commit it.
pytestmark = pytest.mark.django_db(transaction=True)

#: Enough that every planner sees what a full scan costs, and that reading an index to its end is
#: not the same as reading its beginning.
MANY = 2000

#: The tables that grow for as long as retention keeps their rows.
_GROWING = "authmail_(?:message|recipient|attempt)"
_FULL_SCANS = {
    "postgresql": re.compile(rf"Seq Scan on {_GROWING}\b"),
    "sqlite": re.compile(rf"SCAN {_GROWING}\b"),
    # table, partitions, type: in MySQL's columns ALL reads a table, and index all of an index.
    "mysql": re.compile(rf"{_GROWING}\W+(?:NULL|None)?\W*(?:ALL|index)\b"),
}
_EXPLAIN = {"postgresql": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN", "mysql": "EXPLAIN"}


@pytest.fixture
def old_messages() -> None:
    now = db_now("default")
    rows = [
        Message(
            state=State.ACCEPTED,
            kind="otp",
            message_id=f"<{number}@example.org>",
            owner=f"key:{uuid.uuid4()}",
            masked_recipient="h***@example.com",
            recipient_count=1,
            size=1000,
            priority=number % 2,
            on_unknown=OnUnknown.RESEND,
            created_at=now - timedelta(minutes=number),
            settled_at=now,
        )
        for number in range(MANY)
    ]
    Message.objects.bulk_create(rows)
    Recipient.objects.bulk_create(
        Recipient(message=row, position=0, masked="h", address_hash=row.pk.hex * 2, folded_hash="f")
        for row in rows
    )
    Attempt.objects.bulk_create(
        Attempt(
            message=row, number=1, started_at=now, duration_ms=9, carrier="a", result="accepted"
        )
        for row in rows
    )
    queue.submit(auth_message(supersedes=True, to=("waiting@example.com",)))
    with connection.cursor() as cursor:
        # What autovacuum, InnoDB and PRAGMA optimize do sooner or later. OPTIMIZE also takes away
        # what other tests deleted, as InnoDB's purge does: until then, the planner counts it among
        # what is due.
        names = ", ".join(m._meta.db_table for m in (Message, Recipient, Attempt))
        cursor.execute(
            {
                "postgresql": f"ANALYZE {names}",
                "mysql": f"OPTIMIZE TABLE {names}",
                "sqlite": "ANALYZE",
            }[connection.vendor]
        )


def plans_of(work: Callable[[], object]) -> dict[str, str]:
    """Return the plans of the queries that `work` makes, by their SQL."""
    with CaptureQueriesContext(connection) as captured:
        work()
    found: dict[str, str] = {}
    with connection.cursor() as cursor:
        for sql in statements_of(captured):
            if not re.match(r"(SELECT|UPDATE|DELETE)\b.*authmail_", sql, re.DOTALL):
                continue
            if "%s" in sql:
                continue  # by primary key, one row each, sent together
            cursor.execute(f"{_EXPLAIN[connection.vendor]} {sql}")
            found[sql] = "\n".join(map(str, cursor.fetchall()))
    return found


def assert_no_full_scan(plans: dict[str, str]) -> None:
    assert plans
    for sql, plan in plans.items():
        assert not _FULL_SCANS[connection.vendor].search(plan), f"{sql}\n{plan}"


def test_no_query_reads_messages_that_are_long_over(old_messages: None) -> None:
    key = keys.generate()
    owner = ApiKey.objects.create(
        name="shop", prefix=keys.prefix(key), digest=keys.digest(key), scopes=keys.SCOPES
    )
    receipts = [
        queue.submit(auth_message(priority=priority, on_unknown=OnUnknown.HOLD)).id
        for priority in Priority
    ]
    submitted: list[Message] = []

    def submit() -> None:
        message = auth_message(supersedes=True)
        submitted.append(queue.submit(message, owner=f"key:{owner.holder}"))

    submit()
    assert_no_full_scan(plans_of(submit))
    assert Message.objects.get(id=submitted[0].id).state == "superseded"

    answers = []
    plans = plans_of(lambda: answers.append(Api(key=key).get(f"/messages/{submitted[1].pk}")))
    assert [answer.status_code for answer in answers] == [200]
    assert_no_full_scan(plans)

    claims: list[Claim] = []
    plans = plans_of(lambda: claims.extend(queue.claim_due(10)))
    assert len(claims) == 4
    assert_no_full_scan(plans)
    lanes = [plan for sql, plan in plans.items() if "LIMIT" in sql]
    assert len(lanes) == len(Priority)
    for plan in lanes:
        assert "authmail_message_due" in plan
        if connection.vendor == "postgresql":
            # A range of the index, not a filter over all of it.
            assert re.search(r"Index Cond: \(\(priority = \d\) AND \(due_at <=", plan)

    held = next(claim for claim in claims if claim.id in receipts)
    assert_no_full_scan(
        plans_of(lambda: queue.settle(held, failed(held, UNKNOWN), carrier="default"))
    )
    ends = [queue.Settlement(claim=c, result=accepted(c), carrier="default") for c in claims]
    assert_no_full_scan(plans_of(lambda: queue.settle_many(ends)))
    again = queue.Decision.SEND_AGAIN
    assert_no_full_scan(plans_of(lambda: queue.decide(held.id, again, by="user:1")))


def test_what_is_due_first_is_read_first_before_there_are_statistics() -> None:
    queue.submit_many([auth_message() for _ in range(MANY)])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As in a project that has just migrated.
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = 'authmail_message'::regclass")
    plans: list[str] = []

    def explain(
        execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if "LIMIT" in sql:
            # In the same transaction: what it has set counts.
            execute(f"{_EXPLAIN[connection.vendor]} {sql}", params, many, context)
            plans.append("\n".join(map(str, context["cursor"].fetchall())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        assert len(queue.claim_due(5)) == 5
    assert plans
    for plan in plans:
        assert "authmail_message_due" in plan
        assert not re.search(r"Sort|Bitmap|TEMP B-TREE|filesort", plan), plan
