"""Which carrier a message leaves by, when there are two."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings

from django_authmail import dispatch, outbox
from django_authmail.clock import db_now
from django_authmail.models import Attempt, Carrier, Counter, Message
from django_authmail.outbox import carriers, queue
from django_authmail.signals import message_changed
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db(transaction=True)

UseMailers = Callable[..., None]


@pytest.fixture
def backup(certificate: ServerCertificate) -> Iterator[servers.SmtpServer]:
    with servers.running(certificate) as server:
        yield server


@pytest.fixture
def primary(
    smtp_server: servers.SmtpServer, backup: servers.SmtpServer, use_mailers: UseMailers
) -> servers.SmtpServer:
    use_mailers(primary=smtp_server.options, backup=backup.options)
    return smtp_server


@pytest.fixture
def dead(
    smtp_server: servers.SmtpServer,
    backup: servers.SmtpServer,
    use_mailers: UseMailers,
    dead_port: int,
) -> None:
    """The first of the two carriers is one where nothing listens."""
    use_mailers(primary=backup.options | {"port": dead_port}, backup=backup.options)


def make_due() -> None:
    Message.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))


def attempts() -> list[tuple[str, str, str]]:
    return list(
        Attempt.objects.order_by("message__created_at", "number").values_list(
            "carrier", "result", "reason"
        )
    )


def test_the_first_takes_what_it_can(
    primary: servers.SmtpServer, backup: servers.SmtpServer
) -> None:
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert (len(primary.mails), len(backup.mails)) == (1, 0)
    assert Message.objects.get().carrier == "primary"


@pytest.mark.usefixtures("dead")
def test_the_next_takes_what_the_first_surely_did_not(
    backup: servers.SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    row = outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    row.refresh_from_db()
    assert (row.state, row.attempt_count) == ("accepted", 1)
    assert [m.recipients for m in backup.mails] == [["hong@example.com"]]
    assert attempts() == [
        ("primary", "failed", "connection_refused"),
        ("backup", "accepted", ""),
    ]
    assert f"email.failed_over id={row.id} from=primary to=backup" in caplog.text


@pytest.mark.usefixtures("dead")
def test_a_caller_who_waits_is_sent_by_the_next(backup: servers.SmtpServer) -> None:
    assert dispatch.send_now(auth_message()).state == "accepted"
    assert len(backup.mails) == 1


def test_a_login_that_is_refused_is_no_reason_to_wait(
    primary: servers.SmtpServer, backup: servers.SmtpServer, use_mailers: UseMailers
) -> None:
    use_mailers(primary=primary.options | {"password": "wrong"}, backup=backup.options)
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert attempts()[0] == ("primary", "failed", "auth_failed")
    assert (len(primary.mails), len(backup.mails)) == (0, 1)


def test_what_a_server_said_about_a_message_is_not_asked_again(
    primary: servers.SmtpServer, backup: servers.SmtpServer
) -> None:
    primary.refuse["hong@example.com"] = "550 5.1.1 no such user"
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert Message.objects.get().reason == "bad_recipient"
    assert backup.mails == []


def test_a_message_in_doubt_goes_to_nobody_else(
    primary: servers.SmtpServer, backup: servers.SmtpServer, settings: Settings
) -> None:
    primary.drop_after_content = 1
    row = outbox.submit(auth_message())
    assert dispatch.dispatch_due(1) == 1
    # Not even if the order is another by now, and not if its carrier does not take it.
    settings.AUTHMAIL_DELIVER_USING = ["backup", "primary"]
    carriers.pause("primary")
    make_due()
    assert dispatch.dispatch_due(1) == 1
    row.refresh_from_db()
    assert (row.state, row.reason) == ("queued", "paused")
    carriers.resume("primary")
    assert dispatch.dispatch_due() == 1
    row.refresh_from_db()
    assert row.state == "accepted"
    first, second = primary.mails
    assert first.content == second.content
    assert backup.mails == []


@pytest.mark.usefixtures("dead")
def test_a_message_that_the_next_may_have_stays_with_it(
    backup: servers.SmtpServer, smtp_server: servers.SmtpServer, use_mailers: UseMailers
) -> None:
    backup.drop_after_content = 1
    outbox.submit(auth_message())
    assert dispatch.dispatch_due(1) == 1
    # The first one is back.
    use_mailers(primary=smtp_server.options, backup=backup.options)
    make_due()
    assert dispatch.dispatch_due() == 1
    assert Message.objects.get().state == "accepted"
    assert (len(smtp_server.mails), len(backup.mails)) == (0, 2)


def test_a_message_whose_worker_died_stays_with_the_carrier_that_had_it(
    primary: servers.SmtpServer, backup: servers.SmtpServer, settings: Settings
) -> None:
    row = outbox.submit(auth_message())
    claim = queue.claim(row.id)
    assert claim is not None
    queue.leave_by(claim, "primary")
    settings.AUTHMAIL_DELIVER_USING = ["backup", "primary"]
    make_due()
    assert dispatch.dispatch_due() == 1
    assert (len(primary.mails), len(backup.mails)) == (1, 0)


def test_a_lost_answer_to_a_waiting_caller_is_resent_to_the_same(
    primary: servers.SmtpServer, backup: servers.SmtpServer
) -> None:
    primary.drop_after_content = 1
    assert dispatch.send_now(auth_message()).state == "accepted"
    assert (len(primary.mails), len(backup.mails)) == (2, 0)


def test_a_row_s_own_carriers_win_over_the_setting(
    primary: servers.SmtpServer, backup: servers.SmtpServer
) -> None:
    outbox.submit(auth_message(), deliver_using=["backup"])
    assert dispatch.dispatch_due() == 1
    assert (len(primary.mails), len(backup.mails)) == (0, 1)


def test_a_carrier_that_does_not_exist_is_passed_over(
    primary: servers.SmtpServer, backup: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_DELIVER_USING = ["primry", "backup"]
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert attempts() == [("primry", "failed", "mailer_unusable"), ("backup", "accepted", "")]


@pytest.mark.usefixtures("dead")
def test_a_carrier_with_an_open_breaker_is_not_asked(
    backup: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_BREAKER_FAILURES = 2
    for _ in range(3):
        outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 3
    assert len(backup.mails) == 3
    assert [carrier for carrier, _, _ in attempts()].count("primary") == 2
    assert Carrier.objects.get(name="primary").broken_until is not None


def test_a_paused_carrier_is_passed_over(
    primary: servers.SmtpServer, backup: servers.SmtpServer
) -> None:
    carriers.pause("primary")
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert (len(primary.mails), len(backup.mails)) == (0, 1)


def test_a_spent_quota_sends_the_rest_by_the_next(
    primary: servers.SmtpServer, backup: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_QUOTAS = {"primary": {"day": 3}}
    for _ in range(3):
        outbox.submit(auth_message(to=("a@example.com", "b@example.com")))
    assert dispatch.dispatch_due() == 3
    assert (len(primary.mails), len(backup.mails)) == (1, 2)
    assert Counter.objects.get().used == 2


@pytest.mark.usefixtures("dead")
def test_what_did_not_leave_is_not_counted(settings: Settings, backup: servers.SmtpServer) -> None:
    settings.AUTHMAIL_QUOTAS = {"primary": {"day": 3}, "backup": {"day": 3}}
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    used = dict(Counter.objects.values_list("key", "used"))
    assert used == {"quota:primary:day": 0, "quota:backup:day": 1}


def test_a_database_that_cannot_say_whether_it_may_leave_makes_no_doubt(
    primary: servers.SmtpServer,
) -> None:
    outbox.submit(auth_message())

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if "authmail_carrier" in sql:
            raise OperationalError("gone away")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        assert dispatch.dispatch_due(1) == 1
    row = Message.objects.get()
    assert (row.state, row.attempt_count, row.resend_count) == ("queued", 0, 0)
    assert dispatch.dispatch_due() == 1
    assert len(primary.mails) == 1


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize("door", ["now", "in the background", "after its worker died"])
def test_a_test_ends_before_any_carrier_is_asked(
    door: str, backup: servers.SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_QUOTAS = {"primary": {"day": 1}}
    carriers.pause()
    message = auth_message()
    if door == "now":
        dispatch.send_now(message, is_test=True)
    elif door == "in the background":
        outbox.submit(message, is_test=True)
    else:
        queue.submit_claimed(message, is_test=True)
        make_due()
    assert dispatch.dispatch_due() == (door != "now")
    row = Message.objects.get()
    assert (row.state, row.reason, row.provider_id, row.is_test) == ("accepted", "", "", True)
    assert (row.sealed, row.accepted_at, row.attempt_count, row.resend_count) == (None, None, 0, 0)
    assert [recipient.state for recipient in row.recipients.all()] == ["accepted"]
    assert attempts() == []
    assert backup.mails == []
    assert not Counter.objects.exists()


def test_a_test_that_comes_too_late_is_expired(primary: servers.SmtpServer) -> None:
    row = outbox.submit(auth_message(expires_in=timedelta(seconds=1)), is_test=True)
    dispatch.dispatch_due()
    row.refresh_from_db()
    assert row.state == "expired"


def test_a_test_is_counted_with_no_real_mail(primary: servers.SmtpServer) -> None:
    heard: list[dict[str, Any]] = []

    def listen(**event: Any) -> None:
        heard.append(event)

    message_changed.connect(listen)
    before = _counted()
    try:
        dispatch.send_now(auth_message(), is_test=True)
        assert _counted() == before
        dispatch.send_now(auth_message())
        assert _counted() == before + 1
    finally:
        message_changed.disconnect(listen)
    finals = [(event["state"], event["is_test"]) for event in heard if event["state"] != "sending"]
    assert finals == [("accepted", True), ("accepted", False)]


def _counted() -> float:
    labels = {"type": "otp", "state": "accepted"}
    return REGISTRY.get_sample_value("authmail_messages_total", labels) or 0.0
