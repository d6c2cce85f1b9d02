"""Contract, section 6: what a mail server does, and the words for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail.models import Recipient, Suppression
from django_authmail.outcomes import ErrorCode
from example_project.certificates import ServerCertificate, make_certificate
from tests import smtp_server as servers
from tests.conftest import UseMailer
from tests.contract.callers import TO, Caller, Socket
from tests.smtp.scripted import Peer, Scripted, scripted
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

SUPPRESSES = {"bad_recipient", "mailbox_disabled"}


def replying(**replies: str) -> Any:
    """Speak SMTP with a login and no extensions, but for these replies to these verbs.

    CONTENT is what follows the final dot; `hang` is silence, and `drop` the end of the connection.
    """
    usual = {"AUTH": "235 2.7.0 ok", "DATA": "354 go on", "QUIT": "221 2.0.0 bye"}
    usual |= {"EHLO": "250-here\r\n250-AUTH PLAIN LOGIN\r\n250 ENHANCEDSTATUSCODES"}

    def script(peer: Peer) -> None:
        def say(verb: str) -> bool:
            reply = replies.get(verb, usual.get(verb, "250 2.0.0 ok"))
            if reply == "hang":
                peer.stop.wait(60)
            if reply in ("hang", "drop"):
                return False
            peer.say(f"{reply}\r\n".encode())
            return reply.startswith("354")

        peer.say(f"{replies.get('GREETING', '220 here')}\r\n".encode())
        while True:
            verb = peer.read().split(" ")[0].upper()
            if replies.get(verb) in ("hang", "drop"):
                say(verb)
                return
            if say(verb):
                peer.content()
                if replies.get("CONTENT") in ("hang", "drop"):
                    say("CONTENT")
                    return
                say("CONTENT")

    return script


@pytest.fixture
def serve(use_mailer: UseMailer, settings: Settings) -> Any:
    """Run a server by `replying`, and make it the default mailer."""

    @contextmanager
    def run(**replies: str) -> Iterator[Scripted]:
        settings.AUTHMAIL_SMTP_ALLOW_CLEARTEXT_AUTH = True
        with scripted(replying(**replies)) as server:
            use_mailer(
                {"host": "127.0.0.1", "port": server.port, "username": "me", "password": "pw"}
            )
            yield server

    return run


@pytest.mark.parametrize(
    ("replies", "error_code", "reason"),
    [
        ({"AUTH": "535 5.7.8 no"}, "smtp_auth_failed", "auth_failed"),
        ({"AUTH": "534 5.7.9 no"}, "smtp_auth_failed", "app_password_required"),
        ({"MAIL": "530 5.7.0 login first"}, "smtp_auth_failed", "auth_required"),
        ({"MAIL": "538 5.7.11 login first"}, "smtp_auth_failed", "auth_required"),
        ({"AUTH": "550 5.7.30 no"}, "smtp_auth_failed", "basic_auth_disabled"),
        ({"AUTH": "454 4.7.0 later"}, "smtp_transient", "auth_temporary"),
        ({"AUTH": "432 4.7.12 later"}, "smtp_transient", "auth_temporary"),
        ({"CONTENT": "drop"}, "smtp_connection", "outcome_unknown"),
        ({"MAIL": "421 4.3.2 closing"}, "smtp_transient", "server_busy"),
        ({"CONTENT": "451 4.3.0 later"}, "smtp_transient", "server_busy"),
        ({"RCPT": "450 4.4.1 later"}, "smtp_transient", "server_busy"),
        ({"RCPT": "450 4.7.1 later"}, "smtp_transient", "greylisted"),
        ({"RCPT": "451 4.7.1 later"}, "smtp_transient", "greylisted"),
        ({"RCPT": "421 4.7.28 slower"}, "smtp_transient", "rate_limited_by_server"),
        ({"RCPT": "450 4.2.1 slower"}, "smtp_transient", "rate_limited_by_server"),
        ({"RCPT": "452 4.5.3 too many"}, "smtp_transient", "too_many_recipients"),
        ({"RCPT": "452 4.2.2 full"}, "smtp_transient", "mailbox_full"),
        ({"RCPT": "552 5.2.2 full"}, "recipient_refused", "mailbox_full"),
        ({"CONTENT": "550 5.4.5 the day's quota"}, "smtp_transient", "quota_exceeded"),
        *(
            ({"RCPT": f"550 {code} nobody"}, "recipient_refused", "bad_recipient")
            for code in ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10")
        ),
        ({"RCPT": "550 5.2.1 off"}, "recipient_refused", "mailbox_disabled"),
        ({"MAIL": "553 5.1.7 who"}, "recipient_refused", "bad_sender"),
        ({"MAIL": "550 5.1.8 who"}, "recipient_refused", "bad_sender"),
        ({"CONTENT": "552 too much"}, "recipient_refused", "message_too_large"),
        ({"CONTENT": "523 too much"}, "recipient_refused", "message_too_large"),
        ({"CONTENT": "552 5.3.4 too much"}, "recipient_refused", "message_too_large"),
        ({"RCPT": "552 5.2.3 too much"}, "recipient_refused", "message_too_large"),
        ({"RCPT": "550 5.7.1 policy"}, "recipient_refused", "policy_rejected"),
        *(
            ({"CONTENT": f"550 5.7.{n} SPF"}, "recipient_refused", "sender_authentication_failed")
            for n in (20, 23, 26, 27)
        ),
        ({"CONTENT": "450 later"}, "smtp_transient", "transient"),
        ({"CONTENT": "554 no"}, "recipient_refused", "permanent"),
        ({"RCPT": "399 what"}, "unknown", "unknown"),
    ],
    ids=lambda value: (
        " ".join(" ".join(pair) for pair in value.items()) if isinstance(value, dict) else ""
    ),
)
def test_a_reply(
    raw: Socket, serve: Any, replies: dict[str, str], error_code: str, reason: str
) -> None:
    with serve(**replies):
        told = raw.ask()
    assert (told.status, told["error_code"], told["reason"]) == (502, error_code, reason)
    # No other reason ever suppresses an address.
    assert Suppression.objects.exists() is (reason in SUPPRESSES)


@pytest.mark.parametrize(
    ("replies", "error_code"),
    [
        ({"AUTH": "535 5.7.8 no"}, "smtp_auth_failed"),
        ({"CONTENT": "drop"}, "smtp_connection"),
        ({"RCPT": "450 4.3.0 later"}, "smtp_transient"),
        ({"RCPT": "550 5.7.1 policy"}, "recipient_refused"),
        ({"RCPT": "399 what"}, "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_word_of_S0(caller: Caller, serve: Any, replies: dict[str, str], error_code: str) -> None:
    """The other three need no reply: see below."""
    with serve(**replies):
        told = caller.ask()
    assert (told.status, told["error_code"]) == (502, error_code)


def test_a_timeout_before_any_content(caller: Caller, serve: Any, settings: Settings) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.6)
    with serve(RCPT="hang"):
        told = caller.ask()
    assert (told["error_code"], told["reason"]) == ("smtp_timeout", "smtp_timeout")


def test_a_timeout_after_the_content(caller: Caller, serve: Any, settings: Settings) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.6)
    with serve(CONTENT="hang"):
        told = caller.ask()
    assert (told["error_code"], told["reason"]) == ("smtp_timeout", "outcome_unknown")


def test_a_name_that_there_is_not(caller: Caller, use_mailer: UseMailer) -> None:
    use_mailer({"host": "mail.invalid", "port": 25})  # RFC 6761: never there
    told = caller.ask()
    assert (told["error_code"], told["reason"]) == ("smtp_connection", "dns_error")


def test_a_port_where_nobody_listens(caller: Caller, use_mailer: UseMailer, dead_port: int) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    told = caller.ask()
    assert (told["error_code"], told["reason"]) == ("smtp_connection", "connection_refused")


def test_a_certificate_of_somebody_else(
    caller: Caller, smtp_server: SmtpServer, use_mailer: UseMailer, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path)
    use_mailer({**smtp_server.options, "ca_file": str(other.ca_file)})
    told = caller.ask()
    assert (told["error_code"], told["reason"]) == ("smtp_connection", "certificate_invalid")
    assert not smtp_server.mails


def test_a_server_that_offers_no_starttls(
    caller: Caller, certificate: ServerCertificate, use_mailer: UseMailer
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        use_mailer(server.options)
        told = caller.ask()
    assert (told["error_code"], told["reason"]) == ("starttls_unsupported", "starttls_unsupported")
    assert not server.mails


def test_a_line_break_is_refused_before_any_server_is_asked(
    caller: Caller, smtp_server: SmtpServer
) -> None:
    told = caller.ask("raw", subject="a\nb")
    assert (told.status, told["code"]) == (422, "crlf_in_header")
    assert not smtp_server.connections


def test_there_are_eight_words_and_no_ninth() -> None:
    """A ninth would break S0's callers; each of these is provoked above."""
    assert set(map(str, ErrorCode)) == {
        "crlf_in_header",
        "smtp_auth_failed",
        "smtp_connection",
        "smtp_timeout",
        "smtp_transient",
        "recipient_refused",
        "starttls_unsupported",
        "unknown",
    }


def test_the_reply_is_on_record_with_addresses_masked(caller: Caller, serve: Any) -> None:
    with serve(RCPT=f"550 5.7.1 <{TO}> not wanted"):
        caller.ask()
    row = Recipient.objects.get()
    assert (row.reply_code, row.reply_enhanced) == (550, "5.7.1")
    assert row.reply_text == "<h***@example.com> not wanted"
