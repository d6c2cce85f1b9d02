from __future__ import annotations

import logging
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_authmail.outcomes import Retry, SendResult
from django_authmail.smtp import SmtpConfig, SmtpSender
from example_project.certificates import ServerCertificate, make_certificate
from tests import smtp_server as servers
from tests.smtp.scripted import Peer, Script, scripted

CODE = "482901"


@pytest.fixture
def server(certificate: ServerCertificate) -> Iterator[servers.SmtpServer]:
    with servers.running(certificate) as running:
        yield running


def config_for(server: servers.SmtpServer, **changes: Any) -> SmtpConfig:
    values: dict[str, Any] = {
        "host": server.host,
        "port": server.port,
        "user": servers.USER,
        "password": servers.PASSWORD,
        "ca_file": str(server.certificate.ca_file),
    }
    return SmtpConfig(**values | changes)


def clear_config(port: int, **changes: Any) -> SmtpConfig:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "from_addr": "no-reply@example.org",
        "use_tls": False,
        "timeout": 5.0,
    }
    return SmtpConfig(**values | changes)


def send(config: SmtpConfig, **options: Any) -> SendResult:
    return SmtpSender(config, **options).send(
        "hong@example.com", "로그인 코드", f"<p>코드 {CODE}</p>"
    )


def test_a_mail_arrives_over_tls_after_a_login(server: servers.SmtpServer) -> None:
    result = send(config_for(server))
    assert result
    assert result.error_code == ""
    assert result.accepted == ("hong@example.com",)
    assert result.provider_id == "Ok: queued as 000001"
    [mail] = server.mails
    assert mail.secure
    assert mail.authenticated
    assert mail.sender == servers.USER
    assert mail.mail["Subject"] == "로그인 코드"
    assert mail.mail["Message-ID"] == result.message_id
    assert CODE in mail.html
    # The text part is made from the HTML.
    assert mail.text.strip() == f"코드 {CODE}"


def test_bcc_is_delivered_and_not_shown(server: servers.SmtpServer) -> None:
    SmtpSender(config_for(server)).send(
        "a@example.com", "s", "<p>x</p>", "x", cc=["c@example.com"], bcc=["hidden@example.com"]
    )
    [mail] = server.mails
    assert mail.recipients == ["a@example.com", "c@example.com", "hidden@example.com"]
    assert b"hidden" not in mail.content


def test_a_refused_recipient_is_a_value_and_the_rest_get_the_mail(
    server: servers.SmtpServer,
) -> None:
    server.refuse["bad@example.com"] = "550 5.1.1 <bad@example.com>: no such user"
    result = SmtpSender(config_for(server)).send(
        ["good@example.com", "bad@example.com"], "s", "<p>x</p>"
    )
    assert result
    assert result.accepted == ("good@example.com",)
    [refusal] = result.refused
    assert refusal.address == "bad@example.com"
    assert refusal.failure.reason == "bad_recipient"
    assert refusal.failure.reply is not None
    assert refusal.failure.reply.text == "<b***@example.com>: no such user"
    assert server.mails[0].recipients == ["good@example.com"]


def test_when_every_recipient_is_refused_nothing_is_sent(server: servers.SmtpServer) -> None:
    server.refuse["hong@example.com"] = "450 4.7.1 greylisted"
    result = send(config_for(server))
    assert not result
    assert (result.error_code, result.reason) == ("smtp_transient", "greylisted")
    assert server.mails == []


def test_refused_content_says_why(server: servers.SmtpServer) -> None:
    server.refuse_content = "554 5.7.1 Message looks like spam"
    result = send(config_for(server))
    assert (result.error_code, result.reason) == ("recipient_refused", "policy_rejected")
    assert result.reply is not None
    assert str(result.reply) == "554 5.7.1 Message looks like spam"


def test_a_lost_answer_to_the_content_is_unknown_and_is_not_sent_again(
    server: servers.SmtpServer,
) -> None:
    server.drop_after_content = 1
    result = send(config_for(server), max_retries=3, backoff_seconds=(0,))
    assert not result
    assert result.unknown
    assert (result.error_code, result.reason) == ("smtp_connection", "outcome_unknown")
    assert len(server.mails) == 1


def test_a_wrong_password_is_said_and_no_password_is_shown(server: servers.SmtpServer) -> None:
    result = send(config_for(server, password="not the password"))
    assert (result.error_code, result.reason) == ("smtp_auth_failed", "auth_failed")
    assert result.failure is not None
    assert result.failure.retry is Retry.CARRIER
    assert "not the password" not in repr(result)
    assert server.mails == []


def test_a_certificate_of_an_unknown_authority_gets_no_mail(server: servers.SmtpServer) -> None:
    result = send(config_for(server, ca_file=""))
    assert (result.error_code, result.reason) == ("smtp_connection", "certificate_invalid")
    assert server.mails == []


def test_an_expired_certificate_gets_no_mail(tmp_path: Path) -> None:
    expired = make_certificate(
        tmp_path, valid_from=datetime.now(UTC) - timedelta(days=9), valid_for=timedelta(days=1)
    )
    with servers.running(expired) as server:
        assert send(config_for(server)).reason == "certificate_invalid"
        assert server.mails == []


def test_a_certificate_for_another_name_gets_no_mail(tmp_path: Path) -> None:
    other = make_certificate(tmp_path, hosts=["mail.example.com"])
    with servers.running(other) as server:
        assert send(config_for(server)).reason == "certificate_invalid"
        assert server.mails == []


def test_without_starttls_neither_password_nor_mail_leaves(
    certificate: ServerCertificate,
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        result = send(config_for(server))
        assert (result.error_code, result.reason) == (
            "starttls_unsupported",
            "starttls_unsupported",
        )
        assert server.mails == []


def test_nobody_listens(dead_port: int) -> None:
    result = send(clear_config(dead_port))
    assert (result.error_code, result.reason) == ("smtp_connection", "connection_refused")


def test_a_host_that_does_not_exist() -> None:
    result = send(clear_config(25, host="mail.invalid"))
    assert (result.error_code, result.reason) == ("smtp_connection", "dns_error")


GREETING = b"220 hello\r\n"
EHLO = b"250-hello\r\n250 SIZE 1000000\r\n"


def mute(peer: Peer) -> None:
    peer.stop.wait(20)


def trickle(peer: Peer) -> None:
    while not peer.stop.wait(0.05):
        peer.say(b"2")


def trickle_lines(peer: Peer) -> None:
    while not peer.stop.wait(0.05):
        peer.say(b"220-still here\r\n")


def garbage(peer: Peer) -> None:
    peer.say(b"\xff\x00 SSH-2.0-OpenSSH\r\n")


def flood(peer: Peer) -> None:
    peer.say(b"220 " + b"x" * 1_000_000)


def long_line(peer: Peer) -> None:
    peer.say(b"220 " + b"a" * 60_000 + b"\r\n")


def hang_up_at_once(peer: Peer) -> None:
    peer.say(b"")


def closing(peer: Peer) -> None:
    peer.say(b"421 4.3.2 try later\r\n")


def injects_before_tls(peer: Peer) -> None:
    peer.say(GREETING)
    peer.read()
    peer.say(b"250-hello\r\n250 STARTTLS\r\n")
    peer.read()
    # RFC 3207: everything after the 220 must come through TLS.
    peer.say(b"220 go\r\n250-injected\r\n250 AUTH PLAIN\r\n")
    peer.read()


@pytest.mark.parametrize(
    ("script", "error_code", "reason"),
    [
        (mute, "smtp_timeout", "smtp_timeout"),
        (trickle, "smtp_timeout", "smtp_timeout"),
        (trickle_lines, "smtp_timeout", "smtp_timeout"),
        (garbage, "smtp_connection", "connection_lost"),
        (flood, "smtp_connection", "connection_lost"),
        (long_line, "smtp_connection", "connection_lost"),
        (hang_up_at_once, "smtp_connection", "connection_lost"),
        (closing, "smtp_transient", "server_busy"),
    ],
)
def test_a_server_that_misbehaves_gets_an_answer_in_time(
    script: Script, error_code: str, reason: str
) -> None:
    with scripted(script) as server:
        started = time.monotonic()
        result = send(clear_config(server.port, timeout=0.4, deadline=20.0))
        assert time.monotonic() - started < 10
    assert (result.error_code, result.reason) == (error_code, reason)
    assert not result.unknown


def test_the_deadline_ends_a_dialogue_that_each_timeout_would_allow() -> None:
    def slow(peer: Peer) -> None:
        peer.say(GREETING)
        peer.read()
        peer.say(EHLO)
        while True:
            peer.read()
            peer.stop.wait(0.3)
            peer.say(b"250 ok\r\n")

    with scripted(slow) as server:
        sender = SmtpSender(clear_config(server.port, timeout=5.0, deadline=0.5))
        started = time.monotonic()
        result = sender.send([f"u{n}@example.com" for n in range(40)], "s", "<p>x</p>")
        assert 0.5 <= time.monotonic() - started < 10
    assert result.error_code == "smtp_timeout"
    assert not result.unknown


def test_replies_injected_before_tls_are_not_believed() -> None:
    with scripted(injects_before_tls) as server:
        config = clear_config(server.port, use_tls=True, user="u@example.com", password="p" * 10)
        result = send(config)
        [peer] = server.peers
    assert (result.error_code, result.reason) == ("smtp_connection", "tls_error")
    assert [line.split()[0] for line in peer.lines] == ["EHLO", "STARTTLS"]


def test_a_server_that_closes_in_the_transaction_took_nothing() -> None:
    def close_at_data(peer: Peer) -> None:
        peer.say(GREETING)
        peer.until(b"250 ok\r\n", "DATA")

    with scripted(close_at_data) as server:
        result = send(clear_config(server.port))
    assert (result.error_code, result.reason) == ("smtp_connection", "connection_lost")
    assert not result.unknown


def test_a_timeout_after_the_content_is_unknown() -> None:
    def silent_after_content(peer: Peer) -> None:
        peer.say(GREETING)
        peer.until(b"250 ok\r\n", "DATA")
        peer.say(b"354 go\r\n")
        peer.content()
        mute(peer)

    for deadline in (0.3, 3.0, 30.0):
        with scripted(silent_after_content) as server:
            result = send(clear_config(server.port, deadline=deadline))
        if server.peers and "." in server.peers[0].lines:
            break  # otherwise the machine was too busy to get that far in time
    assert (result.error_code, result.reason) == ("smtp_timeout", "outcome_unknown")
    assert result.unknown


def test_a_refusal_stands_when_the_server_hangs_up_after_it() -> None:
    def refuse_and_go(peer: Peer) -> None:
        peer.say(GREETING)
        peer.until(b"250 ok\r\n", "RCPT")
        peer.say(b"550 5.1.1 no such user\r\n")

    with scripted(refuse_and_go) as server:
        result = send(clear_config(server.port))
    assert (result.error_code, result.reason) == ("recipient_refused", "bad_recipient")


def take(peer: Peer) -> None:
    peer.say(GREETING)
    peer.read()
    peer.say(EHLO)
    peer.until(b"250 ok\r\n", "DATA")
    peer.say(b"354 go\r\n")
    peer.content()
    peer.say(b"250 2.0.0 queued\r\n")
    peer.read()


def test_retries_where_the_server_surely_took_nothing_with_the_same_message_id() -> None:
    with scripted(closing, hang_up_at_once, take) as server:
        result = send(clear_config(server.port), max_retries=2, backoff_seconds=(0.01,))
        ids = [line for line in server.peers[-1].lines if line.startswith("Message-ID")]
    assert result
    assert result.attempts == 3
    assert ids == [f"Message-ID: {result.message_id}"]


def test_does_not_retry_without_being_told_to() -> None:
    with scripted(closing, take) as server:
        result = send(clear_config(server.port))
        assert len(server.peers) == 1
    assert result.attempts == 1


def test_dots_and_bare_line_ends_cannot_end_the_content() -> None:
    hostile = "first\r\n.\r\nMAIL FROM:<x@example.com>\n.\n\r.\rlast"
    with scripted(take) as server:
        result = SmtpSender(clear_config(server.port)).send(
            "hong@example.com", "s", "", text_body=hostile
        )
        [peer] = server.peers
    assert result
    content = [line for line in peer.lines[peer.lines.index("DATA") + 1 :] if line != "QUIT"]
    # One end, and it is the last line; what looks like one in the text has its dot doubled.
    assert content[-1] == "."
    assert "." not in content[:-1]
    assert ".." in content
    assert sum(line.startswith("MAIL FROM") for line in peer.lines) == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"host": ""}, "no host"),
        ({"port": 0}, "port must be a whole number from 1 to 65535, not 0"),
        ({"port": 70000}, "port must be a whole number from 1 to 65535, not 70000"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"deadline": -1}, "deadline must be more than 0"),
        ({"use_tls": True, "use_ssl": True}, "exclude each other"),
        ({"user": "u@example.com"}, "a user is given without a password"),
        ({"password": "p"}, "a password is given without a user"),
        (
            {"user": "u@example.com", "password": "p", "use_tls": False},
            "cross the network readable",
        ),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(
    values: dict[str, Any], said: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as caught:
        SmtpConfig(**{"host": "mail.example.com"} | values)
    assert "SMTP" in str(caught.value)


def test_the_password_is_in_no_repr() -> None:
    config = SmtpConfig(host="h", user="u@example.com", password="hunter2-canary")
    assert "hunter2" not in repr(config)
    assert "hunter2" not in repr(config.password)
    assert config.sender == "u@example.com"


def test_a_sender_without_an_address_is_said_at_once() -> None:
    with pytest.raises(ImproperlyConfigured, match="no From address"):
        send(SmtpConfig(host="h", user="apikey", password="p"))


@pytest.mark.parametrize(
    ("to", "subject", "error_code"),
    [
        ("a@example.com\r\nBcc: b@example.com", "s", "crlf_in_header"),
        ("a@example.com", "s\nBcc: b@example.com", "crlf_in_header"),
        ("not an address", "s", "recipient_refused"),
    ],
)
def test_hostile_values_are_results_and_reach_no_server(
    to: str, subject: str, error_code: str, dead_port: int
) -> None:
    result = SmtpSender(clear_config(dead_port)).send(to, subject, "<p>x</p>")
    assert not result
    assert result.error_code == error_code


def test_captures_instead_of_connecting(tmp_path: Path, dead_port: int) -> None:
    result = send(clear_config(dead_port, capture_dir=str(tmp_path)))
    assert result
    [file] = tmp_path.iterdir()
    assert file.name == result.message_id.strip("<>") + ".eml"
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert mail["Subject"] == "로그인 코드"


def test_a_captured_file_cannot_leave_its_folder(tmp_path: Path, dead_port: int) -> None:
    folder = tmp_path / "captured"
    sender = SmtpSender(clear_config(dead_port, capture_dir=str(folder)))
    from django_authmail.message import Envelope

    envelope = Envelope(sender="a@example.com", recipients=("b@example.com",))
    sender.deliver(envelope, b"x", "<../../../etc/passwd>")
    assert [path.parent for path in tmp_path.rglob("*.eml")] == [folder]


def test_debug_shows_the_dialogue_without_login_content_and_addresses(
    server: servers.SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="django_authmail.smtp.dialogue"):
        send(config_for(server, debug=True))
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "C: STARTTLS" in text
    assert "C: MAIL FROM:<s***@example.com>" in text
    assert "C: RCPT TO:<h***@example.com>" in text
    assert "queued as 000001" in text
    for secret in ("AUTH PLAIN ", servers.PASSWORD, "hong@", CODE):
        assert secret not in text


def test_logs_nothing_without_debug(
    server: servers.SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="django_authmail"):
        send(config_for(server))
    assert [r for r in caplog.records if r.name.startswith("django_authmail")] == []


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_logs_in_by_each_method(method: str) -> None:
    answers: list[str] = []

    def login(peer: Peer) -> None:
        peer.say(GREETING)
        peer.read()
        peer.say(f"250-hello\r\n250 AUTH {method}\r\n".encode())
        answers.append(peer.read())
        if method != "PLAIN":
            peer.say(b"334 PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n")
            answers.append(peer.read())
        peer.say(b"235 2.7.0 ok\r\n")
        peer.until(b"250 ok\r\n", "DATA")
        peer.say(b"354 go\r\n")
        peer.content()
        peer.say(b"250 2.0.0 queued\r\n")
        peer.read()

    with scripted(login) as server:
        config = clear_config(
            server.port, user="tim", password="tanstaaftanstaaf", allow_cleartext_auth=True
        )
        assert send(config)
    expected = {
        "PLAIN": ["AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm"],
        "LOGIN": ["AUTH LOGIN dGlt", "dGFuc3RhYWZ0YW5zdGFhZg=="],
        # The challenge and the answer of RFC 2195, section 2.
        "CRAM-MD5": ["AUTH CRAM-MD5", "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"],
    }
    assert answers == expected[method]


def test_implicit_tls(certificate: ServerCertificate) -> None:
    context = certificate.server_context()

    def over_tls(peer: Peer) -> None:
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        take(peer)

    with scripted(over_tls) as server:
        config = clear_config(
            server.port, host="localhost", use_ssl=True, ca_file=str(certificate.ca_file)
        )
        assert send(config)


def test_refuses_an_old_version_of_tls(certificate: ServerCertificate) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)

    def over_old_tls(peer: Peer) -> None:
        context.wrap_socket(peer.sock, server_side=True)

    with scripted(over_old_tls) as server:
        config = clear_config(
            server.port, host="localhost", use_ssl=True, ca_file=str(certificate.ca_file)
        )
        assert send(config).reason == "tls_error"


def test_the_core_needs_no_settings_no_apps_and_no_database() -> None:
    script = """
import sys
from django_authmail import SmtpConfig, SmtpSender
result = SmtpSender(SmtpConfig(host="127.0.0.1", port=1, from_addr="a@example.com", use_tls=False)
    ).send("b@example.com", "s", "<p>x</p>")
from django.conf import settings
assert not settings.configured
unwanted = ("django.db", "rest_framework", "celery")
assert not [name for name in sys.modules if name.startswith(unwanted)]
print(result.error_code, result.reason)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["smtp_connection", "connection_refused"]


def test_a_server_that_is_out_of_step_took_nothing() -> None:
    def answers_ok_to_everything(peer: Peer) -> None:
        peer.say(GREETING)
        while True:
            peer.read()
            peer.say(b"250 ok\r\n")

    with scripted(answers_ok_to_everything) as server:
        result = send(clear_config(server.port))
    assert not result
    assert not result.unknown
