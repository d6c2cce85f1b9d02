"""What each method asks for: the request as the service gets it."""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import Any

import pytest

from django_authmail.client import Attachment
from tests.client.conftest import CODE, KEY
from tests.client.scripted import SENT, Service, answer, problem

TO = "hong@example.com"
UUID = "fb7e8d48-e142-4eae-ac80-73f059c31a12"


@pytest.mark.parametrize(
    ("method", "arguments", "named", "path", "body"),
    [
        (
            "send_otp",
            (TO, "홍길동", CODE),
            {},
            "/send/otp",
            {"to": TO, "user_name": "홍길동", "code": CODE},
        ),
        (
            "send_magic_link",
            (TO, "홍길동", "t+1"),
            {},
            "/send/magic-link",
            {"to": TO, "user_name": "홍길동", "token": "t+1"},
        ),
        (
            "send_password_reset",
            (TO, "Kim", "t"),
            {"locale": "ko"},
            "/send/password-reset",
            {"to": TO, "user_name": "Kim", "token": "t", "locale": "ko"},
        ),
        (
            "send_email_verification",
            (TO, "Kim"),
            {"code": CODE},
            "/send/email-verification",
            {"to": TO, "user_name": "Kim", "code": CODE},
        ),
        (
            "send_invitation",
            (TO, "Kim", "Lee", "t"),
            {},
            "/send/invitation",
            {"to": TO, "user_name": "Kim", "inviter_name": "Lee", "token": "t"},
        ),
        (
            "send_template",
            (TO, "welcome", {"user_name": "Kim"}),
            {},
            "/send/template",
            {"to": TO, "template": "welcome", "context": {"user_name": "Kim"}},
        ),
        (
            "send",
            (TO, "Hi", "<p>Hi</p>"),
            {},
            "/send",
            {"to": TO, "subject": "Hi", "html_body": "<p>Hi</p>"},
        ),
        (
            "send",
            ((TO, "kim@example.com"), "Hi", "<p>Hi</p>"),
            {
                "text_body": "Hi",
                "cc": ["cc@example.com"],
                "bcc": ("bcc@example.com",),
                "reply_to": "help@example.com",
                "attachments": [Attachment(filename="a.pdf", content=b"\x00\xff")],
            },
            "/send",
            {
                "to": [TO, "kim@example.com"],
                "subject": "Hi",
                "html_body": "<p>Hi</p>",
                "text_body": "Hi",
                "cc": ["cc@example.com"],
                "bcc": ["bcc@example.com"],
                "reply_to": "help@example.com",
                "attachments": [
                    {
                        "filename": "a.pdf",
                        "content_type": "application/octet-stream",
                        "content": base64.b64encode(b"\x00\xff").decode(),
                    }
                ],
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("/") else "",
)
def test_a_method_is_an_endpoint(
    client: Any,
    service: Service,
    method: str,
    arguments: tuple[Any, ...],
    named: dict[str, Any],
    path: str,
    body: dict[str, Any],
) -> None:
    service.script(answer())
    assert getattr(client, method)(*arguments, **named).sent
    [request] = service.requests
    assert (request.method, request.path, request.json) == ("POST", path, body)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert re.fullmatch(r"[0-9a-f-]{36}", request.headers["idempotency-key"])
    assert request.headers["prefer"] == "handling=strict"
    assert "x-dry-run" not in request.headers


def test_the_options_of_every_method(client: Any, service: Service) -> None:
    service.script(answer(202, {**SENT, "sent": False, "status": "accepted", "state": "queued"}))
    queued = client.send_otp(
        TO,
        "Kim",
        CODE,
        respond_async=True,
        locale="ko",
        expires_in=timedelta(minutes=5),
        priority="high",
        metadata={"tenant": "7"},
        webhook_url="https://app.example.com/hook",
        webhook_secret="s" * 24,
        idempotency_key="order-7",
        request_id="call-7",
    )
    [request] = service.requests
    assert request.json == {
        "to": TO,
        "user_name": "Kim",
        "code": CODE,
        "locale": "ko",
        "expires_in": 300,
        "priority": "high",
        "metadata": {"tenant": "7"},
        "webhook_url": "https://app.example.com/hook",
        "webhook_secret": "s" * 24,
    }
    assert request.headers["prefer"] == "respond-async, handling=strict"
    assert request.headers["idempotency-key"] == "order-7"
    assert request.headers["x-request-id"] == "call-7"
    assert (queued.sent, queued.state, queued["status"]) == (False, "queued", "accepted")


def test_an_option_that_is_none_is_not_sent(client: Any, service: Service) -> None:
    service.script(answer())
    client.send_otp(TO, "Kim", CODE, locale=None, expires_in=None, metadata=None, dry_run=None)
    assert service.requests[0].json.keys() == {"to", "user_name", "code"}


def test_a_dry_run_uses_up_no_key(client: Any, service: Service) -> None:
    service.script(
        problem(429, "rate_limited", retry_after="0"),
        answer(body={"sent": False, "dry_run": True, "message": "Email payload is valid"}),
    )
    checked = client.send_otp(TO, "Kim", CODE, dry_run=True)
    for request in service.requests:
        assert request.headers["x-dry-run"] == "true"
        assert request.headers.keys().isdisjoint({"idempotency-key", "prefer"})
    assert (checked.sent, checked.dry_run, checked.state) == (False, True, None)
    assert checked["message"] == "Email payload is valid"


@pytest.mark.parametrize(
    ("option", "hint"),
    [("expire_in", "; did you mean expires_in?"), ("locals", "; did you mean locale?"), ("x", "")],
)
def test_an_option_that_there_is_not(client: Any, service: Service, option: str, hint: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"no option {option!r}{hint}") + "$"):
        client.send_otp(TO, "Kim", CODE, **{option: 1})
    assert not service.requests


@pytest.mark.parametrize("name", ["idempotency_key", "request_id"])
@pytest.mark.parametrize("value", ["", "a\r\nX-Admin: 1", "키", "a" * 256])
def test_an_option_that_would_break_a_header(
    client: Any, service: Service, name: str, value: str
) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 1 to"):
        client.send_otp(TO, "Kim", CODE, **{name: value})
    assert not service.requests


@pytest.mark.parametrize("id", ["../metrics", "nope", "<a@example.com>", None])
def test_a_message_id_names_no_other_path(client: Any, service: Service, id: str | None) -> None:
    with pytest.raises(ValueError, match="is no id of a mail: give the `id` of the answer"):
        client.message(id)
    assert not service.requests


def test_nothing_that_is_secret_shows_itself() -> None:
    assert "CANARY" not in repr(Attachment(filename="a.txt", content=b"CANARY"))
