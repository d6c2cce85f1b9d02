"""POST /send: a mail that the caller wrote itself arrives as it is, or is refused with a reason."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from django_authmail.message import OnUnknown
from django_authmail.models import Message
from tests.api.conftest import TO, Api, MakeKey, problem
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

RAW = {"to": TO, "subject": "주문 안내", "html_body": "<h1>주문</h1><p>Order {{ 7|add:7 }}</p>"}
PDF = b"%PDF-1.4\n\0\xff"


def attachment(**changes: Any) -> dict[str, Any]:
    return {
        "filename": "영수증.pdf",
        "content_type": "application/pdf",
        "content": base64.b64encode(PDF).decode(),
    } | changes


def test_sends_what_it_was_given_to_everybody_it_names(api: Api, smtp_server: SmtpServer) -> None:
    people = {
        "to": ["홍길동 <hong@example.com>", "kim@example.com"],
        "cc": "cc@example.com",
        "bcc": ["bcc@example.com"],
        "reply_to": "desk@example.com",
    }
    response = api.post("/send", {**RAW, **people, "locale": "ko", "attachments": [attachment()]})
    assert response.status_code == 200, response.content
    assert response.json()["state"] == "accepted"
    [received] = smtp_server.mails
    mail = received.mail
    assert sorted(received.recipients) == [
        "bcc@example.com",
        "cc@example.com",
        "hong@example.com",
        "kim@example.com",
    ]
    assert (mail["Subject"], mail["Cc"], mail["Reply-To"], mail["Bcc"]) == (
        "주문 안내",
        "cc@example.com",
        "desk@example.com",
        None,
    )
    assert mail["To"] == "홍길동 <hong@example.com>, kim@example.com"
    assert mail["Content-Language"] == "ko"
    # Nothing of it is a template.
    assert received.html.strip() == RAW["html_body"]
    assert received.text.split() == "주문 Order {{ 7|add:7 }}".split()
    [file] = mail.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == ("영수증.pdf", "application/pdf")
    assert file.get_content() == PDF
    row = Message.objects.get()
    assert (row.kind, row.on_unknown, row.expires_at) == ("raw", OnUnknown.RESEND, None)


def test_a_text_of_the_caller_s_own_is_kept(api: Api, smtp_server: SmtpServer) -> None:
    assert api.post("/send", {**RAW, "text_body": "Order.\n"}).status_code == 200
    assert smtp_server.mails[0].text.splitlines() == ["Order."]


def test_line_breaks_in_base64_are_no_fault(api: Api, smtp_server: SmtpServer) -> None:
    content = base64.encodebytes(PDF * 20).decode()
    files = [attachment(content=content), {"filename": "empty", "content": ""}]
    assert api.post("/send", {**RAW, "attachments": files}).status_code == 200
    first, second = smtp_server.mails[0].mail.iter_attachments()
    assert first.get_content() == PDF * 20
    assert (second.get_content_type(), second.get_content()) == ("application/octet-stream", b"")


def test_an_attachment_whose_type_is_null_has_none(api: Api, smtp_server: SmtpServer) -> None:
    files = [attachment(content_type=None)]
    assert api.post("/send", {**RAW, "attachments": files}).status_code == 200
    [file] = smtp_server.mails[0].mail.iter_attachments()
    assert file.get_content_type() == "application/octet-stream"


def test_some_refused_recipients_are_listed(api: Api, smtp_server: SmtpServer) -> None:
    smtp_server.refuse["no@example.com"] = "550 5.1.1 no such user"
    body = api.post("/send", {**RAW, "to": [TO, "no@example.com"]}).json()
    assert (body["sent"], body["state"]) == (True, "partially_accepted")
    assert [refused["address"] for refused in body["refused"]] == ["no@example.com"]


def test_a_mail_that_may_have_been_taken_is_sent_once_more(
    api: Api, smtp_server: SmtpServer
) -> None:
    smtp_server.drop_after_content = 1
    response = api.post("/send", RAW)
    assert (response.status_code, response.json()["state"]) == (200, "accepted")
    first, second = smtp_server.mails
    assert first.mail["Message-ID"] == second.mail["Message-ID"] == response.json()["message_id"]


def test_a_mail_that_may_have_been_taken_twice_is_left_alone(
    api: Api, smtp_server: SmtpServer
) -> None:
    smtp_server.drop_after_content = 10
    body = problem(api.post("/send", RAW), 502, "smtp_connection")
    assert body["reason"] == "outcome_unknown"
    assert len(smtp_server.mails) == 2


def test_answers_at_once_when_asked_to_respond_async(api: Api, smtp_server: SmtpServer) -> None:
    response = api.post("/send", {**RAW, "expires_in": 600}, Prefer="respond-async")
    assert (response.status_code, response.json()["state"]) == (202, "queued")
    row = Message.objects.get()
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).total_seconds() == 600


def test_a_dry_run_stores_and_sends_nothing(api: Api, smtp_server: SmtpServer) -> None:
    response = api.post("/send", RAW, X_Dry_Run="1")
    assert response.json()["dry_run"] is True
    assert not Message.objects.exists()
    assert not smtp_server.connections


def test_needs_a_key_that_allows_it(make_key: MakeKey) -> None:
    api = Api(key=make_key(scopes=("send:otp",))[1])
    problem(api.post("/send", RAW), 403, "insufficient_scope")


@pytest.mark.parametrize(
    ("given", "code", "pointers"),
    [
        pytest.param({"to": []}, "validation_error", ["/to"], id="nobody"),
        pytest.param({"to": {}}, "validation_error", ["/to"], id="an object for addresses"),
        pytest.param({"to": "nobody"}, "invalid_recipient", ["/to"], id="no address"),
        pytest.param({"to": [TO, "nobody"]}, "invalid_recipient", ["/to/1"], id="no address in it"),
        pytest.param({"to": [TO, 7]}, "validation_error", ["/to/1"], id="a number in it"),
        pytest.param(
            {"cc": ["a@example.com\nBcc: b@example.com"]},
            "crlf_in_header",
            ["/cc/0"],
            id="a line break in an address",
        ),
        pytest.param({"subject": ""}, "validation_error", ["/subject"], id="no subject"),
        pytest.param({"subject": "a\nb"}, "crlf_in_header", ["/subject"], id="two lines"),
        pytest.param({"subject": "a\vb"}, "crlf_in_header", ["/subject"], id="a vertical tab"),
        pytest.param({"subject": "x" * 999}, "validation_error", ["/subject"], id="999 characters"),
        pytest.param(
            {"subject": "=?utf-8?q?x?="}, "validation_error", ["/subject"], id="an encoded word"
        ),
        pytest.param({"html_body": ""}, "validation_error", ["/html_body"], id="an empty mail"),
        pytest.param({"html_body": None}, "validation_error", ["/html_body"], id="no mail"),
        pytest.param(
            {"html_body": "가" * 349_526}, "validation_error", ["/html_body"], id="over 1 MB"
        ),
        pytest.param(
            {"to": ["a@example.com"] * 26, "bcc": ["a@example.com"] * 25},
            "validation_error",
            [""],
            id="51 recipients",
        ),
        pytest.param({"attachments": {}}, "validation_error", ["/attachments"], id="no list"),
        pytest.param(
            {"attachments": [attachment()] * 21},
            "validation_error",
            ["/attachments"],
            id="21 files",
        ),
        # A list that is too long is not read: an entry has a fault or more, and a body millions.
        pytest.param(
            {"attachments": [{}] * 21}, "validation_error", ["/attachments"], id="21 of none"
        ),
        pytest.param({"to": ["x"] * 51}, "validation_error", ["/to"], id="51 of no address"),
        pytest.param(
            {"attachments": [attachment(), "x"]},
            "validation_error",
            ["/attachments/1"],
            id="a string for a file",
        ),
        pytest.param(
            {"attachments": [attachment(content="CANARY!")]},
            "validation_error",
            ["/attachments/0/content"],
            id="no base64",
        ),
        pytest.param(
            {"attachments": [attachment(content=7)]},
            "validation_error",
            ["/attachments/0/content"],
            id="a number for base64",
        ),
        pytest.param(
            {"attachments": [attachment(filename="a/b")]},
            "validation_error",
            ["/attachments/0/filename"],
            id="a path",
        ),
        pytest.param(
            {"attachments": [attachment(filename="a\r\nX: b")]},
            "crlf_in_header",
            ["/attachments/0/filename"],
            id="a line break in a file name",
        ),
        pytest.param(
            {"attachments": [attachment(content_type="message/rfc822")]},
            "validation_error",
            ["/attachments/0/content_type"],
            id="a mail as a file",
        ),
        pytest.param(
            {"attachments": [attachment(name="x")]},
            "validation_error",
            ["/attachments/0/name"],
            id="an unknown member of a file",
        ),
        pytest.param({"text": "x"}, "validation_error", ["/text"], id="an unknown member"),
    ],
)
def test_refuses(api: Api, given: dict[str, Any], code: str, pointers: list[str]) -> None:
    response = api.post("/send", {**RAW, **given})
    body = problem(response, 422, code)
    assert [fault["pointer"] for fault in body["errors"]] == pointers
    for secret in ("CANARY", TO, "Order"):
        assert secret not in response.content.decode()
    assert not Message.objects.exists()


def test_takes_the_largest_body_of_all(api: Api) -> None:
    assert api.post("/send", {**RAW, "html_body": "x" * 2**20}, X_Dry_Run="1").status_code == 200
    to = [f"r{n}@example.com" for n in range(50)]
    assert api.post("/send", {**RAW, "to": to}, X_Dry_Run="1").status_code == 200
    files = [attachment()] * 20
    assert api.post("/send", {**RAW, "attachments": files}, X_Dry_Run="1").status_code == 200
