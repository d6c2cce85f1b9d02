"""The members that every endpoint takes which sends: language, validity, priority, metadata."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from django_authmail.models import Message, Priority
from django_authmail.notifiers import registry
from tests.api.conftest import OTP, Api
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

PERSON = {"to": OTP["to"], "user_name": "홍길동"}
BODIES: dict[str, dict[str, Any]] = {
    "/send": {"to": OTP["to"], "subject": "s", "html_body": "<p>b</p>"},
    "/send/otp": OTP,
    "/send/magic-link": PERSON | {"token": "t"},
    "/send/password-reset": PERSON | {"token": "t"},
    "/send/email-verification": PERSON | {"token": "t"},
    "/send/invitation": PERSON | {"token": "t", "inviter_name": "김영희"},
    "/send/template": {
        "to": OTP["to"],
        "template": "welcome",
        "context": {"user_name": "홍길동"},
    },
}


@pytest.mark.parametrize("path", BODIES)
def test_every_endpoint_takes_them(
    path: str, api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    metadata = {"order": "CANARY-4711", "trace.id": "a b"}
    members = {"locale": "ko", "expires_in": 3600, "priority": "low", "metadata": metadata}
    answer = api.post(path, BODIES[path] | members)
    assert answer.status_code == 200, answer.content
    row = Message.objects.get()
    assert (row.locale, row.priority, row.metadata) == ("ko", Priority.LOW, metadata)
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).total_seconds() == 3600
    [mail] = smtp_server.mails
    assert b"4711" not in mail.content
    shown = api.get(f"/messages/{row.pk}").json()
    assert (shown["priority"], shown["metadata"]) == ("low", metadata)


@pytest.mark.parametrize("path", BODIES)
def test_null_is_the_same_as_nothing(path: str, api: Api, settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    nothing = {"locale": None, "expires_in": None, "priority": None, "metadata": None}
    answer = api.post(path, BODIES[path] | nothing, Prefer="respond-async")
    assert answer.status_code == 202, answer.content
    row = Message.objects.get()
    urgent = Priority.LOW if path == "/send/template" else Priority.HIGH  # a welcome can wait
    assert (row.locale or "en", row.priority, row.metadata) == ("en", urgent, {})


def test_the_admin_shows_metadata_as_text(api: Api, smtp_server: SmtpServer) -> None:
    api.post(body=OTP | {"metadata": {"order": "<b>4711</b>"}})
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    page = client.get(f"/admin/authmail/message/{Message.objects.get().pk}/change/")
    assert "<code>order</code>: &lt;b&gt;4711&lt;/b&gt;" in page.content.decode()


def test_no_log_line_has_metadata(
    api: Api, smtp_server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    api.post(body=OTP | {"metadata": {"order": "CANARY-4711"}})
    assert "CANARY-4711" not in caplog.text


def test_a_notifier_takes_them_as_well(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    message = registry.get("otp")().build(
        OTP["to"], user_name="x", code="1234", priority="low", metadata={"order": "4711"}
    )
    assert (message.priority, message.metadata) == ("low", (("order", "4711"),))
