from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from prometheus_client import REGISTRY

from django_authmail.clock import db_now
from django_authmail.message import OnUnknown
from django_authmail.models import Message, Suppression, WebhookDelivery, WebhookEndpoint
from django_authmail.outbox import erasure, queue
from django_authmail.outbox.decisions import Decision
from django_authmail.outbox.intake import Intake
from django_authmail.outcomes import Refusal, Reply, SendResult
from django_authmail.sealing import seal
from django_authmail.secret import Secret
from django_authmail.signals import webhook_queued
from django_authmail.webhooks import deliveries, endpoints, events, replaying, settlement
from django_authmail.webhooks.callbacks import Callback, pack, unpack
from django_authmail.webhooks.posting import Posted
from tests.outbox.factories import CODE, auth_message
from tests.outbox.test_queue import (
    CARRIER,
    LATER,
    NEVER,
    UNKNOWN,
    accepted,
    end_lease,
    failed,
    row_of,
    submitted,
)
from tests.queries import statements_of
from tests.webhooks.rows import endpoint, only, payload, types

pytestmark = pytest.mark.django_db(transaction=True)

OK = Posted(status=204, reason="ok", retry_after=None, duration_seconds=0.01)
HONG, KIM = "hong@example.com", "kim@example.com"
CALLBACK = Callback(
    url=Secret("https://app.example.com/hook?t=CANARY-url"), secret=Secret("s" * 32)
)


def called_back(*to: str, **changes: Any) -> queue.Settlement:
    """Submit a message whose request has a webhook, claim it, and return an end that accepts it."""
    message = auth_message(to=to or (HONG,), **changes)
    row = queue.submit(message, intake=Intake(callback=CALLBACK), request_id="r-1")
    claim = queue.claim(row.id)
    assert claim is not None
    return queue.Settlement(claim=claim, result=accepted(claim), carrier="default")


# -- which changes are events ---------------------------------------------------------------


def test_what_becomes_of_a_hand_over_is_an_event() -> None:
    endpoint()
    for failure, type in (
        (None, events.ACCEPTED),
        (LATER, events.DEFERRED),
        (NEVER, events.FAILED),
    ):
        claim = submitted()
        assert types() == []
        result = accepted(claim) if failure is None else failed(claim, failure)
        queue.settle(claim, result, carrier="default")
        assert types() == [type]
        WebhookDelivery.objects.all().delete()


def test_a_message_that_some_were_refused_is_an_event_of_its_own() -> None:
    endpoint()
    claim = submitted(to=(HONG, KIM))
    result = SendResult(
        message_id=claim.message_id,
        accepted=(HONG,),
        refused=(Refusal(address=KIM, failure=NEVER),),
        reply=Reply(code=250),
    )
    queue.settle(claim, result, carrier="default")
    assert types() == [events.PARTIALLY_ACCEPTED]


def test_a_message_held_and_decided_about_is_an_event_each_time() -> None:
    endpoint()
    claim = submitted(on_unknown=OnUnknown.HOLD, expires_in=None)
    queue.settle(claim, failed(claim, UNKNOWN), carrier="default")
    assert types() == [events.HELD]
    queue.decide(claim.id, Decision.GIVE_UP, by="1")
    assert types() == [events.HELD, events.UNKNOWN]


def test_a_message_that_expires_is_an_event() -> None:
    endpoint()
    row = queue.submit(auth_message())
    now = db_now("default")
    Message.objects.filter(id=row.id).update(expires_at=now, due_at=now)
    assert queue.claim_due(10) == []
    assert types() == [events.EXPIRED]


def test_a_message_that_a_newer_one_takes_the_place_of_is_an_event() -> None:
    endpoint()
    first = queue.submit(auth_message(supersedes=True))
    queue.submit(auth_message(supersedes=True))
    assert types() == [events.SUPERSEDED]
    assert WebhookDelivery.objects.get().message_id == first.id


def test_a_message_for_none_but_suppressed_addresses_is_an_event() -> None:
    endpoint()
    claim = submitted()
    queue.settle(claim, failed(claim, NEVER), carrier="default")
    assert Suppression.objects.exists()
    WebhookDelivery.objects.all().delete()
    queue.submit(auth_message())
    assert types() == [events.SUPPRESSED]


def test_a_worker_s_death_is_told_once_somebody_knows_what_it_means() -> None:
    endpoint()
    claim = submitted(on_unknown=OnUnknown.HOLD)
    end_lease(claim)
    queue.claim_due(10)
    assert types() == [events.HELD]


def test_to_wait_is_no_event() -> None:
    endpoint()
    claim = submitted()
    queue.postpone(claim, until=db_now("default"), failure=CARRIER)
    assert types() == []
    again = queue.claim(claim.id)
    assert again is not None
    # The first time that a carrier cannot work is told, the next ones are not.
    for _ in range(2):
        queue.settle(again, failed(again, CARRIER), carrier="default")
        assert types() == [events.DEFERRED]
        Message.objects.filter(id=claim.id).update(due_at=db_now("default"))
        again = queue.claim(claim.id)
        assert again is not None


# -- who is told ----------------------------------------------------------------------------


def test_an_endpoint_is_told_of_what_it_has_chosen() -> None:
    endpoint(event_types=[events.FAILED], description="not this")
    wanted = endpoint(event_types=[events.FAILED, events.ACCEPTED])
    claim = submitted()
    queue.settle(claim, accepted(claim), carrier="default")
    assert WebhookDelivery.objects.get().endpoint_id == wanted.id


def test_what_happens_while_an_endpoint_is_disabled_is_kept_for_a_replay() -> None:
    off = endpoint(enabled=False)
    told: list[object] = []

    def hear(sender: object, **about: object) -> None:
        told.append(about)

    webhook_queued.connect(hear)
    try:
        claim = submitted()
        queue.settle(claim, accepted(claim), carrier="default")
    finally:
        webhook_queued.disconnect(hear)
    row = WebhookDelivery.objects.get()
    assert (row.state, row.reason, row.due_at) == ("failed", "endpoint_disabled", None)
    assert row.settled_at is not None
    # There is nothing to be sent.
    assert told == []
    endpoints.enable(off.id)
    assert replaying.replay(WebhookDelivery.objects.all()).again == 1
    [sent] = deliveries.claim_due(5)
    assert sent.id == row.id
    assert payload(row)["type"] == events.ACCEPTED


def test_an_endpoint_of_an_owner_is_told_of_that_one_s_messages() -> None:
    own, everyone = endpoint(owner="key:1"), endpoint()
    endpoint(owner="key:2")
    row = queue.submit(auth_message(), owner="key:1")
    claim = queue.claim(row.id)
    assert claim is not None
    queue.settle(claim, accepted(claim), carrier="default")
    told = set(WebhookDelivery.objects.values_list("endpoint_id", flat=True))
    assert told == {own.id, everyone.id}


def test_many_changes_cost_two_queries_for_the_endpoints_and_one_for_the_deliveries() -> None:
    endpoint(), endpoint()
    counts = []
    for size in (2, 9):
        ids = [queue.submit(auth_message()).id for _ in range(size)]
        claims = [claim for id in ids if (claim := queue.claim(id)) is not None]
        ends = [queue.Settlement(claim=c, result=accepted(c), carrier="default") for c in claims]
        with CaptureQueriesContext(connection) as queries:
            queue.settle_many(ends)
        counts.append(len([sql for sql in statements_of(queries) if "authmail_webhook" in sql]))
    # Whether there are any endpoints is asked along with the leases.
    assert counts == [3, 3]
    assert WebhookDelivery.objects.count() == 22


def test_without_endpoints_a_settlement_costs_one_query_more() -> None:
    claim = submitted()
    with CaptureQueriesContext(connection) as queries:
        queue.settle(claim, accepted(claim), carrier="default")
    asked = [q["sql"] for q in queries if "authmail_webhook" in q["sql"]]
    assert len(asked) == 1
    assert asked[0].startswith("SELECT")


# -- a request's own ------------------------------------------------------------------------


def test_a_request_s_webhook_is_sealed_and_moves_to_its_delivery_when_final() -> None:
    end = called_back()
    row = row_of(end.claim)
    assert b"app.example.com" not in bytes(row.webhook or b"")
    queue.settle_many([end])
    assert row_of(end.claim).webhook is None
    delivery = WebhookDelivery.objects.get()
    assert (delivery.host, delivery.type) == ("app.example.com", events.ACCEPTED)
    assert (delivery.endpoint, delivery.message_id) == (None, row.id)
    assert delivery.request_id == "r-1"
    assert unpack(delivery.id, bytes(delivery.sealed_target or b"")) == (CALLBACK, ())
    assert "CANARY" not in repr(CALLBACK)


def test_nothing_that_is_final_can_keep_a_request_s_webhook() -> None:
    end = called_back()
    queue.settle_many([end])
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(id=end.claim.id).update(webhook=b"x")
    [claim] = deliveries.claim_due(1)
    settlement.settle_many([settlement.End(claim=claim, posted=OK)])
    for column in ("sealed_target", "sealed_payload"):
        with pytest.raises(IntegrityError), transaction.atomic():
            WebhookDelivery.objects.update(**{column: b"x"})


def test_a_request_s_webhook_is_told_only_the_end() -> None:
    end = called_back()
    queue.settle(end.claim, failed(end.claim, LATER), carrier="default")
    assert types() == []


def test_a_request_s_webhook_has_s0_s_members_and_three_more() -> None:
    end = called_back()
    queue.settle_many([end])
    row = row_of(end.claim)
    assert row.accepted_at is not None
    body = only()
    assert body.pop("timestamp").endswith("+00:00")
    assert body == {
        "message_id": row.message_id,
        "status": "delivered",
        "error_code": None,
        "refused": [],
        "sent_at": row.accepted_at.astimezone(UTC).isoformat(),
        "attempts": 1,
        "id": str(row.id),
        "type": "email.accepted",
    }


def test_a_request_s_webhook_names_its_refused_addresses_of_every_attempt() -> None:
    end = called_back(HONG, KIM)
    busy = SendResult(
        message_id=end.claim.message_id,
        failure=LATER,
        refused=(Refusal(address=HONG, failure=NEVER),),
    )
    queue.settle(end.claim, busy, carrier="default")
    Message.objects.filter(id=end.claim.id).update(due_at=db_now("default"))
    again = queue.claim(end.claim.id)
    assert again is not None
    assert again.envelope.recipients == (KIM,)
    queue.settle(again, accepted(again), carrier="default")
    body = only()
    assert (body["status"], body["refused"]) == ("delivered", [HONG])
    assert (body["type"], body["attempts"]) == ("email.partially_accepted", 2)


def test_a_failed_one_says_why_and_that_nothing_was_sent() -> None:
    end = called_back()
    queue.settle(end.claim, failed(end.claim, NEVER), carrier="default")
    body = only()
    assert (body["status"], body["error_code"]) == ("failed", "recipient_refused")
    assert (body["sent_at"], body["refused"]) == (None, [HONG])


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        pytest.param(b"broken", "seal_broken", id="no key opens it"),
        pytest.param(seal(b'{"url": 1}'), "row_broken", id="something else sealed it"),
    ],
)
def test_a_webhook_that_cannot_be_opened_fails_and_keeps_no_mail_from_being_settled(
    stored: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    end = called_back()
    Message.objects.filter(id=end.claim.id).update(webhook=stored)
    again_due(end.claim.id)
    claim = queue.claim(end.claim.id)
    assert claim is not None
    before = failed_webhooks()
    queue.settle(claim, accepted(claim), carrier="default")
    row = row_of(claim)
    assert (row.state, row.webhook) == ("accepted", None)
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.reason, delivery.type) == ("failed", reason, events.ACCEPTED)
    assert delivery.message_id == row.id
    assert "webhook.not_recorded" in caplog.text
    assert failed_webhooks() == before + 1


def failed_webhooks() -> float:
    return (
        REGISTRY.get_sample_value("authmail_webhook_deliveries_total", {"result": "failed"}) or 0.0
    )


def test_a_webhook_with_an_address_too_few_keeps_no_mail_from_being_settled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    end = called_back()
    Message.objects.filter(id=end.claim.id).update(webhook=pack(end.claim.id, CALLBACK))
    again_due(end.claim.id)
    claim = queue.claim(end.claim.id)
    assert claim is not None
    queue.settle(claim, failed(claim, NEVER), carrier="default")
    assert row_of(claim).state == "failed"
    assert WebhookDelivery.objects.get().reason == "row_broken"


def test_an_endpoint_whose_url_is_broken_keeps_no_mail_and_no_other_from_being_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, other = endpoint(url="https://[broken/"), endpoint()
    claim = submitted()
    queue.settle(claim, accepted(claim), carrier="default")
    assert row_of(claim).state == "accepted"
    assert WebhookDelivery.objects.get().endpoint_id == other.id
    assert (
        f"webhook.not_recorded message={claim.id} endpoint={broken.id} error=ValueError"
        in caplog.text
    )


def again_due(id: Any) -> None:
    row = Message.objects.get(id=id)
    assert row.due_at is not None
    Message.objects.filter(id=id).update(state="queued", lease=None, due_at=db_now("default"))


# -- what is in it --------------------------------------------------------------------------


def test_an_event_has_no_address_subject_code_or_body() -> None:
    endpoint()
    claim = submitted(metadata=(("user", "42"),), subject="CANARY-subject")
    queue.settle(claim, failed(claim, NEVER), carrier="default")
    delivery = WebhookDelivery.objects.get()
    body = payload(delivery)
    assert body["type"] == "email.failed"
    data = body["data"]
    row = row_of(claim)
    assert data["metadata"] == {"user": "42"}
    assert data["recipients"] == [
        {
            "hash": row.recipients.get().address_hash,
            "state": "refused",
            "error_code": "recipient_refused",
            "reason": "bad_recipient",
            "reply_code": 550,
            "enhanced_code": "5.1.1",
        }
    ]
    assert (data["id"], data["attempts"], data["test"]) == (str(row.id), 1, False)
    for hidden in (HONG, CODE, "CANARY-subject", "no such user"):
        assert hidden not in str(body)


def test_a_change_that_is_rolled_back_has_no_webhook() -> None:
    endpoint()
    told: list[object] = []

    def hear(sender: object, **about: object) -> None:
        told.append(about)

    webhook_queued.connect(hear)
    try:
        claim = submitted()
        with transaction.atomic():
            queue.settle(claim, accepted(claim), carrier="default")
            transaction.set_rollback(True)
        assert (types(), told) == ([], [])
        again_due(claim.id)
        again = queue.claim(claim.id)
        assert again is not None
        queue.settle(again, accepted(again), carrier="default")
        assert types() == ["email.accepted"]
        assert len(told) == 1
    finally:
        webhook_queued.disconnect(hear)


def test_an_endpoint_deleted_at_the_same_moment_keeps_no_mail_from_being_settled() -> None:
    gone = endpoint()
    claim = submitted()
    with transaction.atomic():
        queue.settle(claim, accepted(claim), carrier="default")
        WebhookEndpoint.objects.filter(id=gone.id)._raw_delete("default")
    assert row_of(claim).state == "accepted"
    assert WebhookDelivery.objects.count() == 1


# -- erased ---------------------------------------------------------------------------------


def test_an_erased_message_takes_its_webhooks_along() -> None:
    endpoint()
    queue.settle_many([called_back()])
    assert WebhookDelivery.objects.count() == 2
    erasure.erase(HONG)
    assert not WebhookDelivery.objects.exists()


def test_a_message_that_erasure_ends_for_the_others_too_is_told() -> None:
    end = called_back(HONG, KIM)
    busy = SendResult(
        message_id=end.claim.message_id,
        failure=LATER,
        refused=(Refusal(address=KIM, failure=NEVER),),
    )
    queue.settle(end.claim, busy, carrier="default")
    erasure.erase(HONG)
    body = only()
    assert (body["status"], body["refused"]) == ("failed", [KIM])
