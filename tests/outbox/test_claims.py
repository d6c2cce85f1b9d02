from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_authmail.clock import db_now
from django_authmail.message import OnUnknown, Priority
from django_authmail.models import Attempt, Message
from django_authmail.models import Priority as Lane
from django_authmail.outbox import queue
from django_authmail.outcomes import Refusal, SendResult
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import LATER, NEVER, accepted, end_lease, failed, submitted

pytestmark = pytest.mark.django_db(transaction=True)


def test_high_priority_leaves_before_low_and_the_longest_due_first() -> None:
    receipt = queue.submit(auth_message(priority=Priority.LOW))
    first, second = queue.submit(auth_message()), queue.submit(auth_message())
    Message.objects.filter(id=first.id).update(due_at=db_now("default") - timedelta(hours=1))
    order = [claim.id for _ in range(4) for claim in queue.claim_due(1)]
    assert order == [first.id, second.id, receipt.id]


def test_a_worker_can_serve_one_lane() -> None:
    low = queue.submit(auth_message(priority=Priority.LOW))
    high = queue.submit(auth_message())
    assert [c.id for c in queue.claim_due(10, priority=Lane.LOW)] == [low.id]
    assert [c.id for c in queue.claim_due(10, priority=Lane.LOW)] == []
    assert [c.id for c in queue.claim_due(10, priority=Lane.HIGH)] == [high.id]


def test_many_are_claimed_in_a_fixed_number_of_queries() -> None:
    def queries(count: int) -> int:
        queue.submit_many([auth_message() for _ in range(count)])
        with CaptureQueriesContext(connection) as captured:
            assert len(queue.claim_due(count)) == count
        return len(captured)

    assert queries(1) == queries(30)


def test_what_is_too_late_ends_in_one_go_and_is_not_claimed() -> None:
    late = queue.submit_many([auth_message(expires_in=timedelta(seconds=9)) for _ in range(30)])
    good = queue.submit(auth_message())
    assert [c.id for c in queue.claim_due(1)] == [good.id]
    ended = Message.objects.filter(id__in=[row.id for row in late])
    assert set(ended.values_list("state", "reason", "sealed")) == {("expired", "expired", None)}


def test_a_body_that_does_not_open_does_not_forget_a_doubt() -> None:
    claim = submitted(on_unknown=OnUnknown.RESEND)
    Message.objects.filter(id=claim.id).update(sealed=b"broken")
    end_lease(claim)
    assert queue.claim_due(1) == []
    assert Message.objects.get().state == "unknown"
    assert [a.result for a in Attempt.objects.all()] == ["unknown"]


def test_postponing_counts_no_attempt() -> None:
    claim = submitted(expires_in=None)
    until = db_now("default") + timedelta(hours=2)
    row = queue.postpone(claim, until=until, failure=LATER)
    row.refresh_from_db()
    assert (row.state, row.lease, row.due_at) == ("queued", None, until)
    assert (row.attempt_count, row.attempts.count(), row.reason) == (0, 0, "server_busy")
    assert row.sealed is not None


def test_postponing_ends_with_the_use_of_the_message() -> None:
    claim = submitted(expires_in=timedelta(minutes=5))
    row = queue.postpone(claim, until=db_now("default") + timedelta(hours=2), failure=LATER)
    assert row.due_at == row.expires_at


def test_an_expired_message_that_some_recipients_got_is_partially_accepted() -> None:
    claim = submitted(to=("a@example.com", "b@example.com"))
    result = SendResult(
        message_id=claim.message_id,
        accepted=("a@example.com",),
        refused=(Refusal(address="b@example.com", failure=LATER),),
    )
    assert queue.settle(claim, result, carrier="default").state == "queued"
    Message.objects.update(due_at=db_now("default"), expires_at=db_now("default"))
    assert queue.claim_due(1) == []
    row = Message.objects.get()
    assert (row.state, row.reason) == ("partially_accepted", "expired")
    assert [r.state for r in row.recipients.all()] == ["accepted", "unsent"]


def test_many_are_settled_in_a_fixed_number_of_queries() -> None:
    def queries(count: int) -> int:
        queue.submit_many([auth_message() for _ in range(count)])
        claims = queue.claim_due(count)
        with CaptureQueriesContext(connection) as captured:
            rows = queue.settle_many(
                [
                    queue.Settlement(claim=claim, result=accepted(claim), carrier="default")
                    for claim in claims
                ]
            )
        assert [row.state for row in rows] == ["accepted"] * count
        return len(captured)

    assert queries(1) == queries(30)
    assert Message.objects.filter(state="accepted").count() == 31


def test_a_lost_lease_and_a_broken_row_do_not_keep_others_from_being_settled() -> None:
    lost, odd, good, refused = (submitted() for _ in range(4))
    end_lease(lost)
    assert queue.claim(lost.id) is not None
    odd_result = accepted(odd)
    object.__setattr__(odd_result, "accepted", ())  # says nothing about anybody
    rows = queue.settle_many(
        [
            queue.Settlement(claim=lost, result=accepted(lost), carrier="default"),
            queue.Settlement(claim=odd, result=odd_result, carrier="default"),
            queue.Settlement(claim=good, result=accepted(good), carrier="default"),
            queue.Settlement(claim=refused, result=failed(refused, NEVER), carrier="default"),
        ]
    )
    assert {row.id: row.state for row in rows} == {good.id: "accepted", refused.id: "failed"}
    assert set(
        Message.objects.filter(id__in=[lost.id, odd.id]).values_list("state", flat=True)
    ) == {"sending"}
