"""What a caller is told about a hand-over that did not go as hoped."""

from __future__ import annotations

import pytest
from django.urls import reverse

from django_authmail import dispatch
from django_authmail.api import outputs
from django_authmail.message import AuthMessage
from django_authmail.models import Message, State
from django_authmail.outbox import queue
from tests.api.conftest import TO, Api, problem
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

TAKEN, GONE, BUSY = "taken@example.com", "gone@example.com", "busy@example.com"


def message(*to: str) -> AuthMessage:
    return AuthMessage(to=to, subject="s", text_body="t", from_email="no-reply@example.com")


def test_lists_everybody_who_does_not_get_the_mail(smtp_server: SmtpServer) -> None:
    smtp_server.refuse = {GONE: "550 5.1.1 no such user", BUSY: "450 4.2.1 come back later"}
    mail = message(GONE, TAKEN, BUSY)
    answer = outputs.sent(dispatch.send_now(mail), mail)
    assert answer["state"] == "partially_accepted"
    assert answer["refused"] == [
        {
            "address": GONE,
            "smtp_code": 550,
            "enhanced_code": "5.1.1",
            "error_code": "recipient_refused",
            "reason": "bad_recipient",
        },
        {
            "address": BUSY,
            "smtp_code": 450,
            "enhanced_code": "4.2.1",
            "error_code": "smtp_transient",
            "reason": "rate_limited_by_server",
        },
    ]


def test_a_mail_that_is_still_on_its_way_is_not_called_unsent() -> None:
    row, _ = queue.submit_claimed(message(TO))
    answer = outputs.not_sent(row)
    assert answer.status == 502
    assert answer.retryable is False
    assert "still being handed over" in answer.detail
    assert "GET /messages/{id}" in str(answer.hint)
    assert reverse("authmail:message", args=[row.pk])


@pytest.mark.parametrize(
    ("resent", "state", "reason", "retryable"),
    [
        (0, State.FAILED, "connection_refused", True),
        (1, State.FAILED, "connection_refused", False),
        (0, State.FAILED, "outcome_unknown", False),
        (0, State.UNKNOWN, "connection_lost", False),
        (0, State.EXPIRED, "expired", False),
    ],
)
def test_only_what_no_server_can_have_is_worth_a_repeat(
    resent: int, state: State, reason: str, retryable: bool
) -> None:
    row = Message(state=state, reason=reason, resend_count=resent, error_code="smtp_connection")
    assert outputs.not_sent(row).retryable is retryable
    assert ("Nobody knows" in outputs.not_sent(row).detail) is (
        not retryable and state != "expired"
    )


def test_a_refusal_after_a_doubt_is_not_retryable(api: Api, smtp_server: SmtpServer) -> None:
    smtp_server.drop_after_content = 1
    first = smtp_server.take

    def take(received: object) -> None:
        first(received)  # type: ignore[arg-type] # passed on as it is
        smtp_server.refuse_content = "451 4.3.0 not now"

    smtp_server.take = take  # type: ignore[method-assign] # the server changes its mind
    body = problem(api.post(), 502, "unknown")
    assert (body["reason"], body["retryable"]) == ("outcome_unknown", False)
    assert "Nobody knows" in body["detail"]
    assert Message.objects.get().attempt_count == 2
