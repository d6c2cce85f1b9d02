"""Whatever happens to messages, in whatever order: what must always hold, holds.

A model-based test: hypothesis makes up the course of events, on a real database.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from django_authmail.clock import db_now
from django_authmail.exceptions import LeaseLost, NotHeld
from django_authmail.message import OnUnknown, Priority
from django_authmail.models import Attempt, Message, Recipient, State
from django_authmail.outbox import queue
from django_authmail.outbox.lease import Claim
from django_authmail.outcomes import Refusal, SendResult
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import CARRIER, LATER, NEVER, UNKNOWN

FAILURES = {"later": LATER, "never": NEVER, "carrier": CARRIER, "unknown": UNKNOWN}
ADDRESSES = ("a@example.com", "b@example.com", "c@example.com")

#: A word for each recipient, or one for the whole message.
outcomes = st.one_of(
    st.lists(st.sampled_from(["accepted", "later", "never"]), min_size=3, max_size=3),
    st.sampled_from(sorted(FAILURES)),
)


class Life(RuleBasedStateMachine):
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        Message.objects.all().delete()
        #: The rows of messages that are final, as they were when they became so.
        self.final: dict[uuid.UUID, list[dict[str, Any]]] = {}

    # -- what happens -----------------------------------------------------------------------

    @rule(
        count=st.integers(1, 2),
        recipients=st.integers(1, 3),
        on_unknown=st.sampled_from(OnUnknown),
        priority=st.sampled_from(Priority),
        supersedes=st.booleans(),
        expires_in=st.sampled_from([None, timedelta(minutes=5)]),
    )
    def submit(self, count: int, recipients: int, **changes: Any) -> None:
        queue.submit_many([auth_message(to=ADDRESSES[:recipients], **changes)] * count)

    @rule(
        target=claims,
        on_unknown=st.sampled_from(OnUnknown),
        recipients=st.integers(1, 2),
    )
    def submit_claimed(self, on_unknown: OnUnknown, recipients: int) -> Claim:
        message = auth_message(to=ADDRESSES[:recipients], on_unknown=on_unknown)
        return queue.submit_claimed(message)[1]

    @rule(target=claims, limit=st.integers(1, 3))
    def claim_due(self, limit: int) -> Any:
        before = {row.id: row for row in Message.objects.all()}
        claims = queue.claim_due(limit)
        assert len(claims) <= limit
        assert len({claim.id for claim in claims}) == len(claims)
        for claim in claims:
            self._check_claim(claim, before[claim.id])
        if any(before[claim.id].priority for claim in claims):
            # Low priority is served when nothing of high priority is due.
            due = Message.objects.filter(due_at__lte=db_now("default"), priority=0)
            assert not due.exists()
        return multiple(*claims)

    @precondition(lambda self: Message.objects.exists())
    @rule(target=claims, data=st.data())
    def claim_one(self, data: st.DataObject) -> Any:
        before = self._any(data)
        claim = queue.claim(before.id)
        if claim is None:
            return multiple()
        self._check_claim(claim, before)
        return claim

    @rule(claim=claims, outcome=outcomes, final=st.booleans(), resend_now=st.booleans())
    def settle(self, claim: Claim, outcome: Any, final: bool, resend_now: bool) -> None:
        holds = self._holds(claim)
        resend_now = resend_now and final
        try:
            row = queue.settle(
                claim,
                self._result(claim, outcome),
                carrier="default",
                final=final,
                resend_now=resend_now,
            )
        except LeaseLost:
            assert not holds
            return
        assert holds
        assert not final or row.is_final or (resend_now and row.state == "sending")

    @rule(several=st.lists(claims, unique_by=lambda claim: claim.id, max_size=4), outcome=outcomes)
    def settle_many(self, several: list[Claim], outcome: Any) -> None:
        held = {claim.id for claim in several if self._holds(claim)}
        rows = queue.settle_many(
            [
                queue.Settlement(
                    claim=claim, result=self._result(claim, outcome), carrier="default"
                )
                for claim in several
            ]
        )
        assert {row.id for row in rows} == held

    @rule(claim=claims, minutes=st.integers(-1, 10))
    def postpone(self, claim: Claim, minutes: int) -> None:
        holds = self._holds(claim)
        until = db_now("default") + timedelta(minutes=minutes)
        attempts = Attempt.objects.filter(message=claim.id).count()
        try:
            row = queue.postpone(claim, until=until, failure=CARRIER)
        except LeaseLost:
            assert not holds
            return
        assert holds
        assert row.state == "queued"
        assert Attempt.objects.filter(message=claim.id).count() == attempts

    @rule(claim=claims)
    def drop(self, claim: Claim) -> None:
        holds = self._holds(claim)
        try:
            assert queue.drop(claim, NEVER, State.EXPIRED).is_final
        except LeaseLost:
            assert not holds

    @precondition(lambda self: Message.objects.exists())
    @rule(data=st.data(), decision=st.sampled_from(queue.Decision))
    def decide(self, data: st.DataObject, decision: queue.Decision) -> None:
        before = self._any(data, prefer=State.HELD)
        try:
            row = queue.decide(before.id, decision, by="user:1")
        except NotHeld:
            assert before.state != State.HELD
            return
        assert before.state == State.HELD
        wanted = {"send_again": {"queued"}, "give_up": {"unknown", "partially_accepted"}}
        assert row.state in wanted.get(decision, {"accepted", "partially_accepted"})

    @precondition(lambda self: Message.objects.exists())
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        """What is queued is due, what is being sent has lost its lease, what is held is over."""
        row = self._any(data)
        past = db_now("default") - timedelta(seconds=1)
        Message.objects.filter(id=row.id, due_at__isnull=False).update(due_at=past)

    @precondition(lambda self: Message.objects.exists())
    @rule(data=st.data())
    def grows_too_old(self, data: st.DataObject) -> None:
        row = self._any(data)
        if not row.is_final:
            Message.objects.filter(id=row.id).update(expires_at=db_now("default"))

    # -- what must hold ---------------------------------------------------------------------

    @invariant()
    def what_is_final_stays_as_it_is(self) -> None:
        rows = self._rows()
        for id, found in self.final.items():
            assert rows[id] == found
        for row in Message.objects.all():
            if row.is_final:
                self.final.setdefault(row.id, rows[row.id])

    @invariant()
    def each_row_agrees_with_itself(self) -> None:
        for row in Message.objects.prefetch_related("recipients", "attempts"):
            is_open = not row.is_final
            assert (row.sealed is not None) == (row.due_at is not None) == is_open
            assert (row.lease is not None) == (row.state == State.SENDING)
            assert (row.settled_at is None) == is_open
            assert is_open or not row.supersede_hash
            attempts = list(row.attempts.all())
            assert [a.number for a in attempts] == list(range(1, len(attempts) + 1))
            assert row.attempt_count <= len(attempts)
            assert row.on_unknown == OnUnknown.HOLD or row.resend_count <= 1
            if any(a.result == Attempt.Result.UNKNOWN for a in attempts):
                # A doubt stays a doubt, until a server or a person says that it was taken.
                assert row.state not in (State.FAILED, State.EXPIRED, State.SUPERSEDED)
            self._agrees_with_its_recipients(row)

    def _agrees_with_its_recipients(self, row: Message) -> None:
        states = {recipient.state for recipient in row.recipients.all()}
        pending, accepted = Recipient.State.PENDING, Recipient.State.ACCEPTED
        assert (pending in states) == (not row.is_final)
        if not row.is_final:
            return
        assert (states == {accepted}) == (row.state == State.ACCEPTED)
        assert (accepted in states and len(states) > 1) == (row.state == State.PARTIALLY_ACCEPTED)
        if row.state in (State.FAILED, State.EXPIRED, State.SUPERSEDED):
            assert Recipient.State.UNKNOWN not in states
        if row.state == State.UNKNOWN:
            assert Recipient.State.UNKNOWN in states

    # -- helpers ----------------------------------------------------------------------------

    def _any(self, data: st.DataObject, *, prefer: str = "") -> Message:
        rows = list(Message.objects.order_by("created_at", "id"))
        rows = [row for row in rows if row.state == prefer] or rows
        return data.draw(st.sampled_from(range(len(rows))).map(rows.__getitem__))

    def _check_claim(self, claim: Claim, before: Message) -> None:
        assert before.state in (State.QUEUED, State.SENDING)
        assert before.lease != claim.lease
        row = Message.objects.get(id=claim.id)
        assert (row.state, row.lease) == (State.SENDING, claim.lease)
        assert claim.attempt == row.attempt_count + 1
        assert claim.valid_seconds is None or claim.valid_seconds > 0
        pending = row.recipients.filter(state=Recipient.State.PENDING)
        assert claim.envelope.recipients == tuple(ADDRESSES[r.position] for r in pending)
        if before.state == State.SENDING:
            # Whoever had it died: it is sent again once, and only where that is allowed.
            assert (before.on_unknown, before.resend_count) == (OnUnknown.RESEND, 0)
            assert claim.in_doubt

    def _holds(self, claim: Claim) -> bool:
        return Message.objects.filter(id=claim.id, lease=claim.lease).exists()

    def _result(self, claim: Claim, outcome: Any) -> SendResult:
        recipients = claim.envelope.recipients
        if isinstance(outcome, str):
            return SendResult(message_id=claim.message_id, failure=FAILURES[outcome])
        said = dict(zip(recipients, outcome, strict=False))
        refused = tuple(
            Refusal(address=address, failure=FAILURES[word])
            for address, word in said.items()
            if word != "accepted"
        )
        accepted = tuple(address for address, word in said.items() if word == "accepted")
        return SendResult(
            message_id=claim.message_id,
            accepted=accepted,
            refused=refused,
            failure=None if accepted else refused[0].failure,
        )

    def _rows(self) -> dict[uuid.UUID, list[dict[str, Any]]]:
        found: dict[uuid.UUID, list[dict[str, Any]]] = {}
        for row in Message.objects.values():
            found[row["id"]] = [dict(row)]
        for recipient in Recipient.objects.order_by("id").values():
            found[recipient["message_id"]].append(dict(recipient))
        for attempt in Attempt.objects.order_by("id").values():
            found[attempt["message_id"]].append(dict(attempt))
        return found


@pytest.mark.django_db(transaction=True)
def test_what_must_hold_holds_whatever_happens() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=6,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
        ),
    )
