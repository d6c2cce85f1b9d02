"""Contract, section 7: what a receiver of webhooks can rely on."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from standardwebhooks import Webhook

from django_authmail.clock import db_now
from django_authmail.dispatch import dispatch_due
from django_authmail.models import Message, WebhookDelivery
from django_authmail.webhooks import endpoints
from django_authmail.webhooks.courier import Courier
from tests.contract.callers import CODE, TO, Caller, Socket
from tests.smtp_server import SmtpServer
from tests.webhooks.receiver import Received, Receiver

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a-long-random-string-of-a-caller"


def deliver() -> None:
    """Do what `authmail_dispatch --once` does, with what is due later as well."""
    WebhookDelivery.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))
    dispatch_due()
    Courier(1).run(threading.Event(), until_empty=True)


def told(receiver: Receiver) -> Received:
    deliver()
    [received] = receiver.received
    return received


def s0_accepts(received: Received, secret: str) -> bool:
    """Do what S0's documentation tells receivers to do, in other words than this package's."""
    timestamp = received.headers["X-Email-Service-Timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    content = timestamp.encode() + b"." + received.body
    expected = "sha256=" + hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, received.headers["X-Email-Service-Signature-V2"])


def test_one_post_says_how_the_mail_of_a_request_ended(
    caller: Caller, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    answer = caller.ask(webhook_url=receiver.url, webhook_secret=SECRET)
    assert (answer.status, answer["state"]) == (202, "queued")
    received = told(receiver)
    body = received.json
    assert body.keys() == {
        "message_id",
        "status",
        "error_code",
        "refused",
        "sent_at",
        "attempts",
        "id",
        "type",
        "timestamp",
    }
    assert (body["id"], body["message_id"]) == (answer["id"], answer["message_id"])
    assert (body["status"], body["type"]) == ("delivered", "email.accepted")
    assert (body["error_code"], body["refused"], body["attempts"]) == (None, [], 1)
    for name in ("sent_at", "timestamp"):
        assert body[name].endswith("+00:00")
        assert abs(datetime.fromisoformat(body[name]).timestamp() - time.time()) < 60
    assert CODE not in received.body.decode()
    deliver()
    assert len(receiver.received) == 1


def test_it_can_be_verified_by_s0_s_receivers_and_by_standard_webhooks(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    raw.ask(webhook_url=receiver.url, webhook_secret=SECRET)
    received = told(receiver)
    assert s0_accepts(received, SECRET)
    assert not s0_accepts(received, "another secret")
    library = Webhook(SECRET.encode())
    assert library.verify(received.body, received.headers)["status"] == "delivered"
    # It can be replayed, and is off.
    assert "X-Email-Service-Signature" not in received.headers


def test_s0_s_first_signature_is_there_where_it_is_wanted(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_WEBHOOK_SIGNATURE_V1 = True
    raw.ask(webhook_url=receiver.url, webhook_secret=SECRET)
    received = told(receiver)
    expected = hmac.new(SECRET.encode(), received.body, hashlib.sha256).hexdigest()
    assert received.headers["X-Email-Service-Signature"] == f"sha256={expected}"


def test_without_a_secret_nothing_is_signed(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    raw.ask(webhook_url=receiver.url)
    names = {name.lower() for name in told(receiver).headers}
    assert not any("signature" in name for name in names)
    assert {"webhook-id", "webhook-timestamp", "x-email-service-timestamp"} <= names


def test_request_id_and_trace_go_along(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    trace = f"00-{'4' * 32}-{'7' * 16}-01"
    body = {"to": TO, "user_name": "Hong", "code": CODE, "webhook_url": receiver.url}
    raw.talk("POST", "/send/otp", body, **{"X-Request-ID": "req-7", "traceparent": trace})
    received = told(receiver)
    assert received.headers["X-Request-ID"] == "req-7"
    assert received.headers["traceparent"].startswith(f"00-{'4' * 32}-")


def test_a_refused_mail_has_failed_and_the_caller_s_own_address_is_named(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 nobody here"
    raw.ask(webhook_url=receiver.url)
    body = told(receiver).json
    assert (body["status"], body["type"]) == ("failed", "email.failed")
    assert (body["error_code"], body["refused"]) == ("recipient_refused", [TO])
    assert body["sent_at"] is None


def test_a_mail_that_some_got_was_delivered(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse["kim@example.com"] = "550 5.1.1 nobody here"
    raw.ask("raw", to=[TO, "kim@example.com"], webhook_url=receiver.url)
    body = told(receiver).json
    assert (body["status"], body["type"]) == ("delivered", "email.partially_accepted")
    assert body["refused"] == ["kim@example.com"]


def test_a_mail_that_expired_has_failed(raw: Socket, receiver: Receiver) -> None:
    raw.ask(webhook_url=receiver.url)
    now = db_now("default")
    Message.objects.update(due_at=now, expires_at=now + timedelta(seconds=1))
    body = told(receiver).json
    assert (body["status"], body["type"], body["attempts"]) == ("failed", "email.expired", 0)


def test_it_is_tried_again_with_the_same_id_and_never_touches_the_mail(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (1, 2, 5)
    receiver.statuses = [500, 302, 404, 503]
    raw.ask(webhook_url=receiver.url)
    for _ in range(6):
        deliver()
    assert len(receiver.received) == 4
    assert len(receiver.ids) == 1
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.attempt_count) == ("failed", 4)
    assert (delivery.sealed_target, delivery.sealed_payload) == (None, None)
    assert Message.objects.get().state == "accepted"
    assert len(smtp_server.mails) == 1


def test_410_ends_it(raw: Socket, receiver: Receiver, smtp_server: SmtpServer) -> None:
    receiver.statuses = [410]
    raw.ask(webhook_url=receiver.url)
    told(receiver)
    assert WebhookDelivery.objects.get().state == "failed"


def test_an_endpoint_is_told_in_the_envelope_of_standard_webhooks(
    raw: Socket, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    _, secret = endpoints.create(receiver.url)
    answer = raw.ask(metadata={"order": "1042"})
    received = told(receiver)
    body: dict[str, Any] = Webhook(str(secret)).verify(received.body, received.headers)
    assert body.keys() == {"type", "timestamp", "data"}
    assert (body["type"], body["data"]["id"]) == ("email.accepted", answer["id"])
    assert body["data"]["metadata"] == {"order": "1042"}
    assert TO not in received.body.decode()
    assert not any(name.startswith("X-Email-Service") for name in received.headers)


@pytest.mark.parametrize(
    "webhook_url",
    ["http://127.0.0.1/", "https://10.0.0.1/", "https://169.254.169.254/", "https://u:p@x.com/"],
)
def test_a_url_that_leads_inside_is_refused(raw: Socket, webhook_url: str) -> None:
    answer = raw.ask(webhook_url=webhook_url)
    assert (answer.status, answer["code"]) == (422, "webhook_url_refused")
    assert not Message.objects.exists()
