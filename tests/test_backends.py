"""OutboxBackend: plain mail of other applications, recorded and then seen by a real server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import django
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend
from django.db import DatabaseError, connection, transaction
from django.test import Client, modify_settings
from django.urls import include, path
from django.utils.log import AdminEmailHandler
from pytest_django.fixtures import Settings

from django_authmail import OTPNotifier, mailers
from django_authmail.backends import OutboxBackend
from django_authmail.dispatch import dispatch_due
from django_authmail.exceptions import MailerUnusable
from django_authmail.models import Message, Priority, State
from django_authmail.outbox import body
from django_authmail.outcomes import Queued
from tests.conftest import OUR_BACKEND
from tests.outbox.factories import suppress
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db
#: For what happens after a commit, and for changes of tables.
committed = pytest.mark.django_db(transaction=True)

urlpatterns = [path("accounts/", include("django.contrib.auth.urls"))]

ADMIN = "ops@example.com"


@pytest.fixture
def server(smtp_server: SmtpServer, settings: Settings) -> SmtpServer:
    """A server that queued mail leaves for, where the project's only door is the outbox."""
    if hasattr(mail, "mailers"):
        queue = {"BACKEND": mailers.OUTBOX, "OPTIONS": {"deliver_using": "smtp"}}
        silent = queue | {"OPTIONS": {"deliver_using": "smtp", "fail_silently": True}}
        settings.MAILERS = {
            "default": queue,
            "errors": silent,
            "smtp": {"BACKEND": OUR_BACKEND, "OPTIONS": smtp_server.options},
        }
        settings.AUTHMAIL_DELIVER_USING = "smtp"
    else:
        settings.EMAIL_BACKEND = mailers.OUTBOX
    return smtp_server


def backend(**options: Any) -> OutboxBackend:
    return OutboxBackend(alias="queue", **options)


def message(**changes: Any) -> EmailMultiAlternatives:
    values = {"subject": "Hello", "body": "Text\n", "to": ["hong@example.org"]}
    return EmailMultiAlternatives(**values | changes)


# -- From send_mail to the server ------------------------------------------------------------


def test_a_mail_is_recorded_and_then_sent(server: SmtpServer) -> None:
    sent = send_mail("안내", "본문\n", None, ["hong@example.org"], html_message="<p>본문</p>")
    assert sent == 1
    assert server.mails == []
    row = Message.objects.get()
    assert (row.state, row.kind, row.owner) == (State.QUEUED, "plain", "site")
    assert (row.priority, row.expires_at) == (Priority.LOW, None)
    assert row.masked_recipient == "h***@example.org"
    assert dispatch_due() == 1
    [received] = server.mails
    assert received.recipients == ["hong@example.org"]
    assert received.mail["Subject"] == "안내"
    assert received.mail["Message-ID"] == row.message_id
    assert (received.text, received.html) == ("본문\r\n", "<p>본문</p>\r\n")
    row.refresh_from_db()
    assert row.state == State.ACCEPTED


def test_djangos_own_password_reset_goes_through_it(
    server: SmtpServer, settings: Settings, client: Client
) -> None:
    settings.ROOT_URLCONF = __name__
    User.objects.create_user("hong", "hong@example.org", "a-password")
    answer = client.post("/accounts/password_reset/", {"email": "hong@example.org"})
    assert answer.status_code == 302
    assert dispatch_due() == 1
    [received] = server.mails
    assert received.recipients == ["hong@example.org"]
    assert "/accounts/reset/" in received.text


def test_attachments_and_their_korean_names_survive(server: SmtpServer) -> None:
    mixed = message(subject="영수증")
    mixed.attach_alternative("<p>영수증</p>", "text/html")
    mixed.attach("영수증 2026년.pdf", b"%PDF-1.7\r\n\x00\xff", "application/pdf")
    mixed.attach("메모.txt", "줄\n", "text/plain")
    mixed.send()
    dispatch_due()
    [received] = server.mails
    files = {part.get_filename(): part for part in received.mail.iter_attachments()}
    assert files.keys() == {"영수증 2026년.pdf", "메모.txt"}
    assert files["영수증 2026년.pdf"].get_content() == b"%PDF-1.7\r\n\x00\xff"
    assert received.html.strip() == "<p>영수증</p>"


def test_bcc_is_in_the_envelope_and_never_on_the_wire(server: SmtpServer) -> None:
    copied = message(cc=["cc@example.org"], bcc=["secret@example.org"], headers={"X-Kind": "test"})
    copied.send()
    dispatch_due()
    [received] = server.mails
    assert received.recipients == ["hong@example.org", "cc@example.org", "secret@example.org"]
    assert received.mail["Cc"] == "cc@example.org"
    assert received.mail["X-Kind"] == "test"
    assert b"secret" not in received.content
    assert Message.objects.get().recipient_count == 3


def test_a_callers_own_message_id_is_kept(server: SmtpServer) -> None:
    message(headers={"Message-ID": "<mine@example.com>"}).send()
    assert Message.objects.get().message_id == "<mine@example.com>"
    dispatch_due()
    assert server.mails[0].mail["Message-ID"] == "<mine@example.com>"


class Signed(EmailMessage):
    """A class of a project's own, as those that sign with PGP: it builds the mail itself."""

    built = 0

    def message(self, *args: Any, **options: Any) -> Any:  # as each Django has it
        self.built += 1
        signed = MIMEMultipart("signed", protocol="application/pgp-signature", boundary="-=x=-")
        part = MIMEText("From here:  two spaces, a dot\n.\n", "plain", "us-ascii")
        signature = MIMEText("-----BEGIN PGP SIGNATURE-----\n", "pgp-signature")
        for each in (part, signature):
            signed.attach(each)
        signed["Subject"], signed["From"] = str(self.subject), self.from_email
        return signed


def test_a_mail_that_a_subclass_builds_goes_out_as_it_was_built(server: SmtpServer) -> None:
    signed = Signed("Signed", "", "no-reply@example.com", ["hong@example.org"])
    assert signed.send() == 1
    row = Message.objects.get()
    stored = body.unpack(row.id, bytes(row.sealed or b""))[1]
    dispatch_due()
    assert signed.built == 1
    [received] = server.mails
    assert received.content == stored.replace(b"\n", b"\r\n")
    assert b"From here:  two spaces, a dot\r\n.\r\n" in received.content
    # It wrote no Message-ID: one was made, so that a second attempt would carry the same.
    assert received.mail["Message-ID"] == row.message_id
    assert row.message_id.endswith("@example.com>")


def test_each_message_learns_its_row(server: SmtpServer) -> None:
    messages = [message(), message(to=[]), message()]
    assert backend().send_messages(messages) == 2
    ids = {str(id) for id in Message.objects.values_list("id", flat=True)}
    first, _, last = messages
    assert {first.authmail_result.id, last.authmail_result.id} == ids  # type: ignore[attr-defined]
    assert not hasattr(messages[1], "authmail_result")


def test_a_code_of_a_notifier_is_queued_as_what_it_is(server: SmtpServer) -> None:
    queued = OTPNotifier().send("hong@example.org", user_name="홍길동", code="482901")
    assert isinstance(queued, Queued)
    row = Message.objects.get(id=queued.id)
    assert (row.kind, row.priority, row.message_id) == ("otp", Priority.HIGH, queued.message_id)
    assert row.expires_at is not None
    assert (bool(queued), queued.error_code, queued.reason) == (True, "", "")
    dispatch_due()
    assert "482901" in server.mails[0].text


def test_what_nobody_is_left_to_get_is_said_to_be_no_mail_that_will_be_sent(
    server: SmtpServer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    suppress("hong@example.org")
    # None of them counts against the limit: none is sent.
    for _ in range(2):
        result = OTPNotifier().send("hong@example.org", user_name="홍길동", code="482901")
        assert isinstance(result, Queued)
        row = Message.objects.get(id=result.id)
        assert not result
        assert (result.error_code, result.reason) == ("recipient_refused", "suppressed")
        assert (row.state, row.reason) == ("failed", "suppressed")
    assert "notifier.not_sent type=otp error_code=recipient_refused reason=suppressed" in (
        caplog.text
    )
    plain = message()
    assert plain.send() == 1  # recorded, as what became of it
    assert not plain.authmail_result  # type: ignore[attr-defined]
    assert dispatch_due() == 0


def test_a_mail_that_one_of_several_gets_will_be_sent(server: SmtpServer) -> None:
    suppress("hong@example.org")
    result = OTPNotifier().send(
        "hong@example.org", user_name="홍길동", code="482901", cc=["kim@example.org"]
    )
    assert result
    assert result.error_code == ""
    dispatch_due()
    assert server.mails[0].recipients == ["kim@example.org"]


# -- Transactions and failures ---------------------------------------------------------------


@committed
def test_a_mail_of_a_rolled_back_transaction_is_none(server: SmtpServer) -> None:
    with transaction.atomic():
        message().send()
        assert Message.objects.count() == 1
        transaction.set_rollback(True)
    assert not Message.objects.exists()
    with transaction.atomic():
        message().send()
    assert dispatch_due() == 1
    assert len(server.mails) == 1


def test_a_hostile_header_is_refused_and_stops_no_other(server: SmtpServer) -> None:
    hostile = message(subject="Hello\r\nBcc: evil@example.org")
    hidden = message(headers={"X-A: b\r\nBcc": "evil@example.org"})
    with pytest.raises(ValueError, match="newline|line break"):
        backend().send_messages([hostile, message()])
    with pytest.raises(ValueError):  # noqa: PT011 - Django's own words before 6.1, ours since
        backend().send_messages([hidden])
    assert backend(fail_silently=True).send_messages([hidden, message()]) == 1
    assert dispatch_due() == 2
    assert [received.recipients for received in server.mails] == [["hong@example.org"]] * 2
    assert all(b"evil" not in received.content for received in server.mails)


@pytest.mark.parametrize("to", ["a@b@c", "홍길동@example.org", "a@example.org\r\nb@example.org"])
def test_a_hostile_or_unusable_address_is_refused(server: SmtpServer, to: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whichever guard is the first to see it
        backend().send_messages([message(to=[to])])
    assert not Message.objects.exists()


@contextmanager
def no_table() -> Iterator[None]:
    """Make every write fail as a database does that was not migrated."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(Message, "authmail_message", "authmail_message_away")
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Message, "authmail_message_away", "authmail_message")


@committed
def test_a_database_error_is_raised(server: SmtpServer) -> None:
    with no_table(), pytest.raises(DatabaseError):
        backend().send_messages([message()])


@committed
def test_a_database_error_is_logged_where_the_caller_wants_silence(
    server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with no_table():
        assert backend(fail_silently=True).send_messages([message(), message()]) == 0
        with transaction.atomic():
            backend(fail_silently=True).send_messages([message()])
            User.objects.create_user("still-usable")
    assert "email.not_recorded" in caplog.text
    assert "manage.py migrate" in caplog.text
    assert User.objects.filter(username="still-usable").exists()
    assert not Message.objects.exists()


@committed
def test_an_error_shows_no_content(server: SmtpServer) -> None:
    secret = message(body="CANARY-482901")
    with no_table(), pytest.raises(DatabaseError) as caught:
        backend().send_messages([secret])
    # This test's own frame holds it; those below are what error pages and trackers would add.
    frames = [frame for frame in caught.traceback if str(frame.path) != __file__]
    assert all("CANARY" not in repr(frame.frame.f_locals) for frame in frames)
    assert caught.value.__context__ is None


# -- Error mail about mail -------------------------------------------------------------------


@pytest.fixture
def error_mail(settings: Settings) -> Iterator[logging.Logger]:
    """A project that mails every error in its log to ADMINS."""
    has_mailers = hasattr(mail, "mailers")
    # Addresses alone since 6.0.
    settings.ADMINS = [ADMIN] if django.VERSION >= (6, 0) else [("Operator", ADMIN)]
    # Before 6.1 it asks for silence itself.
    handler = AdminEmailHandler(using="errors") if has_mailers else AdminEmailHandler()
    root = logging.getLogger()
    handler.setLevel(logging.ERROR)
    root.addHandler(handler)
    yield root
    root.removeHandler(handler)


@committed
def test_an_error_elsewhere_is_mailed_by_the_outbox(
    server: SmtpServer, error_mail: logging.Logger
) -> None:
    error_mail.error("The disk is full")
    assert dispatch_due() == 1
    assert server.mails[0].recipients == [ADMIN]
    assert "The disk is full" in str(server.mails[0].mail["Subject"])


@committed
def test_a_failing_error_mail_makes_no_other(
    server: SmtpServer, error_mail: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse[ADMIN] = "550 5.7.1 not from you"
    error_mail.error("The disk is full")
    assert dispatch_due() == 1
    assert "email.failed" in caplog.text
    assert [row.state for row in Message.objects.all()] == [State.FAILED]


@committed
def test_an_error_mail_that_cannot_be_recorded_ends_there(
    server: SmtpServer, error_mail: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    with no_table():
        error_mail.error("The disk is full")
    assert caplog.text.count("email.not_recorded") == 1


@committed
def test_a_receiver_of_a_signal_may_send_mail_to_others(
    server: SmtpServer, error_mail: logging.Logger, changed: Callable[[Callable[..., None]], None]
) -> None:
    def tell_support(state: str, kind: str, **event: Any) -> None:
        if state == State.FAILED and kind == "plain":
            message(to=["support@example.com"]).send()

    changed(tell_support)
    server.refuse["hong@example.org"] = "550 5.7.1 not from you"
    message().send()
    while dispatch_due():
        pass
    assert [received.recipients for received in server.mails] == [["support@example.com"]]


@pytest.fixture
def changed() -> Iterator[Callable[[Callable[..., None]], None]]:
    """Connect a receiver of `message_changed` until the test ends."""
    from django_authmail.signals import message_changed

    connected = []

    def connect(receiver: Callable[..., None]) -> None:
        message_changed.connect(receiver)
        connected.append(receiver)

    yield connect
    for receiver in connected:
        message_changed.disconnect(receiver)


# -- Options ---------------------------------------------------------------------------------


def test_options_of_a_mailer_are_recorded_with_its_mail(
    server: SmtpServer, settings: Settings
) -> None:
    settings.MAILERS = {
        "default": {"BACKEND": OUR_BACKEND, "OPTIONS": server.options},
        "backup": {"BACKEND": OUR_BACKEND, "OPTIONS": server.options},
        "queue": {
            "BACKEND": mailers.OUTBOX,
            "OPTIONS": {"deliver_using": ["default", "backup"], "priority": "high"},
        },
        "bulk": {
            "BACKEND": mailers.OUTBOX,
            "OPTIONS": {"deliver_using": "backup", "priority": "low"},
        },
    }
    if hasattr(mail, "mailers"):
        message().send(using="queue")
    else:
        mailers.get_mailer("queue").send_messages([message()])
    row = Message.objects.get()
    assert (row.deliver_using, row.priority) == (["default", "backup"], Priority.HIGH)
    OTPNotifier().send("hong@example.org", user_name="", code="482901", using="bulk")
    row = Message.objects.get(kind="otp")
    assert (row.deliver_using, row.priority) == (["backup"], Priority.LOW)


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        MailerUnusable,
        match="'queue'.*unknown option 'deliverusing'; did you mean 'deliver_using'",
    ):
        backend(deliverusing="default")
    with pytest.raises(MailerUnusable, match="priority is 'high' or 'low', not 'urgent'"):
        backend(priority="urgent")
    with pytest.raises(MailerUnusable, match="deliver_using is the name of a mailer, or a list"):
        backend(deliver_using=[None])


def test_a_login_given_with_a_mail_is_refused() -> None:
    backend(username=None, password=None)  # as Django before 6.1 does with each mail
    with pytest.raises(MailerUnusable, match="auth_user and auth_password have no effect"):
        backend(username="sender@example.com")


def test_without_the_app_it_says_what_to_do() -> None:
    with (
        modify_settings(INSTALLED_APPS={"remove": "django_authmail"}),
        pytest.raises(MailerUnusable, match="add 'django_authmail' to INSTALLED_APPS"),
    ):
        backend()


def test_in_a_test_suite_it_is_locmem_as_any_other(settings: Settings) -> None:
    queue = {"queue": {"BACKEND": mailers.OUTBOX}}
    if hasattr(mail, "mailers"):
        # Django's test runner replaces the backends of MAILERS.
        queue = {"queue": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    settings.MAILERS = queue
    assert isinstance(mailers.get_mailer("queue"), LocmemBackend)
    OTPNotifier().send("hong@example.org", user_name="", code="482901", using="queue")
    assert len(mail.outbox) == 1
    assert not Message.objects.exists()
