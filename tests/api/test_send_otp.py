"""POST /send/otp: what the caller is told, and what the mail server and the tables saw."""

from __future__ import annotations

import json
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail.clock import db_now
from django_authmail.models import Carrier, Message, State
from django_authmail.outbox import carriers
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.api.conftest import CODE, OTP, TO, Api, MakeKey, problem
from tests.conftest import UseMailer
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_sends_over_http_and_smtp(
    live_server: LiveServer, make_key: MakeKey, smtp_server: SmtpServer
) -> None:
    row, key = make_key()
    request = urllib.request.Request(
        f"{live_server.url}/send/otp",
        data=json.dumps(OTP).encode(),
        headers={"Authorization": f"Bearer {key}", "X-Request-ID": "call-1"},
    )
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as response:
        status, headers, body = response.status, response.headers, json.load(response)
    [mail] = smtp_server.mails
    message = Message.objects.get()
    assert (status, body) == (
        200,
        {
            "sent": True,
            "state": "accepted",
            "id": str(message.id),
            "message_id": mail.mail["Message-ID"],
            "provider_id": message.provider_id,
            "refused": [],
        },
    )
    assert "queued as" in body["provider_id"]
    assert headers["X-Request-ID"] == message.request_id == "call-1"
    assert headers["Cache-Control"] == "no-store"
    assert message.owner == f"key:{row.pk}"
    assert mail.recipients == [TO]
    assert CODE in mail.text
    assert CODE in mail.html


def test_a_dry_run_checks_everything_and_does_nothing(api: Api, smtp_server: SmtpServer) -> None:
    response = api.post(X_Dry_Run="Yes")
    assert response.status_code == 200
    assert response.json() == {
        "sent": False,
        "dry_run": True,
        "message": "Email payload is valid",
    }
    problem(api.post(body={**OTP, "to": "nobody"}, X_Dry_Run="1"), 422, "invalid_recipient")
    assert not Message.objects.exists()
    assert not smtp_server.connections


def test_answers_at_once_when_asked_to_respond_async(api: Api, smtp_server: SmtpServer) -> None:
    response = api.post(Prefer="wait=5, Respond-Async")
    message = Message.objects.get()
    assert response.status_code == 202
    assert response.json() == {
        "sent": False,
        "status": "accepted",
        "state": "queued",
        "id": str(message.id),
        "message_id": message.message_id,
    }
    assert response["Location"] == f"/messages/{message.id}"
    assert response["Preference-Applied"] == "respond-async"
    assert message.state == State.QUEUED
    assert not smtp_server.mails
    assert api.get(response["Location"]).json()["state"] == "queued"


def test_a_refused_recipient_is_a_502(api: Api, smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    response = api.post()
    body = problem(response, 502, "recipient_refused")
    message = Message.objects.get()
    assert body["error_code"] == "recipient_refused"
    assert body["reason"] == "bad_recipient"
    assert (body["id"], body["message_id"]) == (str(message.id), message.message_id)
    assert body["retryable"] is False
    assert body["hint"].startswith("There is no such mailbox")
    assert message.state == State.FAILED
    assert TO not in response.content.decode()


def test_a_passing_refusal_is_retryable(api: Api, smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "451 4.7.1 come back later"
    body = problem(api.post(), 502, "smtp_transient")
    assert (body["reason"], body["retryable"]) == ("greylisted", True)


def test_a_dead_server_is_retryable(api: Api, use_mailer: UseMailer, dead_port: int) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    body = problem(api.post(), 502, "smtp_connection")
    assert (body["reason"], body["retryable"]) == ("connection_refused", True)
    assert Message.objects.get().state == State.FAILED


def test_a_server_without_starttls_gets_nothing(
    api: Api, certificate: ServerCertificate, use_mailer: UseMailer
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        use_mailer(server.options)
        problem(api.post(), 502, "starttls_unsupported")
    assert not server.mails


def test_a_wrong_password_is_told_without_the_password(
    api: Api, smtp_server: SmtpServer, use_mailer: UseMailer
) -> None:
    use_mailer({**smtp_server.options, "password": "WRONG-CANARY"})
    response = api.post()
    body = problem(response, 502, "smtp_auth_failed")
    assert body["reason"] == "auth_failed"
    assert b"WRONG-CANARY" not in response.content


def test_an_unknown_outcome_is_not_retryable(api: Api, smtp_server: SmtpServer) -> None:
    smtp_server.drop_after_content = 10
    response = api.post()
    message = Message.objects.get()
    body = problem(response, 502, "smtp_connection")
    assert (message.state, body["reason"]) == (State.UNKNOWN, "outcome_unknown")
    assert body["retryable"] is False


@pytest.mark.parametrize(
    ("given", "headers", "wanted"),
    [
        pytest.param(
            {}, {"Accept-Language": "ko"}, "en", id="the caller's language does not count"
        ),
        pytest.param({"locale": "ko"}, {}, "ko", id="the body's does"),
        pytest.param({"locale": "ko-KR"}, {}, "ko", id="with a region"),
        pytest.param({"locale": "fr"}, {"Accept-Language": "ko"}, "en", id="no such mails"),
        pytest.param({"locale": None, "expires_in": None}, {}, "en", id="null is absent"),
    ],
)
def test_the_language_of_the_mail(
    api: Api,
    smtp_server: SmtpServer,
    given: dict[str, Any],
    headers: dict[str, str],
    wanted: str,
) -> None:
    assert api.post(body={**OTP, **given}, **headers).status_code == 200
    [mail] = smtp_server.mails
    assert mail.mail["Content-Language"] == wanted


def test_the_lifetime_is_the_caller_s(api: Api, smtp_server: SmtpServer) -> None:
    assert api.post(body={**OTP, "expires_in": 600}).status_code == 200
    assert "10 minutes" in smtp_server.mails[0].text
    message = Message.objects.get()
    assert message.expires_at is not None
    assert (message.expires_at - message.created_at).total_seconds() == 600


def test_a_wrong_from_address_is_not_the_caller_s_fault(
    api: Api, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.DEFAULT_FROM_EMAIL = "nobody"
    problem(api.post(), 500, "internal_error")
    assert "InvalidAddress" in caplog.text
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("code", "status"), [("paused", 503), ("mailer_unavailable", 503), ("quota_exceeded", 429)]
)
def test_a_mailer_that_takes_nothing_now_is_told_with_the_time_to_wait(
    code: str, status: int, api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    if code == "paused":
        carriers.pause()
    elif code == "mailer_unavailable":
        Carrier.objects.create(
            name="default", broken_until=db_now("default") + timedelta(seconds=20)
        )
    else:
        settings.AUTHMAIL_QUOTAS = {"default": {"minute": 1}}
        assert api.post().status_code == 200
    count = Message.objects.count()
    response = api.post()
    body = problem(response, status, code)
    assert 1 <= body["retry_after"] <= 60
    assert response.headers["Retry-After"] == str(body["retry_after"])
    assert body["retryable"]
    # Nothing is left of it; in the background it waits.
    assert Message.objects.count() == count
    assert api.post(Prefer="respond-async").status_code == 202
