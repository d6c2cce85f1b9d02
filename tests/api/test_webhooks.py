from __future__ import annotations

import threading
from typing import Any

import pytest

from django_authmail.api import callbacks
from django_authmail.dispatch import dispatch_due
from django_authmail.models import Message, WebhookDelivery
from django_authmail.webhooks import endpoints, verify_s0
from django_authmail.webhooks.courier import Courier
from tests.api.conftest import CODE, OTP, TO, Api, MakeKey
from tests.smtp_server import SmtpServer
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "a caller's own, CANARY-secret"


def wanted(receiver: Receiver, **members: Any) -> dict[str, Any]:
    return {**OTP, "webhook_url": receiver.url, "webhook_secret": SECRET, **members}


def deliver() -> None:
    dispatch_due()
    Courier(1).run(threading.Event(), until_empty=True)


def test_a_request_with_a_webhook_is_answered_at_once_and_told_the_outcome(
    api: Api, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    response = api.post(body=wanted(receiver), X_Request_ID="req-1")
    assert response.status_code == 202
    body = response.json()
    assert (body["sent"], body["status"], body["state"]) == (False, "accepted", "queued")
    assert "Preference-Applied" not in response.headers
    assert response.headers["Location"].endswith(f"/messages/{body['id']}")
    assert smtp_server.mails == []
    deliver()
    [received] = receiver.received
    told = verify_s0(received.body, received.headers, SECRET)
    assert (told["status"], told["message_id"], told["id"]) == (
        "delivered",
        body["message_id"],
        body["id"],
    )
    assert received.headers["X-Request-ID"] == "req-1"


def test_both_ways_to_ask_for_the_background_go_together(api: Api, receiver: Receiver) -> None:
    response = api.post(body=wanted(receiver), Prefer="respond-async")
    assert response.headers["Preference-Applied"] == "respond-async"


def test_the_caller_is_told_its_refused_addresses(
    api: Api, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 nobody here"
    api.post(body=wanted(receiver))
    deliver()
    [received] = receiver.received
    told = received.json
    assert (told["status"], told["refused"], told["type"]) == ("failed", [TO], "email.failed")
    assert CODE not in received.body.decode()


def test_a_dry_run_checks_the_webhook_and_tells_nobody(api: Api, receiver: Receiver) -> None:
    assert api.post(body=wanted(receiver), X_Dry_Run="1").status_code == 200
    refused = api.post(body=wanted(receiver, webhook_url="ftp://example.com"), X_Dry_Run="1")
    assert refused.json()["code"] == "webhook_url_refused"
    deliver()
    assert receiver.received == []
    assert not Message.objects.exists()


def test_a_refused_url_is_said_without_what_it_resolves_to(api: Api) -> None:
    response = api.post(body={**OTP, "webhook_url": "https://127.0.0.1/?t=CANARY-token"})
    body = response.json()
    assert (response.status_code, body["code"]) == (422, "webhook_url_refused")
    [fault] = body["errors"]
    assert fault["pointer"] == "/webhook_url"
    assert "CANARY-token" not in response.content.decode()
    assert not Message.objects.exists()


def test_without_the_extra_a_webhook_is_refused(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "installed", lambda module: False)
    body = api.post(body=wanted(receiver)).json()
    assert body["code"] == "webhook_url_refused"
    assert "installed without webhooks" in body["errors"][0]["detail"]
    assert "can install django-authmail[webhooks]" in body["hint"]


def test_a_repeat_of_a_request_tells_once(
    api: Api, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    answers = [api.post(body=wanted(receiver), Idempotency_Key="k1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    other = api.post(body=wanted(receiver, webhook_secret="another one"), Idempotency_Key="k1")
    assert other.json()["code"] == "idempotency_key_reused"
    deliver()
    assert len(receiver.received) == len(smtp_server.mails) == 1


def test_a_test_key_s_webhook_is_sent(make_key: MakeKey, receiver: Receiver) -> None:
    Api(key=make_key(is_test=True)[1]).post(body=wanted(receiver))
    deliver()
    assert [each.json["status"] for each in receiver.received] == ["delivered"]


def test_url_and_secret_are_sealed_and_shown_nowhere(
    api: Api, receiver: Receiver, smtp_server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    url = receiver.url + "?t=CANARY-token"
    answer = api.post(body=wanted(receiver, webhook_url=url))
    shown = [answer.content.decode(), repr(list(Message.objects.values()))]
    deliver()
    shown.append(api.get(answer.headers["Location"]).content.decode())
    shown.append(repr(list(WebhookDelivery.objects.values())))
    text = "".join((*shown, caplog.text))
    assert receiver.received[0].path.endswith("?t=CANARY-token")
    for secret in ("CANARY-token", "CANARY-secret"):
        assert secret not in text


@pytest.mark.parametrize("secret", ["", None])
def test_an_empty_secret_is_none(
    api: Api, receiver: Receiver, smtp_server: SmtpServer, secret: str | None
) -> None:
    """As in hwan-email-service, whose callers may have an empty setting for it."""
    assert api.post(body=wanted(receiver, webhook_secret=secret)).status_code == 202
    deliver()
    [received] = receiver.received
    assert not [name for name in received.headers if "signature" in name.lower()]


def test_a_secret_alone_asks_for_nothing(api: Api, smtp_server: SmtpServer) -> None:
    assert api.post(body={**OTP, "webhook_secret": SECRET}).status_code == 200
    assert not WebhookDelivery.objects.exists()


def test_its_caller_reads_what_became_of_a_webhook_and_of_no_other_s(
    make_key: MakeKey, receiver: Receiver, smtp_server: SmtpServer
) -> None:
    row, key = make_key()
    api = Api(key=key)
    mine, _ = endpoints.create(f"{receiver.url}/TOKEN-of-mine", owner=f"key:{row.holder}")
    # Of somebody else, and of whoever runs the service: whom they tell is theirs to know.
    endpoints.create(receiver.url, owner="key:another")
    endpoints.create(receiver.url)
    location = api.post(body=wanted(receiver, webhook_url=f"{receiver.url}?TOKEN"))["Location"]
    assert api.get(location).json()["webhooks"] == []
    receiver.statuses = [204, 503, 204]
    deliver()
    response = api.get(location)
    found = {each["endpoint"]: each for each in response.json()["webhooks"]}
    assert found.keys() == {None, str(mine.pk)}
    assert found[None] | {"created_at": "", "settled_at": ""} == {
        "webhook_id": next(r.id for r in receiver.received if r.path.endswith("?TOKEN")),
        "type": "email.accepted",
        "host": "127.0.0.1",
        "endpoint": None,
        "state": found[None]["state"],
        "attempts": 1,
        "status_code": found[None]["status_code"],
        "reason": found[None]["reason"],
        "created_at": "",
        "settled_at": "",
    }
    for each in found.values():
        delivery = WebhookDelivery.objects.get(pk=each["webhook_id"].removeprefix("msg_"))
        assert each["state"] == delivery.state
        assert each["status_code"] == delivery.status_code == (204 if each["settled_at"] else 503)
        assert each["reason"] == ("ok" if each["settled_at"] else "http_status")
    for secret in ("TOKEN", "CANARY", "whsec_"):
        assert secret not in response.content.decode()
