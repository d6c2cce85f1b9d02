from __future__ import annotations

import re
import smtplib
import socket
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, send_mail
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend
from django.test import override_settings
from django.utils import translation
from django.utils.translation import gettext_lazy

from django_authmail.exceptions import MailerUnusable
from django_authmail.hints import hint
from django_authmail.mailers import get_mailer
from django_authmail.outcomes import SendResult
from django_authmail.smtp import DeliveryFailed, EmailBackend
from django_authmail.smtp.errors import TlsFailed
from tests import smtp_server as servers
from tests.conftest import UseMailer


def backend(server: servers.SmtpServer, **options: Any) -> EmailBackend:
    return EmailBackend(alias="default", **server.options | options)


def message(**changes: Any) -> EmailMessage:
    values: dict[str, Any] = {
        "subject": "안녕하세요",
        "body": "본문 482901",
        "from_email": "Team <team@example.org>",
        "to": ["hong@example.com"],
    }
    return EmailMessage(**values | changes)


def result_of(sent: EmailMessage) -> SendResult:
    result = vars(sent)["authmail_result"]
    assert isinstance(result, SendResult)
    return result


def test_send_mail_arrives_through_the_project_s_own_api(smtp_server: servers.SmtpServer) -> None:
    assert send_mail("제목", "본문", "a@example.org", ["b@example.com"]) == 1
    [received] = smtp_server.mails
    assert received.secure
    assert received.mail["Subject"] == "제목"
    assert received.text.strip() == "본문"


def test_is_django_s_backend_to_isinstance(smtp_server: servers.SmtpServer) -> None:
    assert isinstance(get_mailer(), DjangoEmailBackend)
    assert isinstance(get_mailer(), EmailBackend)


def test_the_result_hangs_on_the_message(smtp_server: servers.SmtpServer) -> None:
    one = message()
    assert backend(smtp_server).send_messages([one]) == 1
    assert result_of(one).provider_id == "Ok: queued as 000001"
    assert result_of(one).message_id == smtp_server.mails[0].mail["Message-ID"]


def test_many_messages_share_a_connection(smtp_server: servers.SmtpServer) -> None:
    assert backend(smtp_server).send_messages([message() for _ in range(5)]) == 5
    assert smtp_server.connections == 1
    assert len(smtp_server.mails) == 5


def test_an_open_backend_keeps_its_connection_until_it_is_closed(
    smtp_server: servers.SmtpServer,
) -> None:
    with backend(smtp_server) as connection:
        assert connection.open() is False
        connection.send_messages([message()])
        connection.send_messages([message()])
    assert smtp_server.connections == 1
    assert connection.open() is True
    connection.close()
    connection.close()


def test_a_refused_message_does_not_stop_the_others(smtp_server: servers.SmtpServer) -> None:
    smtp_server.refuse["bad@example.com"] = "550 5.1.1 no such user"
    messages = [message(to=["bad@example.com"]), message(), message()]
    with pytest.raises(DeliveryFailed) as caught:
        backend(smtp_server).send_messages(messages)
    assert len(smtp_server.mails) == 2
    assert [bool(result_of(m)) for m in messages] == [False, True, True]
    assert caught.value.result is result_of(messages[0])
    assert str(caught.value) == (
        "recipient_refused (bad_recipient): the server said '550 5.1.1 no such user'. "
        "There is no such mailbox. Check the address with its owner."
    )


def test_fail_silently_counts_and_raises_nothing(smtp_server: servers.SmtpServer) -> None:
    smtp_server.refuse["bad@example.com"] = "550 5.1.1 no such user"
    silent = backend(smtp_server, fail_silently=True)
    assert silent.send_messages([message(to=["bad@example.com"]), message()]) == 1


def test_fail_silently_on_a_dead_server(dead_port: int) -> None:
    silent = EmailBackend(alias="default", host="127.0.0.1", port=dead_port, fail_silently=True)
    assert silent.open() is None
    assert silent.send_messages([message()]) == 0


def test_a_message_without_recipients_is_not_sent(smtp_server: servers.SmtpServer) -> None:
    assert backend(smtp_server).send_messages([message(to=[])]) == 0
    assert smtp_server.connections == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"password": "wrong"}, smtplib.SMTPAuthenticationError),
        ({"port": 1}, smtplib.SMTPServerDisconnected),
        ({"ca_file": ""}, smtplib.SMTPNotSupportedError),
        ({"use_tls": False, "username": "", "password": ""}, smtplib.SMTPException),
    ],
)
def test_failures_are_the_exceptions_that_callers_of_django_catch(
    smtp_server: servers.SmtpServer, options: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught:
        backend(smtp_server, **options).send_messages([message()])
    assert isinstance(caught.value, DeliveryFailed)
    assert isinstance(caught.value, OSError)


def test_every_recipient_refused_is_smtplib_s_exception_too(
    smtp_server: servers.SmtpServer,
) -> None:
    smtp_server.refuse["hong@example.com"] = "550 5.1.1 no such user"
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        backend(smtp_server).send_messages([message()])
    assert caught.value.recipients == {"hong@example.com": (550, b"550 5.1.1 no such user")}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"ca_fil": "x"}, "unknown option 'ca_fil'; did you mean 'ca_file'"),
        ({"user_name": "x"}, "unknown option 'user_name'; did you mean 'username'"),
        ({"zzz": 1}, "unknown option 'zzz'$"),
        ({"username": "u@example.com", "password": ""}, "without a password"),
        ({"use_tls": False}, "cross the network readable"),
        ({"timeout": 0}, "timeout must be more than 0"),
    ],
)
def test_wrong_options_name_the_mailer_and_the_cure(
    smtp_server: servers.SmtpServer, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(MailerUnusable, match=said) as caught:
        backend(smtp_server, **options)
    assert "MAILERS['default']" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"to": ["a@example.com\r\nBcc: x@example.com"]},
        {"subject": "s\nBcc: x@example.com"},
        {"from_email": "a@example.com\nX: y"},
        {"headers": {"X-A": "b\r\nBcc: x@example.com"}},
        {"bcc": ["x@example.com\n"]},
    ],
)
def test_a_header_of_plain_django_mail_cannot_be_broken(
    smtp_server: servers.SmtpServer, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each Django version has its own text
        backend(smtp_server).send_messages([message(**changes)])
    assert smtp_server.mails == []


def test_attachments_and_alternatives_arrive(smtp_server: servers.SmtpServer) -> None:
    rich = EmailMultiAlternatives("s", "text", "a@example.org", ["b@example.com"])
    rich.attach_alternative("<p>html</p>", "text/html")
    rich.attach("영수증.txt", "내용", "text/plain")
    assert backend(smtp_server).send_messages([rich]) == 1
    [received] = smtp_server.mails
    [attachment] = received.mail.iter_attachments()
    assert attachment.get_filename() == "영수증.txt"
    assert attachment.get_content().strip() == "내용"
    assert received.html.strip() == "<p>html</p>"


def test_a_domain_beyond_ascii_goes_as_a_labels(smtp_server: servers.SmtpServer) -> None:
    backend(smtp_server).send_messages([message(to=["hong@한국.kr"])])
    assert smtp_server.mails[0].recipients == ["hong@xn--3e0b707e.kr"]


def test_captures_by_setting_for_every_door(
    settings: Any, tmp_path: Path, use_mailer: UseMailer, dead_port: int
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    settings.AUTHMAIL_CAPTURE_DIR = tmp_path
    send_mail("s", "b", "a@example.org", ["b@example.com"])
    assert len(list(tmp_path.glob("*.eml"))) == 1


def test_in_a_test_run_no_door_reaches_a_server() -> None:
    # This is the suite of a project: Django has put locmem in place, and this test leaves it so.
    send_mail("s", "b", "a@example.org", ["b@example.com"])
    get_mailer().send_messages([message()])
    assert len(mail.outbox) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A: 1\r\nX-Evil": "v"},
        {"X-A\nBcc": "x@example.com"},
        {"Bcc": "secret@example.com"},
        {"Resent-Bcc": "secret@example.com"},
    ],
)
def test_no_name_of_a_header_smuggles_one(
    smtp_server: servers.SmtpServer, headers: dict[str, str]
) -> None:
    backend(smtp_server, fail_silently=True).send_messages([message(headers=headers)])
    for received in smtp_server.mails:
        assert b"Evil" not in received.content
        assert b"secret" not in received.content
        assert "bcc" not in str(received.mail.keys()).lower()


def test_lazy_strings_and_empty_addresses_are_as_with_django(
    smtp_server: servers.SmtpServer,
) -> None:
    lazy = gettext_lazy("hong@example.com")
    one = message(to=[lazy, ""], cc=[""], from_email=gettext_lazy("team@example.org"))
    assert backend(smtp_server).send_messages([one]) == 1
    assert smtp_server.mails[0].recipients == ["hong@example.com"]


def test_a_message_that_cannot_be_built_does_not_stop_the_others(
    smtp_server: servers.SmtpServer,
) -> None:
    class Broken(EmailMessage):
        def message(self, **options: Any) -> Any:
            raise LookupError("no template")

    broken = Broken("s", "b", "a@example.org", ["b@example.com"])
    with pytest.raises(LookupError):
        backend(smtp_server).send_messages([broken, message()])
    assert len(smtp_server.mails) == 1
    assert not result_of(broken)


@override_settings(EMAIL_USE_LOCALTIME=True, TIME_ZONE="Asia/Seoul")
def test_the_date_is_in_local_time_where_the_project_says_so(
    smtp_server: servers.SmtpServer,
) -> None:
    assert backend(smtp_server).send_messages([message()]) == 1
    assert str(smtp_server.mails[0].mail["Date"]).endswith(" +0900")


def test_a_message_whose_building_was_changed_is_built_so(smtp_server: servers.SmtpServer) -> None:
    one = message()
    other = message(subject="another")
    vars(one)["message"] = other.message
    assert backend(smtp_server).send_messages([one]) == 1
    assert smtp_server.mails[0].mail["Subject"] == "another"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, r"smtp_connection \(connection_refused\): 127\.0\.0\.1:\d+, connecting: .+refused"),
        (
            {"accepts": True},
            r"smtp_timeout \(smtp_timeout\): 127\.0\.0\.1:\d+, greeting: timed out",
        ),
        (
            {"accepts": True, "use_ssl": True, "use_tls": False},
            r"smtp_timeout \(smtp_timeout\): 127\.0\.0\.1:\d+, TLS handshake: .*timed out",
        ),
    ],
    ids=["nobody listens", "a server that says nothing", "TLS with a server that says nothing"],
)
def test_an_error_names_the_server_and_the_step(options: dict[str, Any], says: str) -> None:
    options = dict(options)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not options.pop("accepts", False):
            listener.close()
        given = {"host": "127.0.0.1", "port": port, "timeout": 0.3, **options}
        with pytest.raises(DeliveryFailed, match=says):
            EmailBackend(alias="default", **given).send_messages([message()])


@pytest.mark.parametrize("language", ["en", "ko"])
def test_an_error_says_what_to_do_in_the_words_of_sendtestmail(
    smtp_server: servers.SmtpServer, language: str
) -> None:
    with (
        translation.override(language),  # of a visitor: the error is for who runs the site
        pytest.raises(TlsFailed) as caught,
    ):
        backend(smtp_server, ca_file="").send_messages([message()])
    said = str(caught.value)
    assert re.search(r"\(certificate_invalid\): localhost:\d+, .+ CERTIFICATE_VERIFY_FAILED", said)
    with translation.override("en"):
        assert said.endswith(f". {hint('certificate_invalid')}")
    assert "AUTHMAIL_SMTP_CA_FILE" in said


def test_a_refused_login_names_the_server_and_the_step(smtp_server: servers.SmtpServer) -> None:
    with pytest.raises(DeliveryFailed) as caught:
        backend(smtp_server, password="wrong").send_messages([message()])
    where = f"localhost:{smtp_server.port}, login: the server said '535"
    assert str(caught.value).startswith(f"smtp_auth_failed (auth_failed): {where}")
