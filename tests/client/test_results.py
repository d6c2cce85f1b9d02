"""What comes of an answer: a typed one, or an error that says what to do."""

from __future__ import annotations

import copy
import pickle
import time
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from django_authmail.client import (
    ClientError,
    Conflict,
    Fault,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotSent,
    ProblemError,
    RateLimited,
    RefusedRecipient,
    ServiceFailed,
    ServiceUnavailable,
    UnexpectedAnswer,
)
from tests.client import scripted
from tests.client.conftest import CODE, MakeClient
from tests.client.scripted import SENT, Service, Step, answer, problem

OTP = ("hong@example.com", "홍길동", CODE)
UUID = "fb7e8d48-e142-4eae-ac80-73f059c31a12"
OTHER_UUID = "1310870f-c595-4901-8e9e-addba2f22a68"


def test_a_mail_that_was_sent(client: Any, service: Service) -> None:
    refused: dict[str, Any] = {
        "address": "kim@example.com",
        "smtp_code": 550,
        "enhanced_code": "5.1.1",
        "error_code": "recipient_refused",
        "reason": "bad_recipient",
    }
    body = {
        "sent": True,
        "state": "partially_accepted",
        "id": UUID,
        "message_id": "<a@b>",
        "provider_id": "queued as 1",
        "refused": [refused],
        "test": True,
        "of_a_later_version": 1,
    }
    service.script(answer(body=body, X_Request_ID="call-1"))
    sent = client.send_otp(*OTP)
    assert (sent.sent, sent.state, sent.id, sent.message_id, sent.provider_id) == (
        True,
        "partially_accepted",
        UUID,
        "<a@b>",
        "queued as 1",
    )
    assert sent.refused == (RefusedRecipient(**refused),)
    assert (sent.test, sent.replayed, sent.request_id) == (True, False, "call-1")
    assert sent["of_a_later_version"] == 1
    assert dict(sent) == body
    assert "kim@example.com" not in repr(sent)


def test_what_became_of_a_mail(client: Any, service: Service) -> None:
    reply = {"error_code": None, "reason": None, "smtp_code": 250, "enhanced_code": "2.0.0"}
    body = {
        "id": UUID,
        "state": "accepted",
        "kind": "otp",
        "locale": "ko",
        "message_id": "<a@b>",
        "provider_id": None,
        "error_code": None,
        "reason": None,
        "request_id": "call-1",
        "created_at": "2026-11-26T09:00:00.123456Z",
        "accepted_at": "2026-11-26T09:00:01+00:00",
        "settled_at": None,
        "expires_at": None,
        "priority": "high",
        "metadata": {"order": "7"},
        "test": True,
        "retry_of": OTHER_UUID,
        "recipients": [
            {"recipient": "h***@example.com", "state": "accepted", "reply": "OK", **reply}
        ],
        "attempts": [
            {
                "number": 1,
                "started_at": "2026-11-26T09:00:00Z",
                "duration_ms": 31,
                "result": "accepted",
                "reply": None,
                **reply,
            }
        ],
        "webhooks": [
            {
                "webhook_id": "msg_d3da8dbe8b014d4dbac698a3d1d6913a",
                "type": "email.accepted",
                "host": "shop.example.com",
                "endpoint": None,
                "state": "pending",
                "attempts": 2,
                "status_code": 500,
                "reason": "http_status",
                "created_at": "2026-11-26T09:00:01Z",
                "settled_at": None,
            }
        ],
    }
    service.script(answer(body=body))
    message = client.message(UUID)
    assert service.requests[0].path == f"/messages/{UUID}"
    assert message.created_at == datetime(2026, 11, 26, 9, 0, 0, 123456, tzinfo=UTC)
    assert message.settled_at is None
    assert (message.priority, message.metadata, message.test) == ("high", {"order": "7"}, True)
    assert message.retry_of == OTHER_UUID
    assert message.recipients[0].recipient == "h***@example.com"
    assert (message.attempts[0].number, message.attempts[0].duration_ms) == (1, 31)
    [webhook] = message.webhooks
    assert (webhook.type, webhook.host, webhook.endpoint) == (
        "email.accepted",
        "shop.example.com",
        None,
    )
    assert (webhook.state, webhook.attempts, webhook.status_code) == ("pending", 2, 500)
    assert webhook.created_at == datetime(2026, 11, 26, 9, 0, 1, tzinfo=UTC)


def test_a_service_that_tells_nothing_of_webhooks(client: Any, service: Service) -> None:
    body = {"id": UUID, "state": "queued", "kind": "otp", "created_at": "2026-11-26T09:00:00Z"}
    service.script(answer(body=body))
    assert client.message(UUID).webhooks == ()


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "malformed_json", InvalidRequest),
        (401, "invalid_api_key", NotAuthenticated),
        (403, "insufficient_scope", NotAllowed),
        (404, "not_found", NotFound),
        (405, "method_not_allowed", InvalidRequest),
        (406, "not_acceptable", InvalidRequest),
        (409, "recipient_suppressed", Conflict),
        (411, "length_required", InvalidRequest),
        (413, "payload_too_large", InvalidRequest),
        (415, "unsupported_media_type", InvalidRequest),
        (422, "validation_error", InvalidRequest),
        (429, "quota_exceeded", RateLimited),
        (500, "internal_error", ServiceFailed),
        (503, "paused", ServiceUnavailable),
        (418, "of_a_later_version", ServiceFailed),
    ],
)
def test_a_refusal_is_an_error_of_its_family(
    client: Any, service: Service, status: int, code: str, error: type[ProblemError]
) -> None:
    members = {"request_id": "call-1", "hint": "Do this."}
    service.script(problem(status, code, retry_after="77", **members))
    with pytest.raises(error) as caught:
        client.send_otp(*OTP)
    found = caught.value
    assert type(found) is error
    assert (found.status, found.code, found.hint) == (status, code, "Do this.")
    assert (found.request_id, found.retry_after, found.detail) == ("call-1", 77, f"It is {code}.")
    assert found.may_have_been_sent is (status == 500)
    assert str(found) == f"{status} {code}: It is {code}. Do this. [request_id call-1]"
    # Whom S0's client let httpx's errors through to.
    assert isinstance(found, httpx.HTTPStatusError)
    assert found.response.status_code == status
    assert found.response.json()["code"] == code


def test_faults_are_named_by_their_place(client: Any, service: Service) -> None:
    errors = [
        {"pointer": "/user_name", "detail": "is needed"},
        {"pointer": "", "detail": "is no object"},
    ]
    service.script(problem(422, "validation_error", errors=errors))
    with pytest.raises(InvalidRequest) as caught:
        client.send_otp(*OTP)
    assert caught.value.errors == (
        Fault(pointer="/user_name", detail="is needed"),
        Fault(pointer="", detail="is no object"),
    )


def test_each_fault_is_a_line_of_the_text(client: Any, service: Service) -> None:
    """Words of the service end with a full stop or without, and may have a semicolon in them."""
    errors = [
        {"pointer": "/to", "detail": "contains a line break; remove it"},
        {"pointer": "/user_name", "detail": "Ensure this field has no more than 100 characters."},
        {"pointer": "", "detail": "is no object"},
    ]
    service.script(
        problem(422, "validation_error", request_id="call-1", hint="Change them.", errors=errors)
    )
    with pytest.raises(InvalidRequest) as caught:
        client.send_otp(*OTP)
    assert str(caught.value).splitlines() == [
        "422 validation_error: It is validation_error.",
        "  /to: contains a line break; remove it",
        "  /user_name: Ensure this field has no more than 100 characters.",
        "  the body: is no object",
        "Change them. [request_id call-1]",
    ]


@pytest.mark.parametrize(
    ("reason", "in_doubt"), [("greylisted", False), ("outcome_unknown", True), ("", True)]
)
def test_a_mail_that_was_not_taken(
    client: Any, service: Service, reason: str, in_doubt: bool
) -> None:
    members = {"error_code": "smtp_transient", "reason": reason, "id": UUID, "message_id": "<a@b>"}
    service.script(problem(502, "smtp_transient", **members))
    with pytest.raises(NotSent) as caught:
        client.send_otp(*OTP)
    error = caught.value
    assert (error.error_code, error.reason) == ("smtp_transient", reason)
    assert (error.id, error.message_id) == (UUID, "<a@b>")
    assert error.may_have_been_sent is in_doubt
    # S0's EmailServiceError was none, and callers that name both would get the wrong one.
    assert not isinstance(error, httpx.HTTPError)


NESTED = b"[" * 200_000


@pytest.mark.parametrize(
    ("step", "what"),
    [
        pytest.param(answer(body=b""), "it is no JSON object", id="nothing"),
        pytest.param(answer(body=b"<h1>Welcome</h1>"), "it is no JSON object", id="a page"),
        pytest.param(answer(body=b"\xff\xfe{}"), "it is no JSON object", id="no UTF-8"),
        pytest.param(answer(body=NESTED), "it is no JSON object", id="deep"),
        pytest.param(answer(body=[SENT]), "it is no JSON object", id="a list"),
        pytest.param(answer(body={"ok": True}), "sent is not true or false", id="another API"),
        pytest.param(answer(body={**SENT, "id": 7}), "id is no string", id="a number"),
        pytest.param(
            answer(body={**SENT, "refused": {}}), "refused is no list of objects", id="no list"
        ),
        pytest.param(
            answer(body={**SENT, "refused": [{"address": "a"}]}), "error_code is missing", id="less"
        ),
        pytest.param(answer(status=204, body=b""), "it is no JSON object", id="no content"),
        pytest.param(
            answer(404, b"<h1>No such page</h1>"), "404: no answer of this API", id="a site"
        ),
        pytest.param(
            answer(422, {"detail": "no"}), "422: no answer of this API", id="a problem of others"
        ),
        pytest.param(answer(502, b"Bad Gateway"), "502: no answer of this API", id="a proxy"),
        pytest.param(answer(304, b""), "304: no answer of this API", id="not modified"),
        pytest.param(scripted.never_end, "it is no JSON object", id="more than any answer"),
    ],
)
def test_an_answer_of_something_else(client: Any, service: Service, step: Step, what: str) -> None:
    service.script(step)
    begun = time.monotonic()
    with pytest.raises(UnexpectedAnswer) as caught:
        client.send_otp(*OTP)
    assert what in caught.value.detail
    assert caught.value.detail.startswith(f"{service.url} answered ")
    assert caught.value.may_have_been_sent is (caught.value.status not in (304, 404, 422))
    assert time.monotonic() - begun < 8
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(client: Any, service: Service, status: int) -> None:
    with scripted.running() as elsewhere:
        elsewhere.script(answer())
        target = elsewhere.url.replace("http://", "http://user:SECRET@")
        service.script(answer(status, b"", Location=f"{target}/send/otp?SECRET"))
        with pytest.raises(UnexpectedAnswer) as caught:
            client.send_otp(*OTP)
        assert f"a redirect to {elsewhere.url}, which is not followed" in caught.value.detail
        assert "SECRET" not in str(caught.value)
        assert not caught.value.may_have_been_sent
        assert not elsewhere.requests


def test_a_packed_answer_is_not_unpacked(client: Any, service: Service) -> None:
    service.script(answer(body=b"\x1f\x8b\x08", Content_Encoding="gzip"))
    with pytest.raises(UnexpectedAnswer):
        client.send_otp(*OTP)
    assert service.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "step",
    [
        problem(422, "validation_error", errors=[{"pointer": "/to", "detail": "is needed"}]),
        problem(502, "smtp_timeout", reason="smtp_timeout"),
        answer(404, b"<h1>No such page</h1>"),
        scripted.close_after_the_request,
        scripted.stay_silent,
    ],
)
def test_errors_cross_processes(make_client: MakeClient, service: Service, step: Step) -> None:
    service.script(step)
    with pytest.raises(ClientError) as caught:
        make_client(service.url, timeout=0.5).send_otp(*OTP)
    error = caught.value
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert (other.code, other.errors, other.request_id) == (
            error.code,
            error.errors,
            error.request_id,
        )
