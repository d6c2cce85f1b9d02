"""What the database does for each query about webhooks: it never reads those that are over."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection

from django_authmail.clock import db_now
from django_authmail.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from django_authmail.outbox import queue
from django_authmail.sealing import seal
from django_authmail.webhooks import deliveries, gauges
from tests.outbox.test_plans import MANY, plans_of
from tests.outbox.test_queue import accepted, submitted
from tests.webhooks.rows import endpoint
from tests.webhooks.test_deliveries import posted, settle

# Not within a transaction: MySQL's OPTIMIZE would commit it.
pytestmark = pytest.mark.django_db(transaction=True)

_GROWING = "authmail_webhook(?:delivery|attempt)"
_FULL_SCANS = {
    "postgresql": re.compile(rf"Seq Scan on {_GROWING}\b"),
    "sqlite": re.compile(rf"SCAN {_GROWING}\b"),
    # table, partitions, type: in MySQL's columns ALL reads a table, and index all of an index.
    "mysql": re.compile(rf"{_GROWING}\W+(?:NULL|None)?\W*(?:ALL|index)\b"),
}


#: Read off the index of what is open, and none of the rows.
_INDEX_ALONE = {
    "postgresql": re.compile("Index Only Scan using authmail_webhook_due"),
    "sqlite": re.compile("USING COVERING INDEX authmail_webhook_due"),
    # Not "Using index condition", after which rows are read.
    "mysql": re.compile("'authmail_webhook_due'.*[;'] ?Using index[;']"),
}


@pytest.fixture
def told() -> WebhookEndpoint:
    """An endpoint that has been told of much."""
    row, now = endpoint(), db_now("default")
    old = [
        WebhookDelivery(
            endpoint=row,
            type="email.accepted",
            host=f"{number % 7}.example.com",
            sealed_payload=seal(b"{}") if number < 9 else b"",
            state="delivered",
            created_at=now - timedelta(minutes=number),
            settled_at=now,
        )
        for number in range(MANY)
    ]
    WebhookDelivery.objects.bulk_create(old)
    WebhookAttempt.objects.bulk_create(
        WebhookAttempt(delivery=each, number=1, started_at=now, duration_ms=9, reason="ok")
        for each in old
    )
    analyze()
    return row


def analyze() -> None:
    with connection.cursor() as cursor:
        names = ", ".join(m._meta.db_table for m in (WebhookDelivery, WebhookAttempt))
        # OPTIMIZE also takes away what other tests deleted, as InnoDB's purge does sooner or later:
        # until then, the planner counts it among what is due.
        statements = {"postgresql": f"ANALYZE {names}", "mysql": f"OPTIMIZE TABLE {names}"}
        cursor.execute(statements.get(connection.vendor, "ANALYZE"))


def test_no_query_reads_webhooks_that_are_long_over(told: WebhookEndpoint) -> None:
    mails = [submitted() for _ in range(3)]
    claims: list[deliveries.Claim] = []

    def tell() -> None:
        for mail in mails:
            queue.settle(mail, accepted(mail), carrier="default")

    def claim() -> None:
        claims.extend(deliveries.claim_due(8))

    works = {
        "record": tell,
        "wait": deliveries.seconds_until_due,
        "claim": claim,
        "settle": lambda: settle(claims[0], posted()),
        "look again": claim,
        "gauges": lambda: list(gauges.readings()),
    }
    for name, work in works.items():
        for sql, plan in plans_of(work).items():
            assert not _FULL_SCANS[connection.vendor].search(plan), f"{name}: {sql}\n{plan}"
    assert len(claims) == 3


def test_first_attempts_are_read_past_what_was_tried_before(told: WebhookEndpoint) -> None:
    now = db_now("default")
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(
            endpoint=told,
            type="email.accepted",
            host=f"{number}.example.com",
            sealed_payload=seal(b"{}"),
            attempt_count=number < MANY - 1,
            due_at=now - timedelta(seconds=MANY - number),
            created_at=now,
        )
        for number in range(MANY)
    )
    analyze()
    claims: list[deliveries.Claim] = []
    plans = plans_of(lambda: claims.extend(deliveries.claim_due(8, retries=0)))
    assert [claim.attempt for claim in claims] == [1]
    [plan] = [plan for sql, plan in plans.items() if "LIMIT" in sql]
    assert "authmail_webhook_untried" in plan
    if connection.vendor == "postgresql":
        # A range of the index, not a filter over all that is due.
        assert re.search(r"Index Cond: \(\(attempt_count = 0\) AND \(due_at <=", plan), plan


def test_the_gauges_of_webhooks_are_read_off_an_index_alone(told: WebhookEndpoint) -> None:
    for mail in [submitted() for _ in range(3)]:
        queue.settle(mail, accepted(mail), carrier="default")
    deliveries.claim_due(1)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # As autovacuum does: it marks the pages whose rows all can see.
            cursor.execute(f"VACUUM {WebhookDelivery._meta.db_table}")
    [plan] = [
        plan
        for sql, plan in plans_of(lambda: list(gauges.readings())).items()
        if WebhookDelivery._meta.db_table in sql
    ]
    assert _INDEX_ALONE[connection.vendor].search(plan), plan
    depth, overdue = gauges.readings()
    assert depth.values == {("pending",): 2, ("sending",): 1}
    assert overdue.values[()] > 0
