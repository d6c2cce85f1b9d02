"""The span of a webhook, from the request whose mail it is about to the receiver."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from django_authmail import tracing
from django_authmail.models import Message, WebhookDelivery
from django_authmail.outbox import queue
from django_authmail.outbox.intake import Intake
from django_authmail.secret import Secret
from django_authmail.webhooks import endpoints
from django_authmail.webhooks.callbacks import Callback
from django_authmail.webhooks.courier import Courier
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import accepted
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOKEN = "a-token-of-the-receiver"
SECRET = "a secret of the caller's, in words"


def deliver() -> int:
    return Courier(4).run(threading.Event(), until_empty=True)


def told(receiver: Receiver, *, traceparent: str = "") -> Message:
    callback = Callback(url=Secret(f"{receiver.url}?t={TOKEN}"), secret=Secret(SECRET))
    with tracing.doing(tracing.Origin(traceparent=traceparent)):
        row = queue.submit(auth_message(), intake=Intake(callback=callback), request_id="call-1")
    claim = queue.claim(row.id)
    assert claim is not None
    queue.settle(claim, accepted(claim), carrier="default")
    return row


def test_each_attempt_is_a_span_of_the_request_s_trace_that_its_receiver_goes_on_from(
    receiver: Receiver, spans: InMemorySpanExporter
) -> None:
    receiver.statuses = [503]
    row = told(receiver, traceparent=f"00-{TRACE_ID}-{PARENT_ID}-01")
    deliver()
    WebhookDelivery.objects.update(due_at=row.created_at)
    deliver()
    delivery = WebhookDelivery.objects.get()
    assert delivery.attempt_count == 2
    made = spans.get_finished_spans()
    for number, (span, received) in enumerate(zip(made, receiver.received, strict=True), start=1):
        assert span.name == "authmail.webhook"
        assert span.context is not None
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == PARENT_ID
        sent = f"00-{TRACE_ID}-{span.context.span_id:016x}-01"
        assert received.headers["traceparent"] == sent
        assert received.headers["X-Request-ID"] == "call-1"
        assert span.attributes == {
            "authmail.id": str(row.pk),
            "authmail.webhook_id": received.id,
            "authmail.type": "email.accepted",
            "authmail.host": "127.0.0.1",
            "authmail.attempt": str(number),
        }
        for secret in (TOKEN, SECRET, "hong@example.com"):
            assert secret not in span.to_json()
    # The row keeps what the request said: the next attempt is a sibling, not a child.
    assert delivery.traceparent == f"00-{TRACE_ID}-{PARENT_ID}-01"


def test_a_test_event_begins_a_trace_of_its_own(
    receiver: Receiver, spans: InMemorySpanExporter
) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.send_test(row.pk)
    deliver()
    [span] = spans.get_finished_spans()
    assert span.parent is None
    assert span.attributes is not None
    assert "authmail.id" not in span.attributes
