"""`manage.py sendtestmail` against a real server: what it shows, and how it ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line
from pytest_django.fixtures import Settings

from django_authmail.apps import AuthmailConfig
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.kinds import SHIPPED
from tests.smtp_server import PASSWORD, USER, SmtpServer

TO = "hong@example.org"


class Run:
    """One run of the command: its two outputs and the error it ended with."""

    def __init__(self, *arguments: str, **options: Any) -> None:
        out, err = StringIO(), StringIO()
        self.error = ""
        try:
            call_command("sendtestmail", *arguments, stdout=out, stderr=err, **options)
        except CommandError as error:
            self.error = str(error)
        self.out, self.err = out.getvalue(), err.getvalue()


def test_shows_each_step_and_the_answer(smtp_server: SmtpServer) -> None:
    run = Run(TO)
    assert run.error == ""
    assert run.err == ""
    (received,) = smtp_server.mails
    lines = run.out.splitlines()
    assert lines[:3] == [
        f"  Mail: otp -> {TO}",
        "  From: Example <no-reply@example.com>",
        "  Mailer: default (django_authmail.smtp.backend.EmailBackend)",
    ]
    assert lines[3] == f"  Connect: ok localhost:{smtp_server.port}"
    assert re.fullmatch(r"  TLS: ok STARTTLS, TLSv1\.[23]", lines[4])
    assert re.fullmatch(rf"  Login: ok {USER} \((PLAIN|LOGIN)\)", lines[5])
    assert lines[6] == "  Answer: ok 250 2.0.0 Ok: queued as 000001"
    assert re.fullmatch(r"  Time: \d+\.\d\d s", lines[7])
    assert lines[8] == f"  Message-ID: {received.mail['Message-ID']}"
    assert lines[9] == "  Server's id: Ok: queued as 000001"
    assert "Only the inbox shows whether it arrives" in lines[10]
    assert PASSWORD not in run.out


def test_ends_with_0_and_1(smtp_server: SmtpServer) -> None:
    # The checks of other apps may ask the database, which this test does not have.
    command = ["manage.py", "sendtestmail", TO, "--skip-checks"]
    execute_from_command_line(command)
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    with pytest.raises(SystemExit) as caught:
        execute_from_command_line(command)
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("locale", "subject", "words"),
    [
        ("ko", "인증 코드 안내", "메일 서버가 메일을 접수했습니다"),
        ("en", "Your verification code", "The server took"),
    ],
)
def test_mail_and_report_in_the_chosen_language(
    smtp_server: SmtpServer, locale: str, subject: str, words: str
) -> None:
    run = Run(TO, locale=locale)
    assert smtp_server.mails[0].mail["Subject"] == subject
    assert words in run.out


@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize("kind", SHIPPED)
def test_a_sample_of_every_kind(smtp_server: SmtpServer, kind: str, locale: str) -> None:
    run = Run(TO, kind=kind, locale=locale)
    assert run.error == ""
    (received,) = smtp_server.mails
    assert received.mail["Content-Language"] == locale
    assert received.text.strip()
    assert run.out.startswith(("  메일: " if locale == "ko" else "  Mail: ") + f"{kind} -> {TO}")


@pytest.mark.parametrize(
    ("locale", "last"),
    [("ko", "2통 중 1통이 접수되지 않았습니다"), ("en", "1 of 2 not accepted")],
)
def test_its_last_line_is_in_the_language_of_the_report(
    smtp_server: SmtpServer, locale: str, last: str
) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    assert Run(TO, "kim@example.org", locale=locale).error == last


def test_a_link_that_begins_with_a_sample_address_is_told(
    smtp_server: SmtpServer, settings: Settings
) -> None:
    said = "  Links begin with https://app.example.com, a sample: AUTHMAIL_LINK_BASE_URL is not set"
    assert said in Run(TO, kind="magic-link").out
    assert "Links begin" not in Run(TO, kind="otp").out
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    assert "Links begin" not in Run(TO, kind="magic-link").out
    assert len(smtp_server.mails) == 3


def test_speaks_in_the_words_of_the_project(
    smtp_server: SmtpServer,
    use_mailer: Callable[..., None],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = {
        "AUTHMAIL_LINK_BASE_URL": "MAGIC_LINK_BASE_URL",
        "AUTHMAIL_SMTP_CA_FILE": "SMTP_CA_FILE",
    }
    monkeypatch.setattr(AuthmailConfig, "words", words)
    assert "a sample: MAGIC_LINK_BASE_URL is not set" in Run(TO, kind="magic-link").out
    use_mailer({k: v for k, v in smtp_server.options.items() if k != "ca_file"})
    settings.AUTHMAIL_SMTP_CA_FILE = ""
    assert "name its file in SMTP_CA_FILE." in Run(TO).err


def test_an_unknown_kind_is_refused_with_the_known(smtp_server: SmtpServer) -> None:
    run = Run(TO, "--kind", "magic-lnk")
    assert "invalid choice: 'magic-lnk'" in run.error
    assert "'magic-link'" in run.error
    assert not smtp_server.mails


@pytest.mark.parametrize(("locale", "subject"), [("ko", "테스트 메일"), ("en", "Test mail")])
def test_a_plain_mail(smtp_server: SmtpServer, locale: str, subject: str) -> None:
    Run(TO, kind="plain", locale=locale)
    (received,) = smtp_server.mails
    assert received.mail["Subject"] == subject
    assert received.mail.get_content_type() == "text/plain"


def test_each_address_gets_its_own_mail_in_both_spellings(smtp_server: SmtpServer) -> None:
    assert Run("a@example.org", "b@example.org", "--to", "c@example.org").error == ""
    assert [mail.recipients for mail in smtp_server.mails] == [
        ["a@example.org"],
        ["b@example.org"],
        ["c@example.org"],
    ]


def test_one_refused_address_does_not_stop_the_others(smtp_server: SmtpServer) -> None:
    smtp_server.refuse["a@example.org"] = "550 5.1.1 no such user"
    run = Run("a@example.org", "b@example.org")
    assert run.error == "1 of 2 not accepted"
    assert "error_code: recipient_refused\nreason: bad_recipient\n" in run.err
    assert "Details: 550 5.1.1 no such user" in run.err
    assert "What to do: There is no such mailbox." in run.err
    assert len(smtp_server.mails) == 1


def test_needs_an_address() -> None:
    assert "Name at least one address" in Run().error


def test_an_address_that_is_none_is_refused_before_connecting(smtp_server: SmtpServer) -> None:
    before = smtp_server.connections
    run = Run("nobody")
    assert run.error == "1 of 1 not accepted"
    assert "invalid_recipient: to is not a usable email address" in run.err
    assert smtp_server.connections == before


def test_an_unknown_mailer_is_refused_by_name() -> None:
    run = Run(TO, using="elsewhere")
    assert "configuration: There is no mailer 'elsewhere'" in run.err
    assert run.error == "1 of 1 not accepted"


def test_a_wrong_password(
    smtp_server: SmtpServer, use_mailer: Callable[..., None], certificate: ServerCertificate
) -> None:
    use_mailer({**smtp_server.options, "password": "not-the-password"})
    run = Run(TO)
    assert f"  Connect: ok localhost:{smtp_server.port}\n" in run.out
    assert "  TLS: ok STARTTLS\n" in run.out
    assert f"  Login: failed {USER}\n" in run.out
    assert "error_code: smtp_auth_failed\nreason: auth_failed\n" in run.err
    assert "Details: 535 5.7.8" in run.err
    assert "What to do: The mail server refused the user name or the password." in run.err
    assert "not-the-password" not in run.out + run.err


def test_a_server_that_says_nothing_to_a_login(
    smtp_server: SmtpServer, use_mailer: Callable[..., None]
) -> None:
    smtp_server.hold_login = True
    use_mailer({**smtp_server.options, "timeout": 1})
    run = Run(TO)
    smtp_server.release.set()
    assert f"  Connect: ok localhost:{smtp_server.port}\n" in run.out
    assert "  TLS: ok STARTTLS\n" in run.out
    assert f"  Login: failed {USER}\n" in run.out
    assert f"Where: localhost:{smtp_server.port}, login\n" in run.err
    assert "reason: smtp_timeout" in run.err


def test_the_report_of_a_failure_in_korean(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    run = Run(TO, locale="ko")
    assert "error_code: recipient_refused" in run.err
    assert "해결 방법: " in run.err
    assert re.search("[가-힣]", run.err.partition("해결 방법: ")[2])


def test_no_server_there(use_mailer: Callable[..., None], dead_port: int) -> None:
    use_mailer({"host": "localhost", "port": dead_port, "use_tls": True})
    run = Run(TO)
    assert f"  Connect: failed localhost:{dead_port}\n" in run.out
    assert "TLS:" not in run.out
    assert "reason: connection_refused" in run.err
    assert "What to do: The mail server cannot be reached." in run.err


def test_a_certificate_that_nobody_here_trusts(
    smtp_server: SmtpServer, use_mailer: Callable[..., None], settings: Settings
) -> None:
    use_mailer({k: v for k, v in smtp_server.options.items() if k != "ca_file"})
    settings.AUTHMAIL_SMTP_CA_FILE = ""
    run = Run(TO)
    assert "  Connect: ok" in run.out
    assert "  TLS: failed STARTTLS\n" in run.out
    assert "Login:" not in run.out
    assert "reason: certificate_invalid" in run.err


def test_a_server_without_starttls(
    certificate: ServerCertificate, use_mailer: Callable[..., None]
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        use_mailer({"host": server.host, "port": server.port, "use_tls": True})
        run = Run(TO)
        assert server.mails == []
    assert "  TLS: failed STARTTLS\n" in run.out
    assert "error_code: starttls_unsupported" in run.err


def test_a_server_without_tls_and_login(
    certificate: ServerCertificate, use_mailer: Callable[..., None]
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        use_mailer({"host": server.host, "port": server.port})
        run = Run(TO)
        assert len(server.mails) == 1
    assert "  TLS: none\n  Login: none\n  Answer: ok 250" in run.out


def test_content_refused_by_policy(smtp_server: SmtpServer) -> None:
    smtp_server.refuse_content = "550 5.7.1 not from here"
    run = Run(TO)
    assert "  Answer: failed 550 5.7.1 not from here" in run.out
    assert "reason: policy_rejected" in run.err


def test_a_captured_mail_is_not_called_sent(
    smtp_server: SmtpServer, settings: Settings, tmp_path: Path
) -> None:
    settings.AUTHMAIL_CAPTURE_DIR = str(tmp_path)
    before = smtp_server.connections
    run = Run(TO)
    assert run.error == ""
    assert f"Written into {tmp_path}; no server was asked." in run.out
    assert len(list(tmp_path.glob("*.eml"))) == 1
    assert smtp_server.connections == before


def test_a_backend_of_django_says_what_it_can() -> None:
    run = Run(TO)  # locmem, by Django's test runner
    assert "Mailer: default (django.core.mail.backends.locmem.EmailBackend)" in run.out
    assert "The backend took the mail over and says no more." in run.out
