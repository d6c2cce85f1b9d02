"""Contract, section 2: answers."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import UUID

import pytest
from pytest_django.fixtures import Settings

from django_authmail.models import Message
from tests.conftest import UseMailer
from tests.contract.callers import TO, Caller, Socket, body_of
from tests.smtp.scripted import Peer, scripted
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)


def test_sent_now(caller: Caller, smtp_server: SmtpServer) -> None:
    told = caller.ask()
    assert told.status == 200
    assert dict(told.members) == {
        "sent": True,
        "state": "accepted",
        "id": str(UUID(told["id"])),
        "message_id": smtp_server.mails[0].mail["Message-ID"],
        "provider_id": told["provider_id"],
        "refused": [],
    }
    assert re.fullmatch(r"<[^@<>]+@[^@<>]+>", told["message_id"])
    assert "queued as" in told["provider_id"]


def test_some_recipients_refused(caller: Caller, smtp_server: SmtpServer) -> None:
    smtp_server.refuse["kim@example.com"] = "550 5.2.2 mailbox full"
    told = caller.ask("raw", to=[TO, "kim@example.com"])
    assert (told.status, told["state"]) == (200, "partially_accepted")
    assert told["refused"] == [
        {
            "address": "kim@example.com",
            "smtp_code": 550,
            "enhanced_code": "5.2.2",
            "error_code": "recipient_refused",
            "reason": "mailbox_full",
        }
    ]


def test_background(caller: Caller, smtp_server: SmtpServer) -> None:
    told = caller.ask(in_background=True)
    assert told.status == 202
    message = Message.objects.get()
    assert dict(told.members) == {
        "sent": False,
        "status": "accepted",
        "state": "queued",
        "id": str(message.pk),
        "message_id": message.message_id,
    }
    assert not smtp_server.connections


def test_background_headers(raw: Socket, smtp_server: SmtpServer) -> None:
    answer = raw.talk("POST", "/send/otp", body_of("otp"), Prefer="respond-async")
    assert answer.headers["location"] == f"/messages/{answer.json()['id']}"
    assert answer.headers["preference-applied"] == "respond-async"


@pytest.mark.parametrize("value", ["true", "1", "yes", "TRUE", "Yes"])
def test_dry_run(raw: Socket, smtp_server: SmtpServer, value: str) -> None:
    answer = raw.talk("POST", "/send/otp", body_of("otp"), X_Dry_Run=value)
    assert (answer.status, answer.content) == (
        200,
        b'{"sent":false,"dry_run":true,"message":"Email payload is valid"}',
    )
    assert not Message.objects.exists()
    assert not smtp_server.connections


def test_dry_run_with_the_client(caller: Caller) -> None:
    told = caller.ask(dry_run=True)
    assert dict(told.members) == {
        "sent": False,
        "dry_run": True,
        "message": "Email payload is valid",
    }


def test_dry_run_runs_authentication_scopes_and_validation(raw: Socket) -> None:
    dry = {"X_Dry_Run": "1"}
    assert raw.talk("POST", "/send/otp", body_of("otp"), Authorization="", **dry).status == 401
    assert raw.talk("POST", "/send/otp", body_of("otp", code="1"), **dry).status == 422
    assert raw.talk("POST", "/send/otp", body_of("otp", to="nobody"), **dry).status == 422


def test_dry_run_renders_the_template(raw: Socket) -> None:
    told = raw.ask("template", dry_run=True, context={})
    assert (told.status, told["code"]) == (422, "template_error")


def test_sending_now_failed(caller: Caller, smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "451 4.3.0 busy"
    told = caller.ask()
    assert (told.status, told["code"], told["error_code"]) == (
        502,
        "smtp_transient",
        "smtp_transient",
    )
    # Nothing will be sent later for this request.
    message = Message.objects.get()
    assert (message.state, message.due_at) == ("failed", None)


def test_it_has_a_total_deadline(caller: Caller, settings: Settings, use_mailer: UseMailer) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.5)

    def silent(peer: Peer) -> None:
        peer.stop.wait(60)

    with scripted(silent) as server:
        use_mailer({"host": "127.0.0.1", "port": server.port})
        told = caller.ask()
    assert (told.status, told["error_code"], told["reason"]) == (
        502,
        "smtp_timeout",
        "smtp_timeout",
    )


@pytest.mark.parametrize(
    ("given", "is_echoed"),
    [
        ("call-1", True),
        ("A.b_c-9", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("a b", False),
        ("a/b", False),
        ("é", False),
        ("", False),
    ],
)
def test_X_Request_ID(raw: Socket, smtp_server: SmtpServer, given: str, is_echoed: bool) -> None:
    answer = raw.talk("POST", "/send/otp", body_of("otp"), X_Request_ID=given)
    found = answer.headers["x-request-id"]
    assert found == given if is_echoed else UUID(found)
    assert Message.objects.get().request_id == found


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/messages/x"),
        ("GET", "/send"),
        ("POST", "/send/otp"),
        ("GET", "/docs"),
    ],
)
def test_every_answer_carries_X_Request_ID(raw: Socket, method: str, path: str) -> None:
    answer = raw.talk(method, path, b"{" if method == "POST" else None, X_Request_ID="call-1")
    assert answer.headers["x-request-id"] == "call-1"
    if answer.status >= 400:
        assert answer.json()["request_id"] == "call-1"
