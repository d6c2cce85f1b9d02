from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from django_authmail.clock import db_now
from django_authmail.exceptions import NotHeld
from django_authmail.message import OnUnknown
from django_authmail.models import Attempt, Message, Recipient
from django_authmail.outbox import queue
from django_authmail.outbox.lease import Claim
from tests.outbox.factories import CODE
from tests.outbox.test_queue import LATER, UNKNOWN, accepted, end_lease, failed, row_of, submitted

pytestmark = pytest.mark.django_db(transaction=True)


def held(**changes: Any) -> Claim:
    """A message in doubt that must not come twice."""
    values = {"on_unknown": OnUnknown.HOLD, "expires_in": None} | changes
    claim = submitted(**values)
    assert queue.settle(claim, failed(claim, UNKNOWN), carrier="default").state == "held"
    return claim


def test_a_message_in_doubt_that_must_not_come_twice_is_held_with_its_body() -> None:
    claim = held()
    row = row_of(claim)
    assert (row.reason, row.lease, row.settled_at) == ("outcome_unknown", None, None)
    assert row.due_at is not None
    assert row.sealed is not None
    assert timedelta(hours=71) < row.due_at - db_now("default") <= timedelta(hours=72)
    # No worker takes it.
    assert queue.claim(claim.id) is None
    assert queue.claim_due(10) == []


def test_a_dead_worker_s_message_that_must_not_come_twice_is_held() -> None:
    claim = submitted(on_unknown=OnUnknown.HOLD)
    end_lease(claim)
    assert queue.claim_due(10) == []
    assert row_of(claim).state == "held"
    assert [a.result for a in Attempt.objects.all()] == ["unknown"]


def test_what_is_of_no_use_any_more_is_not_held() -> None:
    claim = held(expires_in=timedelta(minutes=5))
    row = row_of(claim)
    assert row.due_at == row.expires_at


def test_nobody_decides_in_time() -> None:
    claim = held()
    Message.objects.update(due_at=db_now("default"))
    assert queue.claim_due(10) == []
    row = row_of(claim)
    assert (row.state, row.reason, row.sealed) == ("unknown", "outcome_unknown", None)
    assert [r.state for r in Recipient.objects.all()] == ["unknown"]


def test_sending_again_hands_the_same_mail_over_once_more() -> None:
    claim = held()
    row = queue.decide(claim.id, queue.Decision.SEND_AGAIN, by="user:1")
    assert (row.state, row.resend_count) == ("queued", 1)
    again = queue.claim(claim.id)
    assert again is not None
    assert (again.message_id, again.content) == (claim.message_id, claim.content)
    assert again.in_doubt
    assert CODE.encode() in again.content
    # In doubt again, it is for a person again.
    assert queue.settle(again, failed(again, UNKNOWN), carrier="default").state == "held"
    queue.decide(claim.id, queue.Decision.SEND_AGAIN, by="user:1")
    last = queue.claim(claim.id)
    assert last is not None
    assert queue.settle(last, accepted(last), carrier="default").state == "accepted"
    assert [a.result for a in Attempt.objects.all()] == ["unknown", "unknown", "accepted"]


def test_it_was_delivered() -> None:
    claim = held()
    row = queue.decide(claim.id, queue.Decision.DELIVERED, by="user:1")
    row.refresh_from_db()
    assert (row.state, row.sealed, row.error_code) == ("accepted", None, "")
    # When it was taken, if it was: not when somebody looked.
    assert row.accepted_at == claim.started_at
    recipient = Recipient.objects.get()
    assert (recipient.state, recipient.error_code, recipient.reason) == ("accepted", "", "")


def test_what_was_said_before_the_doubt_is_no_answer_of_acceptance() -> None:
    claim = submitted(on_unknown=OnUnknown.HOLD)
    queue.settle(claim, failed(claim, LATER), carrier="default")
    Message.objects.update(due_at=db_now("default"))
    again = queue.claim(claim.id)
    assert again is not None
    end_lease(again)  # its worker dies
    assert queue.claim_due(10) == []
    queue.decide(claim.id, queue.Decision.DELIVERED, by="user:1")
    recipient = Recipient.objects.get()
    assert (recipient.state, recipient.reason) == ("accepted", "")
    assert (recipient.reply_code, recipient.reply_text) == (None, "")


def test_giving_up() -> None:
    claim = held()
    row = queue.decide(claim.id, queue.Decision.GIVE_UP, by="user:1")
    row.refresh_from_db()
    assert (row.state, row.sealed, row.reason) == ("unknown", None, "outcome_unknown")


@pytest.mark.parametrize("decision", queue.Decision)
def test_decides_only_about_what_is_held(decision: queue.Decision) -> None:
    claim = submitted(on_unknown=OnUnknown.HOLD)
    for id in (claim.id, uuid.uuid4()):
        with pytest.raises(NotHeld):
            queue.decide(id, decision, by="user:1")
    queue.settle(claim, failed(claim, UNKNOWN), carrier="default")
    queue.decide(claim.id, queue.Decision.GIVE_UP, by="user:1")
    with pytest.raises(NotHeld):
        queue.decide(claim.id, decision, by="user:2")


def test_the_log_says_who_decided(caplog: pytest.LogCaptureFixture) -> None:
    claim = held()
    queue.decide(claim.id, queue.Decision.GIVE_UP, by="user:7")
    [line] = [r.getMessage() for r in caplog.records if "email.decided" in r.getMessage()]
    assert line == f"email.decided id={claim.id} decision=give_up by=user:7 state=unknown"
