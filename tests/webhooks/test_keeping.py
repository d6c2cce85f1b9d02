"""What is kept of webhooks: for how long, after an erasure, and under which key."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django.fixtures import Settings

from django_authmail.clock import db_now
from django_authmail.models import Message, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from django_authmail.outbox import erasure, queue
from django_authmail.outbox.intake import Intake
from django_authmail.outcomes import Refusal, Reply, SendResult
from django_authmail.webhooks import deliveries, endpoints, gauges, replaying
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import NEVER, accepted, submitted
from tests.webhooks.receiver import Receiver
from tests.webhooks.rows import endpoint, meanwhile, payload
from tests.webhooks.test_deliveries import posted, settle
from tests.webhooks.test_recording import CALLBACK

pytestmark = pytest.mark.django_db(transaction=True)

HONG, KIM = "hong@example.com", "kim@example.com"
OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def told(receiver: Receiver) -> WebhookEndpoint:
    """An endpoint, and one event that waits to be sent to it."""
    row, _ = endpoints.create(receiver.url)
    claim = submitted()
    queue.settle(claim, accepted(claim), carrier="default")
    return row


def run(command: str) -> str:
    out = StringIO()
    call_command(command, stdout=out, stderr=out)
    return out.getvalue()


def make_old(days: int) -> None:
    then = db_now("default") - timedelta(days=days)
    Message.objects.update(created_at=then, settled_at=then)
    WebhookDelivery.objects.update(created_at=then)
    WebhookDelivery.objects.filter(settled_at__isnull=False).update(settled_at=then)


def refused_kim() -> Message:
    """A message for two, of which one was refused, that an endpoint and its caller are told of."""
    endpoint()
    row = queue.submit(auth_message(to=(HONG, KIM)), intake=Intake(callback=CALLBACK))
    claim = queue.claim(row.id)
    assert claim is not None
    result = SendResult(
        message_id=claim.message_id,
        accepted=(HONG,),
        refused=(Refusal(address=KIM, failure=NEVER),),
        reply=Reply(code=250),
    )
    return queue.settle(claim, result, carrier="default")


# -- how long -------------------------------------------------------------------------------


def test_webhooks_go_with_their_attempts_when_they_were_kept_long_enough(
    told: WebhookEndpoint,
) -> None:
    [claim] = deliveries.claim_due(1)
    settle(claim, posted())
    make_old(29)
    assert "webhooks" not in run("authmail_purge")
    make_old(31)
    assert "1 webhooks" in run("authmail_purge")
    assert not WebhookAttempt.objects.exists()
    assert WebhookEndpoint.objects.exists()


def test_a_message_stays_while_somebody_is_to_be_told_of_it(
    told: WebhookEndpoint, settings: Settings
) -> None:
    settings.AUTHMAIL_RETAIN_MESSAGES = timedelta(hours=1)
    make_old(1)
    assert run("authmail_purge") == "Deleted: nothing\n"
    [claim] = deliveries.claim_due(1)
    settle(claim, posted())
    assert run("authmail_purge") == "Deleted: 1 messages\n"
    assert not WebhookDelivery.objects.exists()


def test_what_is_replayed_while_a_purge_begins_is_kept(told: WebhookEndpoint) -> None:
    [claim] = deliveries.claim_due(1)
    settle(claim, posted())
    make_old(31)
    table = connection.ops.quote_name(WebhookDelivery._meta.db_table)

    def replay() -> None:
        assert replaying.replay(WebhookDelivery.objects.all()).again == 1

    # Just before the second look: the first one finds what is old.
    with meanwhile(f"SELECT {table}", replay, time=2):
        assert run("authmail_purge") == "Deleted: nothing\n"
    assert WebhookDelivery.objects.get().state == "pending"


def test_a_message_whose_webhook_is_replayed_while_its_purge_begins_is_kept(
    told: WebhookEndpoint, settings: Settings
) -> None:
    settings.AUTHMAIL_RETAIN_MESSAGES = timedelta(days=1)
    [claim] = deliveries.claim_due(1)
    settle(claim, posted())
    # Another, which goes all the same.
    other = submitted()
    queue.settle(other, accepted(other), carrier="default")
    [its] = deliveries.claim_due(1)
    settle(its, posted())
    make_old(2)
    table = connection.ops.quote_name(WebhookDelivery._meta.db_table)

    def replay() -> None:
        assert replaying.replay(WebhookDelivery.objects.filter(pk=claim.id)).again == 1

    # Once its message is chosen, and before anything is deleted: the first look is at old webhooks.
    with meanwhile(f"SELECT {table}", replay, time=2):
        assert run("authmail_purge") == "Deleted: 1 messages\n"
    row = WebhookDelivery.objects.get()
    assert (row.pk, row.state, row.message_id) == (claim.id, "pending", claim.message)


def test_a_replay_of_what_is_deleted_in_that_moment_says_so(
    told: WebhookEndpoint, settings: Settings
) -> None:
    settings.AUTHMAIL_RETAIN_MESSAGES = timedelta(days=1)
    [claim] = deliveries.claim_due(1)
    settle(claim, posted())
    make_old(2)
    with meanwhile("UPDATE", lambda: run("authmail_purge")):
        done = replaying.replay(WebhookDelivery.objects.all())
    assert (done.count, done.gone) == (0, 1)


# -- erased ---------------------------------------------------------------------------------


def test_an_erased_recipient_is_in_no_webhook_that_is_on_its_way() -> None:
    row = refused_kim()
    before = [payload(d) for d in WebhookDelivery.objects.order_by("host")]
    assert before[0]["refused"] == [KIM]
    theirs = row.recipients.get(position=1).address_hash
    assert theirs in str(before[1])
    erasure.erase(KIM)
    own, envelope = (payload(d) for d in WebhookDelivery.objects.order_by("host"))
    assert own["refused"] == []
    assert [r["hash"] == "" for r in envelope["data"]["recipients"]] == [False, True]
    assert theirs not in str(envelope)
    assert (own["message_id"], envelope["type"]) == (row.message_id, "email.partially_accepted")


def test_an_erased_recipient_is_in_no_webhook_that_was_sent() -> None:
    refused_kim()
    for claim in deliveries.claim_due(5):
        settle(claim, posted())
    erasure.erase(KIM)
    assert set(WebhookDelivery.objects.values_list("sealed_payload", flat=True)) == {None}
    # There is nothing left to send again.
    assert replaying.replay(WebhookDelivery.objects.all()).count == 0


# -- sealed again ---------------------------------------------------------------------------


def test_what_is_sealed_of_webhooks_is_sealed_by_the_newest_key(
    receiver: Receiver, settings: Settings
) -> None:
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    row, secret = endpoints.create(receiver.url)
    for callback in (CALLBACK, None):
        message = queue.submit(auth_message(), intake=Intake(callback=callback))
        claim = queue.claim(message.id)
        assert claim is not None
        queue.settle(claim, accepted(claim), carrier="default")
    queue.submit(auth_message(), intake=Intake(callback=CALLBACK))
    settings.AUTHMAIL_SEALING_KEYS = [NEW, OLD]
    # The endpoint's secrets, the open mail's webhook, one target, three payloads.
    assert "6 of 6 values of webhooks were sealed again." in run("authmail_reseal")
    settings.AUTHMAIL_SEALING_KEYS = [NEW]
    assert "0 of 6 values of webhooks" in run("authmail_reseal")
    claims = deliveries.claim_due(5)
    assert {c.secrets[0] for c in claims} == {CALLBACK.secret, secret}
    assert row.pk in {c.endpoint for c in claims}


def test_secrets_that_no_key_opens_are_named(receiver: Receiver, settings: Settings) -> None:
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    row, _ = endpoints.create(receiver.url)
    settings.AUTHMAIL_SEALING_KEYS = [NEW]
    said = run("authmail_reseal")
    assert "1 cannot be opened by any key. Secrets of an endpoint are to be rotated" in said
    assert str(row.pk) in said


# -- gauges ---------------------------------------------------------------------------------


def test_tells_how_many_webhooks_wait_and_for_how_long(told: WebhookEndpoint) -> None:
    then = db_now("default") - timedelta(seconds=90)
    WebhookDelivery.objects.update(due_at=then)
    depth, overdue = gauges.readings()
    assert depth.values == {("pending",): 1, ("sending",): 0}
    assert 90 <= overdue.values[()] < 120
    deliveries.claim_due(1)
    depth, overdue = gauges.readings()
    assert depth.values == {("pending",): 0, ("sending",): 1}
    assert overdue.values == {(): 0}
