"""What goes on where a connection was lost: all that is no more than a note.

What is said of that depends on the driver: by psycopg2, for one, that is an InterfaceError, which
is no DatabaseError of Django.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from django.core.mail import EmailMessage
from django.db import Error, InterfaceError, connection, transaction
from pytest_django.fixtures import Settings

from django_authmail import dispatch, keyring, keys, outbox
from django_authmail.backends import OutboxBackend
from django_authmail.conf import Conf
from django_authmail.keyring import lookup
from django_authmail.models import Message
from django_authmail.outbox import carriers, gauges, idempotency, queue
from django_authmail.outbox.carriers import Pass
from django_authmail.outbox.idempotency import Answer, Entry
from django_authmail.outbox.intake import Intake
from django_authmail.outcomes import SendResult
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db(transaction=True)

Lost = Callable[[], AbstractContextManager[None]]


@contextmanager
def closed() -> Iterator[None]:
    """Let each statement fail as psycopg2 lets it on a connection that is closed."""

    def fail(*args: object) -> None:
        raise InterfaceError("connection already closed")

    with connection.execute_wrapper(fail):
        yield


@contextmanager
def ended() -> Iterator[None]:
    """End the connection from the server's side. It was used since: that was another error."""
    connection.ensure_connection()
    with connection.cursor() as cursor, closing(connection.copy()) as other:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_backend_pid()")
            end = "SELECT pg_terminate_backend(%s)"
        else:
            cursor.execute("SELECT CONNECTION_ID()")
            end = "KILL %s"
        number = cursor.fetchone()
        with other.cursor() as killer:
            killer.execute(end, number)
    with pytest.raises(Error), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    try:
        yield
    finally:
        connection.close()


@pytest.fixture(params=[closed] if connection.vendor == "sqlite" else [closed, ended])
def lost(request: pytest.FixtureRequest) -> Lost:
    """Lose the connection, for the time of a `with` block."""
    way: Lost = request.param
    return way


def test_metrics_are_the_others(lost: Lost, caplog: pytest.LogCaptureFixture) -> None:
    with lost():
        assert list(gauges.readings()) == []
    assert "metrics.database_failed error=" in caplog.text


def test_a_key_that_is_known_opens_the_api(
    lost: Lost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, key = keyring.issue("tests", keyring.Terms())
    known = keyring.find(key)
    monkeypatch.setattr(lookup._known[keys.digest(key)], "note_at", 0.0)
    with lost():
        assert keyring.find(key) == known
    assert "not recorded: " in caplog.text


def test_a_mail_that_was_sent_is_not_taken_for_a_failure(
    lost: Lost, caplog: pytest.LogCaptureFixture
) -> None:
    carriers.forget()
    with lost():
        carriers.report(
            Pass(carrier="default"),
            SendResult(message_id="<1@example.com>", accepted=("hong@example.com",)),
        )
    assert "email.carrier_not_recorded carrier=default error=" in caplog.text


def test_a_request_whose_answer_is_not_kept_has_it(
    lost: Lost, caplog: pytest.LogCaptureFixture
) -> None:
    request = idempotency.keyed_request(owner="key:1", method="POST", path="/", key="a", body={})
    entry = Entry(standing=idempotency.find(request))
    queue.submit_claimed(auth_message(), intake=Intake(entry=entry))
    with lost():
        entry.remember(Answer(status=200, body={}))
    assert "idempotency.not_remembered error=" in caplog.text


def test_a_mail_that_no_carrier_was_asked_for_is_due_again_and_not_in_doubt(lost: Lost) -> None:
    claim = queue.claim(outbox.submit(auth_message()).id)
    assert claim is not None
    carriers.forget()
    with lost():
        end = dispatch.hand_over(claim)
    queue.settle_many([end])
    row = Message.objects.get()
    assert (row.state, row.reason, row.attempt_count) == ("queued", "transient", 0)


def test_a_use_that_is_not_given_back_is_logged_while_its_caller_waits_a_second(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = Conf.recipient_limits.default
    intake = Intake()
    queue.submit_claimed(auth_message(), intake=intake)
    began = time.monotonic()
    with closed():
        intake.give_back()
    assert "recipient.use_not_given_back error=InterfaceError" in caplog.text
    # Workers go on trying for 12.
    assert time.monotonic() - began < 6


def test_who_wants_silence_has_it(caplog: pytest.LogCaptureFixture) -> None:
    mailer = OutboxBackend(alias="queue", fail_silently=True)
    with transaction.atomic(), closed():
        assert mailer.send_messages([EmailMessage("Hello", to=["hong@example.com"])]) == 0
    assert "email.not_recorded error=InterfaceError" in caplog.text
