"""Contract, section 3: errors, each code by what provokes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail import keyring
from django_authmail.clock import db_now
from django_authmail.keyring import Terms
from django_authmail.models import ApiKey, Carrier
from django_authmail.outbox import carriers
from tests.api import web
from tests.api.web import Answer
from tests.contract.callers import CODE, TO, Caller, Socket, body_of
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

OTP = body_of("otp")


def refused(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """Return the members of an answer that is a whole problem of this code."""
    body: dict[str, Any] = answer.json()
    assert (answer.status, body["status"], body["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert body.keys() >= {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "code",
        "request_id",
        "retryable",
        "hint",
    }
    assert body["type"].endswith(f"#{code}")
    for secret in (CODE, TO, "홍길동"):
        assert secret not in answer.content.decode()
    return body


@pytest.mark.parametrize("body", [b"", b"{", b'{"to": "\xff"}', b'{"to": 1, "to": 2}'])
def test_400_malformed_json(raw: Socket, body: bytes) -> None:
    refused(raw.talk("POST", "/send/otp", body), 400, "malformed_json")


def test_401_missing_credentials(raw: Socket) -> None:
    answer = raw.talk("POST", "/send/otp", OTP, Authorization="")
    refused(answer, 401, "missing_credentials")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_401_invalid_api_key(raw: Socket) -> None:
    answer = raw.talk("POST", "/send/otp", OTP, Authorization="Bearer wrong")
    refused(answer, 401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_401_expired_api_key(raw: Socket) -> None:
    row, key = keyring.issue("old", Terms())
    ApiKey.objects.filter(pk=row.pk).update(expires_at=db_now("default") - timedelta(days=1))
    keyring.forget()
    answer = raw.talk("POST", "/send/otp", OTP, Authorization=f"Bearer {key}")
    refused(answer, 401, "expired_api_key")


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"scopes": ("messages:read",)}, "insufficient_scope"),
        ({"recipients": ("@other.example",)}, "recipient_not_allowed"),
        ({"networks": ("192.0.2.0/24",)}, "ip_not_allowed"),
    ],
)
def test_403(raw: Socket, terms: dict[str, Any], code: str) -> None:
    _, key = keyring.issue("narrow", Terms(**terms))
    answer = raw.talk("POST", "/send/otp", OTP, Authorization=f"Bearer {key}")
    refused(answer, 403, code)


@pytest.mark.parametrize("path", ["/messages/x", "/send/pigeon", "/health/pigeon"])
def test_404_not_found(raw: Socket, path: str) -> None:
    refused(raw.talk("GET", path), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_405_method_not_allowed(raw: Socket, method: str) -> None:
    answer = raw.talk(method, "/send/otp")
    refused(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_406_not_acceptable(raw: Socket) -> None:
    refused(raw.talk("POST", "/send/otp", OTP, Accept="text/html"), 406, "not_acceptable")


def test_409_recipient_suppressed(caller: Caller, smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    assert caller.ask().status == 502
    told = caller.ask()
    assert (told.status, told["code"]) == (409, "recipient_suppressed")
    assert [fault["pointer"] for fault in told["errors"]] == ["/to"]


def test_411_length_required(raw: Socket) -> None:
    # Django's own server, as others that do not tell where a body ends; gunicorn does.
    head = web.request(
        "POST", "/send/otp", Transfer_Encoding="chunked", Content_Type="application/json"
    )
    refused(raw.send(head + web.chunked(b"{}")), 411, "length_required")


def test_413_payload_too_large(gunicorn: web.Service) -> None:
    body = b'{"to": "' + b"a" * 10 * 1024 * 1024 + b'"}'
    refused(gunicorn.talk(web.request("POST", "/send/otp", body)), 413, "payload_too_large")


def test_415_unsupported_media_type(raw: Socket) -> None:
    answer = raw.talk("POST", "/send/otp", b"to=a", Content_Type="text/plain")
    refused(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("kind", "changed", "code", "pointer"),
    [
        ("otp", {"code": 1234}, "validation_error", "/code"),
        ("raw", {"subject": "a\r\nBcc: x@example.com"}, "crlf_in_header", "/subject"),
        ("otp", {"to": "a@example.com\r\nBcc: b@example.com"}, "crlf_in_header", "/to"),
        ("raw", {"cc": ["a@example.com", "b\n@example.com"]}, "crlf_in_header", "/cc/1"),
        ("otp", {"to": "nobody"}, "invalid_recipient", "/to"),
        ("template", {"template": "pigeon"}, "unknown_template", "/template"),
        ("template", {"context": {"username": "x"}}, "template_error", "/context/username"),
    ],
)
def test_422(caller: Caller, kind: str, changed: dict[str, Any], code: str, pointer: str) -> None:
    told = caller.ask(kind, **changed)
    assert (told.status, told["code"]) == (422, code)
    assert pointer in [fault["pointer"] for fault in told["errors"]]


def test_429_recipient_cooldown(raw: Socket, smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    raw.ask()
    answer = raw.talk("POST", "/send/otp", OTP)
    body = refused(answer, 429, "recipient_cooldown")
    assert 0 < int(answer.headers["retry-after"]) == body["retry_after"] <= 600


def test_429_quota_exceeded(raw: Socket, smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"minute": 1}}
    raw.ask()
    answer = raw.talk("POST", "/send/otp", OTP)
    refused(answer, 429, "quota_exceeded")
    assert answer.headers["retry-after"].isdigit()


def test_503_paused(raw: Socket, smtp_server: SmtpServer) -> None:
    carriers.pause()
    answer = raw.talk("POST", "/send/otp", OTP)
    refused(answer, 503, "paused")
    assert answer.headers["retry-after"].isdigit()


def test_503_mailer_unavailable(raw: Socket, smtp_server: SmtpServer) -> None:
    until = db_now("default") + timedelta(seconds=20)
    Carrier.objects.create(name="default", broken_until=until)
    answer = raw.talk("POST", "/send/otp", OTP)
    refused(answer, 503, "mailer_unavailable")
    assert 0 < int(answer.headers["retry-after"]) <= 20


@pytest.mark.parametrize(("language", "is_korean"), [("ko-KR,en;q=0.5", True), ("en", False)])
def test_the_hint_is_in_the_caller_s_language(raw: Socket, language: str, is_korean: bool) -> None:
    answer = raw.talk("POST", "/send/otp", b"{", Accept_Language=language)
    hint = refused(answer, 400, "malformed_json")["hint"]
    assert any("가" <= letter <= "힣" for letter in hint) is is_korean
