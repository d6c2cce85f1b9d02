"""Contract, section 5: Idempotency-Key. (Races are in tests/api/test_idempotency_races.py.)"""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail import keyring, keys
from django_authmail.client import AuthmailClient, Conflict, NotSent
from django_authmail.keyring import Terms
from django_authmail.models import Message
from tests.api.web import Answer
from tests.contract.callers import CODE, KEY, TO, Socket, body_of
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

OTP = body_of("otp")


def post(raw: Socket, key: str = "key-1", *, path: str = "/send/otp", **headers: str) -> Answer:
    return raw.talk("POST", path, OTP, Idempotency_Key=key, **headers)


def test_same_body_first_finished(raw: Socket, smtp_server: SmtpServer) -> None:
    first, second = post(raw), post(raw)
    assert (first.status, first.content) == (second.status, second.content)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(smtp_server.mails) == Message.objects.count() == 1


def test_same_body_first_finished_in_the_background(raw: Socket) -> None:
    first, second = post(raw, Prefer="respond-async"), post(raw, Prefer="respond-async")
    assert (first.status, first.content) == (second.status, second.content) == (202, first.content)
    assert second.headers["location"] == first.headers["location"]
    assert Message.objects.count() == 1


def test_same_body_first_still_running(
    raw: Socket, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=3)
    smtp_server.hold = True
    answers: list[Answer] = []
    first = threading.Thread(target=lambda: answers.append(post(raw)))
    first.start()
    assert smtp_server.holding.wait(10)
    second = threading.Thread(target=lambda: answers.append(post(raw)))
    second.start()
    smtp_server.release.set()
    first.join(30)
    second.join(30)
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert len(smtp_server.mails) == 1


def test_same_body_first_runs_too_long(
    raw: Socket, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=8)
    smtp_server.hold = True
    first = threading.Thread(target=post, args=(raw,))
    first.start()
    assert smtp_server.holding.wait(10)
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.3)
    second = post(raw)
    assert (second.status, second.json()["code"]) == (409, "idempotency_in_progress")
    assert 0 < int(second.headers["retry-after"]) == second.json()["retry_after"]
    smtp_server.release.set()
    first.join(30)


def test_other_body(raw: Socket, smtp_server: SmtpServer) -> None:
    post(raw)
    other = raw.talk("POST", "/send/otp", {**OTP, "code": "1234"}, Idempotency_Key="key-1")
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(smtp_server.mails) == 1


def test_the_same_body_in_other_words(raw: Socket, smtp_server: SmtpServer) -> None:
    post(raw)
    reordered = {name: OTP[name] for name in reversed(OTP)}
    again = raw.talk("POST", "/send/otp", reordered, Idempotency_Key="key-1")
    assert again.headers["idempotent-replayed"] == "true"


def test_first_was_refused_before_anything_was_stored(raw: Socket, smtp_server: SmtpServer) -> None:
    wrong = raw.talk("POST", "/send/otp", {**OTP, "code": "1"}, Idempotency_Key="key-1")
    assert wrong.status == 422
    assert post(raw).status == 200


def test_first_failed_and_surely_did_not_hand_the_mail_over(
    raw: Socket, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse[TO] = "450 4.3.0 later"
    first = post(raw)
    assert (first.status, first.json()["retryable"]) == (502, True)
    del smtp_server.refuse[TO]
    second = post(raw)
    assert second.status == 200
    failed, sent = Message.objects.order_by("created_at")
    assert (failed.state, sent.state, sent.retry_of_id) == ("failed", "accepted", failed.pk)
    assert sent.message_id == failed.message_id == first.json()["message_id"]
    assert post(raw).json()["id"] == str(sent.pk)


def test_first_ended_in_unknown(raw: Socket, smtp_server: SmtpServer) -> None:
    smtp_server.drop_after_content = 10
    first = post(raw)
    assert (first.status, first.json()["reason"]) == (502, "outcome_unknown")
    taken = len(smtp_server.mails)
    second = post(raw)
    assert (second.status, second.json()["id"]) == (502, first.json()["id"])
    assert len(smtp_server.mails) == taken


def test_the_scope_of_a_key(raw: Socket, smtp_server: SmtpServer) -> None:
    _, other = keyring.issue("other", Terms(scopes=keys.SCOPES))
    post(raw)
    assert post(raw, "Key-1").status == 200  # case counts
    assert post(raw, Authorization=f"Bearer {other}").status == 200
    raw.talk("POST", "/send", body_of("raw"), Idempotency_Key="key-1")
    assert len(smtp_server.mails) == 4


def test_quoted_or_bare(raw: Socket, smtp_server: SmtpServer) -> None:
    assert post(raw, "key-1").status == 200
    assert post(raw, '"key-1"').headers["idempotent-replayed"] == "true"
    assert post(raw, "k" * 255).status == 200


@pytest.mark.parametrize("key", ["k" * 256, "a b", "키".encode().decode("latin-1"), '"', '""'])
def test_what_is_no_key(raw: Socket, key: str) -> None:
    answer = post(raw, key)
    assert (answer.status, answer.json()["code"]) == (400, "idempotency_key_invalid")


def test_a_dry_run_uses_up_no_key(raw: Socket, smtp_server: SmtpServer) -> None:
    assert post(raw, X_Dry_Run="1").status == 200
    assert (
        raw.talk("POST", "/send/otp", {**OTP, "code": "1234"}, Idempotency_Key="key-1").status
        == 200
    )


def test_the_client_waits_for_the_first(
    live_server: LiveServer, url: str, smtp_server: SmtpServer, settings: Settings
) -> None:
    """A timeout of its own is no reason to send again, and neither is one of the service."""
    # For the first: the second is told to come back after so long, which is longer than it has.
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=60)
    smtp_server.hold = True
    with AuthmailClient(url, KEY, 20) as client:
        first = threading.Thread(
            target=client.send_otp, args=(TO, "홍길동", CODE), kwargs={"idempotency_key": "key-1"}
        )
        first.start()
        assert smtp_server.holding.wait(10)
        settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.3)
        with AuthmailClient(url, KEY, 20) as other, pytest.raises(Conflict) as caught:
            other.send_otp(TO, "홍길동", CODE, idempotency_key="key-1")
        assert caught.value.code == "idempotency_in_progress"
        assert caught.value.may_have_been_sent
        smtp_server.release.set()
        first.join(30)
        sent = client.send_otp(TO, "홍길동", CODE, idempotency_key="key-1")
    assert (sent.sent, sent.replayed) == (True, True)
    assert len(smtp_server.mails) == 1


def test_the_client_does_not_send_again_what_is_in_doubt(url: str, smtp_server: SmtpServer) -> None:
    smtp_server.drop_after_content = 10
    with AuthmailClient(url, KEY) as client:
        with pytest.raises(NotSent):
            client.send_otp(TO, "홍길동", CODE, idempotency_key="key-1")
        taken = len(smtp_server.mails)
        with pytest.raises(NotSent) as caught:
            client.send_otp(TO, "홍길동", CODE, idempotency_key="key-1")
    assert caught.value.may_have_been_sent
    assert len(smtp_server.mails) == taken
