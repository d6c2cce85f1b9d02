"""Contract, section 1: endpoints, what they take, and their limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail import keyring, keys
from django_authmail.keyring import Terms
from tests.api import web
from tests.contract.callers import CODE, KEY, TO, VALUES, Caller, Socket, body_of, path_of
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

#: What the mail of each kind shows of the request.
SHOWN = {
    "otp": CODE,
    "magic-link": "https://app.example.com/set-password?token=t%2B%2F%3D",
    "password-reset": "token=t%2B%2F%3D",
    "email-verification": "token=t%2B%2F%3D",
    "invitation": "김영희",
    "template": "홍길동",
    "raw": CODE,
}


def test_GET_health(raw: Socket) -> None:
    answer = raw.talk("GET", "/health", Authorization="")
    assert (answer.status, answer.content) == (200, b'{"status":"ok"}')


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_GET_health_live_and_ready(raw: Socket, smtp_server: SmtpServer, path: str) -> None:
    answer = raw.talk("GET", path, Authorization="")
    assert answer.status in (200, 503)
    assert isinstance(answer.json(), dict)


@pytest.mark.parametrize("kind", VALUES)
def test_POST_send(caller: Caller, smtp_server: SmtpServer, kind: str) -> None:
    told = caller.ask(kind, locale="ko")
    assert (told.status, told["sent"]) == (200, True)
    [mail] = smtp_server.mails
    assert mail.recipients == [TO]
    assert SHOWN[kind] in mail.html.replace("&amp;", "&")


@pytest.mark.parametrize("kind", VALUES)
def test_each_needs_its_scope(raw: Socket, smtp_server: SmtpServer, kind: str) -> None:
    scope = f"send:{kind}"
    _, key = keyring.issue("one", Terms(scopes=(scope,)))
    others = tuple(other for other in keys.SCOPES if other != scope)
    _, other_key = keyring.issue("others", Terms(scopes=others))
    good = raw.talk("POST", path_of(kind), body_of(kind), Authorization=f"Bearer {key}")
    refused = raw.talk("POST", path_of(kind), body_of(kind), Authorization=f"Bearer {other_key}")
    assert good.status == 200
    assert (refused.status, refused.json()["code"]) == (403, "insufficient_scope")


def test_POST_send_makes_a_text_part_from_the_html(caller: Caller, smtp_server: SmtpServer) -> None:
    assert caller.ask("raw", html_body="<p>첫째 &amp; 둘째</p>").status == 200
    assert smtp_server.mails[0].text.strip() == "첫째 & 둘째"


def test_POST_send_with_copies_and_files(raw: Socket, smtp_server: SmtpServer) -> None:
    body = body_of(
        "raw",
        to=[TO, "kim@example.com"],
        cc=["cc@example.com"],
        bcc=["bcc@example.com"],
        reply_to=["help@example.com"],
        text_body="본문",
        attachments=[{"filename": "a.txt", "content_type": "text/plain", "content": "aGk="}],
    )
    assert raw.talk("POST", "/send", body).status == 200
    [mail] = smtp_server.mails
    assert sorted(mail.recipients) == [
        "bcc@example.com",
        "cc@example.com",
        TO,
        "kim@example.com",
    ]
    assert (mail.mail["Cc"], mail.mail["Bcc"], mail.mail["Reply-To"]) == (
        "cc@example.com",
        None,
        "help@example.com",
    )
    [file] = mail.mail.iter_attachments()
    assert file.get_filename() == "a.txt"


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("magic-link", "magic_link_not_configured"),
        ("password-reset", "link_base_url_not_configured"),
    ],
)
def test_links_without_a_base_url(
    caller: Caller, settings: Settings, kind: str, code: str, dry_run: bool
) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = ""
    told = caller.ask(kind, dry_run=dry_run)
    assert (told.status, told["code"]) == (503, code)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"code": None}, 200),
        ({"token": None}, 200),
        ({"code": None, "token": None}, 422),
    ],
    ids=["a token", "a code", "neither"],
)
def test_POST_send_email_verification_takes(
    caller: Caller, smtp_server: SmtpServer, changed: dict[str, Any], status: int
) -> None:
    assert caller.ask("email-verification", **changed).status == status


def test_POST_send_template_of_no_kind(caller: Caller) -> None:
    told = caller.ask("template", template="welcome2")
    assert (told.status, told["code"]) == (422, "unknown_template")
    assert "`welcome`" in told["hint"]


def test_GET_messages(raw: Socket, smtp_server: SmtpServer) -> None:
    sent = raw.talk("POST", "/send/otp", body_of("otp")).json()
    answer = raw.talk("GET", f"/messages/{sent['id']}")
    message = answer.json()
    assert (answer.status, message["state"]) == (200, "accepted")
    assert len(message["attempts"]) == len(message["recipients"]) == 1
    assert message["created_at"] <= message["accepted_at"]
    assert CODE not in answer.content.decode()
    assert TO not in answer.content.decode()


def test_a_key_reads_only_its_own_messages(raw: Socket, smtp_server: SmtpServer) -> None:
    sent = raw.talk("POST", "/send/otp", body_of("otp")).json()
    _, key = keyring.issue("other", Terms(scopes=keys.SCOPES))
    answer = raw.talk("GET", f"/messages/{sent['id']}", Authorization=f"Bearer {key}")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


def test_GET_metrics(raw: Socket, settings: Settings) -> None:
    settings.AUTHMAIL_METRICS_ENABLED = False
    off = raw.talk("GET", "/metrics", Authorization="")
    assert (off.status, off.json()["detail"]) == (404, "metrics disabled")
    settings.AUTHMAIL_METRICS_ENABLED = True
    on = raw.talk("GET", "/metrics", Authorization="")
    assert (on.status, b"email_send_total" in on.content) == (200, True)
    settings.AUTHMAIL_METRICS_REQUIRE_AUTH = True
    assert raw.talk("GET", "/metrics", Authorization="").status == 401
    assert raw.talk("GET", "/metrics").status == 200


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/redoc"])
def test_GET_docs(raw: Socket, settings: Settings, path: str) -> None:
    answer = raw.talk("GET", path, Authorization="")
    assert answer.status == 200
    if path.endswith(".json"):
        assert answer.json()["openapi"].startswith("3.1")
    settings.AUTHMAIL_API_DOCS = False
    assert raw.talk("GET", path, Authorization="").status == 404


@pytest.mark.parametrize("path", ["/send/", "/send/otp/", "/health/", "/messages/x/"])
def test_no_trailing_slash_is_redirected_to(raw: Socket, path: str) -> None:
    answer = raw.talk("POST" if path.startswith("/send") else "GET", path, body_of("otp"))
    assert answer.status == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize("kind", VALUES)
def test_every_POST_send_takes_the_common_members(
    raw: Socket, smtp_server: SmtpServer, kind: str
) -> None:
    told = raw.ask(
        kind, locale="ko", expires_in=600, priority="high", metadata={"order": "CANARY-4711"}
    )
    assert told.status == 200
    assert b"4711" not in smtp_server.mails[0].content


def attachments(count: int) -> list[dict[str, str]]:
    return [{"filename": f"{number}.txt", "content": "aGk="} for number in range(count)]


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("kind", "within", "beyond"),
    [
        pytest.param("raw", {"subject": "s" * 998}, {"subject": "s" * 999}, id="subject"),
        pytest.param("otp", {"user_name": "홍" * 100}, {"user_name": "홍" * 101}, id="user_name"),
        pytest.param("otp", {"code": "1234"}, {"code": "123"}, id="a code of 4"),
        pytest.param("otp", {"code": "1" * 12}, {"code": "1" * 13}, id="a code of 12"),
        pytest.param("magic-link", {"token": "t" * 2000}, {"token": "t" * 2001}, id="token"),
        pytest.param("raw", {"html_body": "h" * MIB}, {"html_body": "h" * (MIB + 1)}, id="HTML"),
        pytest.param("raw", {"text_body": "t" * MIB}, {"text_body": "t" * (MIB + 1)}, id="text"),
        pytest.param(
            "raw",
            {"to": people(40), "bcc": people(10)},
            {"to": people(40), "bcc": people(11)},
            id="recipients",
        ),
        pytest.param(
            "raw", {"attachments": attachments(20)}, {"attachments": attachments(21)}, id="files"
        ),
        pytest.param("otp", {}, {"to": [TO]}, id="one recipient"),
        pytest.param(
            "otp",
            {"metadata": {f"k{n}": "v" for n in range(10)}},
            {"metadata": {f"k{n}": "v" for n in range(11)}},
            id="metadata",
        ),
    ],
)
def test_a_limit(raw: Socket, kind: str, within: dict[str, Any], beyond: dict[str, Any]) -> None:
    assert raw.ask(kind, dry_run=True, **within).status == 200
    told = raw.ask(kind, dry_run=True, **beyond)
    assert (told.status, told["code"]) == (422, "validation_error")


def test_unknown_members_are_refused_with_the_nearest_name(raw: Socket) -> None:
    told = raw.ask("raw", text_bdy="x")
    assert (told.status, told["code"]) == (422, "validation_error")
    assert told["errors"][0]["pointer"] == "/text_bdy"
    assert "`text_body`" in told["hint"]


def test_a_body_without_a_type_is_read_as_json(gunicorn: web.Service) -> None:
    body = json.dumps(body_of("otp")).encode()
    request = web.request("POST", "/send/otp", body, Content_Type="", X_Dry_Run="1")
    assert gunicorn.talk(request).status == 200


def test_a_form_is_refused_with_the_header_to_send(raw: Socket) -> None:
    form = "application/x-www-form-urlencoded"
    answer = raw.talk("POST", "/send/otp", b"to=a", Content_Type=form)
    assert (answer.status, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "Content-Type: application/json" in answer.json()["hint"]
    assert KEY not in json.dumps(answer.json())
