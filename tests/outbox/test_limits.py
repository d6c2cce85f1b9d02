from __future__ import annotations

import smtplib
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.core import mail
from django.core.mail import send_mail
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import F
from pytest_django.fixtures import Settings

from django_authmail import OTPNotifier, SmtpSender, mailers
from django_authmail.conf import Conf
from django_authmail.exceptions import RecipientCooldown
from django_authmail.models import Counter, Message
from django_authmail.outbox import limits, standby, suppression
from django_authmail.outcomes import SendResult
from django_authmail.smtp import EmailBackend
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.conftest import OUR_BACKEND, UseMailer
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

HONG = "hong@example.com"
Away = Callable[[], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _as_by_default(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = Conf.recipient_limits.default
    limits._uncounted.clear()
    standby._windows.clear()


def admit(*to: str, kind: str = "otp") -> None:
    limits.admit(auth_message(to=to or (HONG,), kind=kind))


def granted(to: Iterable[str]) -> int:
    """Return how many of these in a row are let through."""
    count = 0
    for address in to:
        try:
            admit(address)
        except RecipientCooldown:
            return count
        count += 1
    return count


def pass_by(seconds: int) -> None:
    """Let every window be as much nearer to its end."""
    Counter.objects.update(ends_at=F("ends_at") - timedelta(seconds=seconds))


def test_five_in_ten_minutes() -> None:
    assert granted([HONG] * 9) == 5
    with pytest.raises(RecipientCooldown, match="wait 600 s") as caught:
        admit()
    assert caught.value.retry_after == 600
    pass_by(590)
    with pytest.raises(RecipientCooldown, match="wait 10 s"):
        admit()
    pass_by(11)
    assert granted([HONG] * 9) == 5


def test_twenty_a_day() -> None:
    total = 0
    for _ in range(6):
        total += granted([HONG] * 9)
        pass_by(601)
    assert total == 20
    with pytest.raises(RecipientCooldown) as caught:
        admit()
    assert 80_000 < caught.value.retry_after < 86_400


def test_spellings_of_one_mailbox_count_together() -> None:
    spellings = [
        "hong@example.com",
        "Hong@Example.com",
        "hong+1@example.com",
        "홍 <hong@EXAMPLE.com>",
    ]
    assert granted(spellings * 2) == 5
    assert granted(["kim@example.com"]) == 1


def test_each_kind_counts_by_itself() -> None:
    assert granted([HONG] * 9) == 5
    admit(kind="magic-link")


def test_one_of_several_recipients_is_enough_and_then_nothing_is_counted() -> None:
    granted([HONG] * 5)
    for _ in range(9):
        with pytest.raises(RecipientCooldown):
            admit("kim@example.com", HONG)
    assert granted(["kim@example.com"] * 9) == 5


def test_a_gap_between_two(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_GAP = timedelta(seconds=60)
    admit()
    with pytest.raises(RecipientCooldown, match="wait 60 s"):
        admit()
    pass_by(61)
    admit()


def test_settings_turn_it_off(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = []
    assert granted([HONG] * 30) == 30
    assert not Counter.objects.exists()


def test_no_key_holds_an_address() -> None:
    admit()
    assert not any("hong" in key or "example" in key for key in Counter.objects.values_list("key"))


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_as_many_as_there_is_room_for() -> None:
    barrier = Barrier(8)

    def ask(_: int) -> int:
        try:
            barrier.wait(30)
            return granted([HONG])
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 5


@pytest.mark.django_db(transaction=True)
def test_a_rollback_takes_it_back() -> None:
    with transaction.atomic():
        assert granted([HONG] * 9) == 5
        transaction.set_rollback(True)
    assert granted([HONG] * 9) == 5


# -- At the door of notifiers ----------------------------------------------------------------


def send_codes(count: int) -> None:
    for _ in range(count):
        OTPNotifier().send(HONG, user_name="", code="482901")


def test_a_notifier_is_told_when_it_may_send_again(smtp_server: SmtpServer) -> None:
    send_codes(5)
    with pytest.raises(RecipientCooldown) as caught:
        send_codes(1)
    assert caught.value.retry_after == 600
    assert len(smtp_server.mails) == 5


def queue_all(smtp_server: SmtpServer, settings: Settings) -> None:
    if hasattr(mail, "mailers"):
        settings.MAILERS = {
            "default": {"BACKEND": mailers.OUTBOX, "OPTIONS": {"deliver_using": "smtp"}},
            "smtp": {"BACKEND": OUR_BACKEND, "OPTIONS": smtp_server.options},
        }
    else:
        settings.EMAIL_BACKEND = mailers.OUTBOX


def test_a_notifier_that_queues_is_limited_as_well(
    smtp_server: SmtpServer, settings: Settings
) -> None:
    queue_all(smtp_server, settings)
    send_codes(5)
    with pytest.raises(RecipientCooldown):
        send_codes(1)
    assert Message.objects.count() == 5
    for _ in range(9):
        send_mail("Hello", "text", None, [HONG])  # plain mail never is
    assert Message.objects.count() == 14


def test_what_surely_was_not_sent_counts_for_nothing(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = "451 4.3.0 busy"
    send_codes(9)
    smtp_server.refuse.clear()
    send_codes(5)
    assert len(smtp_server.mails) == 5


@pytest.fixture
def no_table(transactional_db: None) -> Iterator[None]:
    """Make the database one where the app was never migrated."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(Counter, "authmail_counter", "authmail_counter_away")
    yield
    with connection.schema_editor() as editor:
        editor.alter_db_table(Counter, "authmail_counter_away", "authmail_counter")


@pytest.mark.usefixtures("no_table")
def test_without_tables_the_mail_goes_out_uncounted_and_the_log_says_once_what_to_do(
    smtp_server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    send_codes(6)
    with transaction.atomic():  # what the caller does in it besides is not lost
        send_codes(1)
        assert not Message.objects.exists()
    assert len(smtp_server.mails) == 7
    [line] = [line for line in caplog.records if line.name == limits.__name__]
    assert line.levelname == "WARNING"
    assert line.getMessage().startswith("notifier.not_counted ")
    assert "tables or columns are missing; run manage.py migrate" in line.getMessage()


def test_without_a_database_the_mail_goes_out_uncounted() -> None:
    script = (
        "import django; from django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['django_authmail'], SECRET_KEY='k' * 50, USE_TZ=True,"
        " DEFAULT_FROM_EMAIL='a@example.com',"
        " EMAIL_BACKEND='django.core.mail.backends.console.EmailBackend')\n"
        "django.setup()\n"
        "from django_authmail import OTPNotifier\n"
        "for _ in range(6):\n"
        "    assert OTPNotifier().send('a@example.com', user_name='a', code='123456')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("To: a@example.com") == 6
    assert result.stderr.count("notifier.not_counted error=the project has no DATABASES") == 1


@pytest.mark.usefixtures("no_table")
def test_the_api_counts_or_refuses() -> None:
    with pytest.raises(DatabaseError):
        admit()


@pytest.fixture
def away(transactional_db: None, dead_port: int, tmp_path: Path) -> Away:
    """Put the database where nothing answers, for the time of a `with` block."""

    @contextmanager
    def put_away() -> Iterator[None]:
        near = connections["default"]
        far = near.copy()
        far.settings_dict |= (
            {"NAME": str(tmp_path / "none" / "db.sqlite3")}
            if near.vendor == "sqlite"
            else {"HOST": "127.0.0.1", "PORT": str(dead_port)}
        )
        connections["default"] = far
        try:
            yield
        finally:
            connections["default"] = near

    return put_away


def uncounted(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [line.getMessage() for line in caplog.records if line.name == limits.__name__]
    return [line for line in lines if line.startswith("notifier.not_counted ")]


def test_while_the_database_is_away_the_mail_goes_out_uncounted_and_the_log_says_when_it_went(
    smtp_server: SmtpServer,
    away: Away,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send_codes(1)
    with away():
        send_codes(2)
    assert len(smtp_server.mails) == 3
    [line] = uncounted(caplog)
    assert line.startswith("notifier.not_counted error=OperationalError from OperationalError")
    assert " database=" in line
    send_codes(1)
    with away():
        send_codes(1)
    assert len(smtp_server.mails) == 5
    assert len(uncounted(caplog)) == 2
    assert set(Counter.objects.values_list("used", flat=True)) == {2}


def test_while_the_database_is_away_each_process_counts_for_itself(
    smtp_server: SmtpServer, away: Away, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLER_PATIENCE", 0.0)
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(2, timedelta(minutes=10))]
    with away():
        send_codes(2)
        with pytest.raises(RecipientCooldown) as caught:
            send_codes(1)
        assert 595 < caught.value.retry_after <= 600
        OTPNotifier().send("kim@example.com", user_name="", code="482901")
    assert [mail.recipients for mail in smtp_server.mails] == [[HONG], [HONG], ["kim@example.com"]]


def test_what_was_not_sent_while_the_database_is_away_counts_for_nothing(
    smtp_server: SmtpServer, away: Away, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CALLER_PATIENCE", 0.0)
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    smtp_server.refuse[HONG] = "451 4.3.0 busy"
    with away():
        send_codes(3)
        smtp_server.refuse.clear()
        send_codes(1)
        with pytest.raises(RecipientCooldown):
            send_codes(1)
    assert len(smtp_server.mails) == 1


@contextmanager
def impatient() -> Iterator[None]:
    """Let the database say soon that a lock is not to be had."""
    near = connections["default"]
    far = near.copy()
    options: dict[str, dict[str, Any]] = {
        "postgresql": {"options": "-c lock_timeout=50"},
        "mysql": {"init_command": "SET innodb_lock_wait_timeout = 1"},
        "sqlite": {"timeout": 0.05},
    }
    far.settings_dict["OPTIONS"] = {**near.settings_dict["OPTIONS"], **options[near.vendor]}
    connections["default"] = far
    try:
        yield
    finally:
        far.close()
        connections["default"] = near


@contextmanager
def locked() -> Iterator[None]:
    """Keep the lock of what counts, as somebody may who is in the middle of a transaction."""
    connections["other"] = connection.copy("other")
    try:
        with transaction.atomic("other"):
            Counter.objects.using("other").update(used=F("used"))
            yield
    finally:
        connections["other"].close()
        del connections["other"]


@pytest.mark.django_db(transaction=True)
def test_who_keeps_a_lock_gets_no_more_mail_out_than_the_limit(
    smtp_server: SmtpServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(limits, "CALLER_PATIENCE", 0.0)
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(2, timedelta(minutes=10))]
    send_codes(2)
    with impatient(), locked():
        send_codes(2)
        for _ in range(3):
            with pytest.raises(RecipientCooldown):
                send_codes(1)
    assert len(smtp_server.mails) == 4
    [line] = uncounted(caplog)
    assert " database=" in line


def test_a_database_that_counts_again_is_noticed_by_a_refusal_too(
    smtp_server: SmtpServer,
    away: Away,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send_codes(5)
    for _ in range(2):
        with away():
            send_codes(1)
        with pytest.raises(RecipientCooldown):
            send_codes(1)
    assert len(uncounted(caplog)) == 2


def test_a_database_that_goes_while_a_mail_is_refused_is_logged(
    away: Away,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = limits.admit_for_notifier(auth_message(to=(HONG,)), is_recorded=False)
    refused = SendResult(message_id="<1@example.com>", failure=suppression.SUPPRESSED)
    with away():
        ended(refused)
    assert "recipient.use_not_given_back error=OperationalError database=" in caplog.text
    with pytest.raises(InterfaceError, match="went away"), transaction.atomic(), broken():
        ended(refused)


def test_who_queues_learns_that_the_database_is_away(
    settings: Settings,
    smtp_server: SmtpServer,
    away: Away,
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue_all(smtp_server, settings)
    with away(), pytest.raises(OperationalError):
        send_codes(1)
    assert not uncounted(caplog)
    assert not Message.objects.exists()


@contextmanager
def broken() -> Iterator[None]:
    """Fail every statement, as on a connection that the server has ended."""

    def breaks(execute: object, sql: str, *_: object) -> None:
        raise InterfaceError("the server went away")

    with connection.execute_wrapper(breaks):
        yield


def test_in_a_transaction_of_the_callers_who_has_lost_it_is_told(
    smtp_server: SmtpServer,
) -> None:
    with transaction.atomic(), broken(), pytest.raises(InterfaceError, match="went away"):
        send_codes(1)
    assert not smtp_server.mails


def test_mail_in_memory_is_not_limited() -> None:
    send_codes(9)
    assert len(mail.outbox) == 9


def test_a_sender_of_the_callers_own_needs_no_database(smtp_server: SmtpServer) -> None:
    backend = mailers.get_mailer()
    assert isinstance(backend, EmailBackend)
    sender = SmtpSender(backend.config)
    for _ in range(9):
        OTPNotifier(sender).send(HONG, user_name="", code="482901")
    assert not Counter.objects.exists()


DJANGO_SMTP = "django.core.mail.backends.smtp.EmailBackend"


def fail_by_another_mailer(times: int, expected: type[Exception]) -> None:
    for _ in range(times):
        with pytest.raises(expected):
            send_codes(1)


def test_a_server_that_does_not_answer_another_mailer_counts_for_nothing(
    use_mailer: UseMailer, dead_port: int
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port}, DJANGO_SMTP)
    fail_by_another_mailer(9, ConnectionRefusedError)
    assert granted([HONG] * 9) == 5


def test_a_refusal_of_another_mailer_counts_for_nothing(
    certificate: ServerCertificate, use_mailer: UseMailer
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        server.refuse[HONG] = "451 4.3.0 busy"
        use_mailer({"host": server.host, "port": server.port}, DJANGO_SMTP)
        fail_by_another_mailer(9, smtplib.SMTPRecipientsRefused)
        server.refuse.clear()
        server.refuse_content = "554 5.7.1 no"
        fail_by_another_mailer(9, smtplib.SMTPDataError)
    assert granted([HONG] * 9) == 5


def test_a_doubt_of_another_mailer_counts(
    certificate: ServerCertificate, use_mailer: UseMailer
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        server.drop_after_content = 9
        use_mailer({"host": server.host, "port": server.port}, DJANGO_SMTP)
        fail_by_another_mailer(5, smtplib.SMTPServerDisconnected)
        fail_by_another_mailer(1, RecipientCooldown)
        assert len(server.mails) == 5
