"""The client against this project's own service, over a socket, with a mail server behind it."""

from __future__ import annotations

import http.client
from dataclasses import fields
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail.api import outputs
from django_authmail.client import (
    Conflict,
    IdempotencyUnavailable,
    InvalidRequest,
    NotAuthenticated,
    NotFound,
    NotSent,
    RateLimited,
    ServiceUnavailable,
    answers,
)
from django_authmail.models import Message
from tests.client.conftest import CODE, MakeClient
from tests.client.scripted import Peer, Service, Step
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

KEY = "k" * 40
TO = "hong@example.com"
OTP = (TO, "홍길동", CODE)


@pytest.fixture
def live(make_client: MakeClient, live_server: LiveServer, settings: Settings) -> Any:
    """A client of the service of this test run, with a key that may do everything."""
    settings.AUTHMAIL_API_KEY = KEY
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    return make_client(live_server.url, KEY)


def test_health(live: Any) -> None:
    assert live.health().status == "ok"
    assert live.health() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "values", "named", "shown"),
    [
        ("send_otp", (TO, "홍길동", CODE), {}, CODE),
        ("send_magic_link", (TO, "홍길동", "t+1"), {}, "/set-password?token=t%2B1"),
        ("send_password_reset", (TO, "홍길동", "t+1"), {}, "token=t%2B1"),
        ("send_email_verification", (TO, "홍길동"), {"token": "t1", "code": CODE}, CODE),
        ("send_invitation", (TO, "홍길동", "김철수", "t+1"), {}, "김철수"),
        ("send_template", (TO, "welcome", {"user_name": "홍길동"}), {}, "홍길동"),
        ("send", (TO, "제목", "<p>본문</p>"), {"text_body": "본문"}, "본문"),
    ],
)
def test_each_method_sends_its_mail(
    live: Any,
    smtp_server: SmtpServer,
    method: str,
    values: tuple[Any, ...],
    named: dict[str, Any],
    shown: str,
) -> None:
    sent = getattr(live, method)(*values, **named, locale="ko", request_id="call-1")
    [mail] = smtp_server.mails
    assert (mail.recipients, mail.mail["Message-ID"]) == ([TO], sent.message_id)
    assert shown in mail.html
    assert (sent.sent, sent.state, sent.replayed) == (True, "accepted", False)
    assert sent.provider_id is not None
    assert sent.request_id == Message.objects.get().request_id == "call-1"


def test_a_queued_mail_can_be_asked_for(live: Any, smtp_server: SmtpServer) -> None:
    queued = live.send_otp(*OTP, respond_async=True, expires_in=600)
    assert (queued.sent, queued.state, queued["status"]) == (False, "queued", "accepted")
    message = live.message(queued.id)
    assert (message.id, message.state, message.kind) == (queued.id, "queued", "otp")
    assert message.expires_at is not None
    assert (message.expires_at - message.created_at).total_seconds() == 600
    assert [recipient.recipient for recipient in message.recipients] == ["h***@example.com"]
    assert not smtp_server.mails


@pytest.mark.parametrize(
    ("said", "known"),
    [
        (outputs.MessageAnswer, answers.Message),
        (outputs.RecipientAnswer, answers.Recipient),
        (outputs.AttemptAnswer, answers.Attempt),
        (outputs.WebhookAnswer, answers.Webhook),
    ],
)
def test_the_client_knows_what_the_service_says_of_a_message(said: Any, known: Any) -> None:
    # Beside the members as they came.
    assert {field.name for field in fields(known)} - {"members"} == {*said.Meta.fields}


def test_a_sent_mail_shows_its_attempt(live: Any, smtp_server: SmtpServer) -> None:
    message = live.message(live.send_otp(*OTP).id)
    assert message.settled_at is not None
    [attempt] = message.attempts
    assert (attempt.number, attempt.result, attempt.smtp_code) == (1, "accepted", 250)


def test_a_dry_run_sends_nothing(live: Any, smtp_server: SmtpServer) -> None:
    assert live.send_otp(*OTP, dry_run=True) == {
        "sent": False,
        "dry_run": True,
        "message": "Email payload is valid",
    }
    assert not smtp_server.connections
    assert not Message.objects.exists()


def test_some_of_several_recipients_are_refused(live: Any, smtp_server: SmtpServer) -> None:
    smtp_server.refuse["kim@example.com"] = "550 5.1.1 no such user"
    sent = live.send([TO, "kim@example.com"], "Hi", "<p>Hi</p>")
    assert sent.state == "partially_accepted"
    assert [(r.address, r.smtp_code, r.reason) for r in sent.refused] == [
        ("kim@example.com", 550, "bad_recipient")
    ]


def test_a_mail_that_was_not_taken(live: Any, smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    with pytest.raises(NotSent) as caught:
        live.send_otp(*OTP)
    error = caught.value
    assert (error.error_code, error.reason) == ("recipient_refused", "bad_recipient")
    assert not error.may_have_been_sent
    assert error.hint.startswith("There is no such mailbox")
    assert live.message(error.id).state == "failed"
    with pytest.raises(Conflict) as again:
        live.send_otp(*OTP)
    assert again.value.code == "recipient_suppressed"


def test_a_lost_reply_of_the_mail_server_is_told(
    live: Any, smtp_server: SmtpServer, settings: Settings
) -> None:
    smtp_server.drop_after_content = 10
    with pytest.raises(NotSent) as caught:
        live.send_otp(*OTP)
    assert caught.value.reason == "outcome_unknown"
    assert caught.value.may_have_been_sent


def test_what_is_wrong_with_the_values(live: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        live.send_otp(TO, "홍길동", "1")
    assert caught.value.code == "validation_error"
    assert [fault.pointer for fault in caught.value.errors] == ["/code"]
    assert "\n  /code: must be 4 to 12 characters of A-Z, a-z, 0-9 and -\n" in str(caught.value)
    with pytest.raises(InvalidRequest) as caught:
        live.send_otp("nobody", "홍길동", CODE)
    assert caught.value.code == "invalid_recipient"


def test_the_text_of_an_error_has_no_value_of_the_caller(live: Any) -> None:
    canary = "CANARY 5930"
    with pytest.raises(InvalidRequest) as caught:
        live.send(canary, f"{canary}\n", "", cc=[canary], priority=canary, metadata={"a": [canary]})
    pointers = {fault.pointer for fault in caught.value.errors}
    assert pointers == {"/to", "/subject", "/html_body", "/cc/0", "/priority", "/metadata"}
    assert canary not in str(caught.value)


def test_a_wrong_key(live: Any, live_server: LiveServer, make_client: MakeClient) -> None:
    with pytest.raises(NotAuthenticated) as caught:
        make_client(live_server.url, "CANARY").send_otp(*OTP)
    assert caught.value.code == "invalid_api_key"
    assert "CANARY" not in str(caught.value)


def test_a_message_of_nobody(live: Any) -> None:
    with pytest.raises(NotFound):
        live.message("fb7e8d48-e142-4eae-ac80-73f059c31a12")


def test_a_mailbox_that_had_enough(live: Any, smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    live.send_otp(*OTP)
    with pytest.raises(RateLimited) as caught:
        live.send_otp(*OTP)
    assert caught.value.code == "recipient_cooldown"
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 600


def test_links_that_begin_nowhere(live: Any, settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = ""
    with pytest.raises(ServiceUnavailable) as caught:
        live.send_magic_link(TO, "홍길동", "t")
    assert caught.value.code == "magic_link_not_configured"


def test_the_hint_is_in_the_caller_s_language(
    make_client: MakeClient, live: Any, live_server: LiveServer
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        make_client(live_server.url, KEY, language="ko").send_otp(TO, "홍길동", "1")
    assert "errors" in caught.value.hint
    assert any("가" <= letter <= "힣" for letter in caught.value.hint)


def test_the_same_key_sends_one_mail(live: Any, smtp_server: SmtpServer) -> None:
    first = live.send_otp(*OTP, idempotency_key="order-7")
    second = live.send_otp(*OTP, idempotency_key="order-7")
    assert (first.replayed, second.replayed) == (False, True)
    assert second == first
    assert len(smtp_server.mails) == 1
    with pytest.raises(InvalidRequest) as caught:
        live.send_otp(TO, "홍길동", "000000", idempotency_key="order-7")
    assert caught.value.code == "idempotency_key_reused"


def test_a_service_that_recognises_no_repeats_sends_nothing(
    make_client: MakeClient,
    live: Any,
    live_server: LiveServer,
    smtp_server: SmtpServer,
    settings: Settings,
) -> None:
    settings.AUTHMAIL_IDEMPOTENCY_TTL_SECONDS = 0
    with pytest.raises(IdempotencyUnavailable, match="client with idempotency=False"):
        live.send_otp(*OTP)
    assert not smtp_server.mails
    assert make_client(live_server.url, KEY, idempotency=False).send_otp(*OTP).sent
    assert len(smtp_server.mails) == 1


def _forward(url: str, *, lose_the_answer: bool) -> Step:
    """Hand the request on to the service, and its answer back, or drop it."""

    def step(peer: Peer) -> None:
        request = peer.read()
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request(request.method, request.path, request.body, request.headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        if lose_the_answer:
            peer.reset()
            return
        kept = ("Content-Type", "Idempotent-Replayed", "X-Request-ID")
        lines = [f"{name}: {value}\r\n" for name, value in response.getheaders() if name in kept]
        head = f"HTTP/1.1 {response.status} Status\r\nContent-Length: {len(content)}\r\n"
        peer.say(f"{head}{''.join(lines)}Connection: close\r\n\r\n".encode() + content)

    return step


def test_an_answer_that_gets_lost_on_the_way_costs_no_second_mail(
    make_client: MakeClient,
    live: Any,
    live_server: LiveServer,
    service: Service,
    smtp_server: SmtpServer,
) -> None:
    lost = _forward(live_server.url, lose_the_answer=True)
    service.script(lost, lost, _forward(live_server.url, lose_the_answer=False))
    sent = make_client(service.url, KEY).send_otp(*OTP)
    assert len(service.requests) == 3
    assert (sent.sent, sent.replayed) == (True, True)
    [mail] = smtp_server.mails
    assert mail.mail["Message-ID"] == sent.message_id
    assert Message.objects.count() == 1
