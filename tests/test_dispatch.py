from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend
from django.core.management import call_command
from django.db import connections, transaction
from pytest_django.fixtures import Settings

from django_authmail import dispatch, outbox
from django_authmail.clock import db_now
from django_authmail.message import OnUnknown
from django_authmail.models import Message
from tests import smtp_server as servers
from tests.conftest import UseMailer
from tests.outbox.factories import CODE, auth_message
from tests.workers import worker_environment

pytestmark = pytest.mark.django_db(transaction=True)


def make_due() -> None:
    Message.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))


def test_sending_now_ends_in_a_row_that_says_what_the_server_said(
    smtp_server: servers.SmtpServer,
) -> None:
    message = auth_message()
    row = dispatch.send_now(message, owner="key:1", request_id="r-1")
    assert row.state == "accepted"
    assert row.provider_id == "Ok: queued as 000001"
    [received] = smtp_server.mails
    assert received.secure
    assert received.authenticated
    assert received.recipients == ["hong@example.com"]
    assert received.mail["Message-ID"] == row.message_id == message.message_id
    assert CODE in received.text
    assert row.sealed is None


def test_the_row_is_committed_before_the_mail_leaves(smtp_server: servers.SmtpServer) -> None:
    smtp_server.hold = True

    def send() -> None:
        try:
            dispatch.send_now(auth_message())
        finally:
            connections.close_all()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        # The server has the content, and has not answered yet.
        assert smtp_server.holding.wait(10)
        assert list(Message.objects.values_list("state", flat=True)) == ["sending"]
    finally:
        smtp_server.release.set()
        sender.join(10)
    assert list(Message.objects.values_list("state", flat=True)) == ["accepted"]


def test_sending_now_counts_from_the_time_that_the_caller_has_waited_since(
    settings: Settings, smtp_server: servers.SmtpServer
) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=30)
    smtp_server.hold = True
    try:
        # All but a second is over: so is the hand-over after that second, or half of it.
        row = dispatch.send_now(
            auth_message(on_unknown=OnUnknown.HOLD), since=time.monotonic() - 29
        )
    finally:
        smtp_server.release.set()
    assert (row.state, row.reason) == ("unknown", "outcome_unknown")
    assert row.attempts.get().duration_ms < 10_000


def test_sending_now_refuses_a_transaction_that_could_be_rolled_back() -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        dispatch.send_now(auth_message())
    assert not Message.objects.exists()


def test_sending_now_fails_at_once_when_the_server_is_dead(
    use_mailer: UseMailer, dead_port: int
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    row = dispatch.send_now(auth_message())
    assert (row.state, row.error_code, row.reason) == (
        "failed",
        "smtp_connection",
        "connection_refused",
    )
    assert dispatch.dispatch_due() == 0


def test_a_lost_answer_is_resent_at_once_with_the_same_message_id(
    smtp_server: servers.SmtpServer,
) -> None:
    smtp_server.drop_after_content = 1
    row = dispatch.send_now(auth_message())
    assert (row.state, row.resend_count) == ("accepted", 1)
    first, second = smtp_server.mails
    assert first.content == second.content
    assert [a.result for a in row.attempts.all()] == ["unknown", "accepted"]


def test_a_lost_answer_is_unknown_where_a_duplicate_would_be_worse(
    smtp_server: servers.SmtpServer,
) -> None:
    smtp_server.drop_after_content = 1
    row = dispatch.send_now(auth_message(on_unknown=OnUnknown.HOLD))
    assert (row.state, row.reason) == ("unknown", "outcome_unknown")
    assert len(smtp_server.mails) == 1


def test_two_lost_answers_end_it(smtp_server: servers.SmtpServer) -> None:
    smtp_server.drop_after_content = 2
    row = dispatch.send_now(auth_message())
    assert row.state == "unknown"
    assert len(smtp_server.mails) == 2


def test_a_queued_message_is_sent_once(smtp_server: servers.SmtpServer) -> None:
    row = outbox.submit(auth_message())
    sent = dispatch.dispatch_one(row.id)
    assert sent is not None
    assert sent.state == "accepted"
    # A task that is delivered twice, or an hour late, finds nothing to do.
    assert dispatch.dispatch_one(row.id) is None
    assert dispatch.dispatch_due() == 0
    assert len(smtp_server.mails) == 1


def test_a_server_that_comes_back_gets_the_mail(
    smtp_server: servers.SmtpServer, use_mailer: UseMailer, dead_port: int
) -> None:
    outbox.submit(auth_message())
    use_mailer(smtp_server.options | {"port": dead_port})
    assert dispatch.dispatch_due() == 1
    assert dispatch.dispatch_due() == 0
    use_mailer(smtp_server.options)
    make_due()
    assert dispatch.dispatch_due() == 1
    assert Message.objects.get().state == "accepted"
    assert len(smtp_server.mails) == 1


def test_a_bad_mail_holds_up_no_other(smtp_server: servers.SmtpServer) -> None:
    smtp_server.refuse["bad@example.com"] = "451 4.3.0 try later"
    for to in ("bad@example.com", "a@example.com", "b@example.com"):
        outbox.submit(auth_message(to=(to,)))
    assert dispatch.dispatch_due() == 3
    assert [m.recipients for m in smtp_server.mails] == [["a@example.com"], ["b@example.com"]]


def test_what_is_too_late_is_never_sent(smtp_server: servers.SmtpServer) -> None:
    row = outbox.submit(auth_message(expires_in=timedelta(seconds=5)))
    assert dispatch.dispatch_due() == 0
    row.refresh_from_db()
    assert (row.state, row.reason, row.sealed) == ("expired", "expired", None)
    assert smtp_server.connections == 0


def test_a_misconfigured_carrier_keeps_mails_queued(settings: Any) -> None:
    settings.AUTHMAIL_DELIVER_USING = "primry"
    row = outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    row.refresh_from_db()
    assert (row.state, row.reason, row.attempt_count) == ("queued", "mailer_unusable", 0)


def test_a_bug_in_a_carrier_is_logged_without_what_an_error_tracker_would_collect(
    use_mailer: UseMailer, caplog: pytest.LogCaptureFixture
) -> None:
    use_mailer({"host": "127.0.0.1"}, backend="tests.test_dispatch.BrokenBackend")
    row = outbox.submit(auth_message(on_unknown=OnUnknown.HOLD))
    assert dispatch.dispatch_due() == 1
    row.refresh_from_db()
    # Nobody knows whether the content had left.
    assert (row.state, row.error_code) == ("held", "unknown")
    [record] = [r for r in caplog.records if "hand_over_error" in r.getMessage()]
    assert "KeyError" in record.getMessage()
    assert record.exc_info is None
    for secret in (CODE, "hong@"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "backend",
    [
        "django.core.mail.backends.smtp.EmailBackend",
        "django.core.mail.backends.filebased.EmailBackend",
        "django.core.mail.backends.console.EmailBackend",
    ],
)
def test_django_s_own_backends_carry_the_stored_bytes(
    backend: str,
    certificate: Any,
    use_mailer: UseMailer,
    settings: Any,
    tmp_path: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        options: dict[str, Any] = {}
        if "smtp" in backend:
            options = {"host": server.host, "port": server.port}
        elif "filebased" in backend:
            options = {"file_path": str(tmp_path)}
            if not hasattr(mail, "mailers"):
                settings.EMAIL_FILE_PATH = str(tmp_path)
        use_mailer(options, backend=backend)
        message = auth_message(bcc=("b@example.com",))
        row = outbox.submit(message)
        assert dispatch.dispatch_due() == 1
        row.refresh_from_db()
        assert row.state == "accepted"
        written = capsys.readouterr().out + "".join(p.read_text() for p in tmp_path.iterdir())
        if "smtp" in backend and hasattr(mail, "mailers"):
            [received] = server.mails
            assert received.recipients == ["hong@example.com", "b@example.com"]
            written = received.content.decode()
        elif server.mails:  # before 6.1, EMAIL_BACKEND = Django's SMTP means ours
            written = server.mails[0].content.decode()
    assert message.message_id in written
    assert "b@example.com" not in written


def test_in_a_project_s_test_suite_queued_mail_goes_to_its_outbox() -> None:
    outbox.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    [sent] = mail.outbox
    assert sent.subject == "Your code"
    assert CODE in sent.body
    assert sent.recipients() == ["hong@example.com"]


def test_the_command_sends_what_is_due_and_ends(smtp_server: servers.SmtpServer) -> None:
    outbox.submit(auth_message())
    call_command("authmail_dispatch", "--once")
    assert len(smtp_server.mails) == 1


def test_the_command_finishes_the_message_in_hand_when_it_is_told_to_stop(
    smtp_server: servers.SmtpServer,
) -> None:
    smtp_server.hold = True
    first = outbox.submit(auth_message())
    with worker_process(smtp_server) as process:
        assert smtp_server.holding.wait(30)
        second = outbox.submit(auth_message())
        process.send_signal(signal.SIGTERM)
        smtp_server.release.set()
        assert process.wait(30) == 0
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, second.state) == ("accepted", "queued")


def test_a_killed_worker_s_message_is_sent_by_the_next(smtp_server: servers.SmtpServer) -> None:
    smtp_server.hold = True
    row = outbox.submit(auth_message())
    with worker_process(smtp_server) as process:
        assert smtp_server.holding.wait(30)
        process.kill()
        process.wait(30)
    smtp_server.hold = False
    smtp_server.release.set()
    row.refresh_from_db()
    assert row.state == "sending"
    assert dispatch.dispatch_due() == 0  # its lease has not ended
    make_due()
    assert dispatch.dispatch_due() == 1
    row.refresh_from_db()
    assert row.state == "accepted"
    # The server had taken the first as well: the same mail, under the same Message-ID.
    first, second = smtp_server.mails
    assert first.mail["Message-ID"] == second.mail["Message-ID"]


def worker_process(server: servers.SmtpServer) -> subprocess.Popen[str]:
    """Start `authmail_dispatch` on the test database."""
    return subprocess.Popen(
        [sys.executable, "-m", "django", "authmail_dispatch"],
        env=worker_environment(server),
        text=True,
        stdout=subprocess.DEVNULL,
    )


class BrokenBackend(DjangoEmailBackend):
    """A carrier with a bug."""

    def deliver(self, envelope: Any, content: bytes, *args: Any, **options: Any) -> Any:
        raise KeyError(f"cannot send {content!r} to {envelope.recipients}")
