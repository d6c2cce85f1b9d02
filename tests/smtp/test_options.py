"""What each option of a configuration does, seen from the server."""

from __future__ import annotations

import base64
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_authmail.message import Attachment, Envelope
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from django_authmail.smtp import SmtpConfig, SmtpSender
from django_authmail.smtp.errors import SmtpFailure
from example_project.certificates import ServerCertificate, make_certificate
from tests import smtp_server as servers
from tests.smtp.scripted import Peer, scripted
from tests.smtp.test_sender import GREETING, clear_config, config_for, take


class Tokens:
    """A provider of tokens that counts what it is asked for."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)
        self.refreshed = 0

    def token(self) -> str:
        return self._tokens[0]

    def refresh(self, rejected: str) -> str:
        assert rejected == self._tokens.pop(0)
        self.refreshed += 1
        return self._tokens[0]


def wants_token(good: str) -> Any:
    """Return a server that takes one token, and gives its reasons as Google does."""

    def script(peer: Peer) -> None:
        peer.say(GREETING)
        peer.read()
        peer.say(b"250-hello\r\n250 AUTH XOAUTH2\r\n")
        while True:
            said = base64.b64decode(peer.read().removeprefix("AUTH XOAUTH2 ")).decode()
            if said == f"user=a@example.org\x01auth=Bearer {good}\x01\x01":
                break
            peer.say(b"334 eyJzdGF0dXMiOiI0MDAifQ==\r\n")
            assert peer.read() == ""
            peer.say(b"535 5.7.8 Username and Password not accepted\r\n")
        peer.say(b"235 2.7.0 Accepted\r\n")
        peer.until(b"250 ok\r\n", "DATA")
        peer.say(b"354 go\r\n")
        peer.content()
        peer.say(b"250 2.0.0 queued\r\n")
        peer.read()

    return script


def by_token(port: int, tokens: Tokens, **changes: Any) -> SendResult:
    config = clear_config(
        port, user="a@example.org", token_provider=tokens, allow_cleartext_auth=True, **changes
    )
    return SmtpSender(config).send("b@example.com", "s", "<p>x</p>")


def test_logs_in_by_token() -> None:
    tokens = Tokens("good")
    with scripted(wants_token("good")) as server:
        assert by_token(server.port, tokens)
    assert tokens.refreshed == 0


def test_a_refused_token_is_refreshed_once() -> None:
    tokens = Tokens("stale", "good")
    with scripted(wants_token("good")) as server:
        assert by_token(server.port, tokens)
    assert tokens.refreshed == 1


def test_a_second_refusal_ends_it_before_the_account_is_locked() -> None:
    tokens = Tokens("stale", "bad", "good")
    with scripted(wants_token("good")) as server:
        result = by_token(server.port, tokens)
    assert (result.error_code, result.reason) == ("smtp_auth_failed", "auth_failed")
    assert tokens.refreshed == 1
    assert "stale" not in repr(result)


@pytest.mark.parametrize("hangs", ["token", "refresh"])
def test_a_provider_that_hangs_does_so_within_the_deadline(hangs: str) -> None:
    go_on = threading.Event()

    class Hangs(Tokens):
        asked = 0

        def token(self) -> str:
            self.asked += 1
            # The first one is got before the server is asked; the login asks again.
            if hangs == "token" and self.asked > 1:
                go_on.wait(20)
            return super().token()

        def refresh(self, rejected: str) -> str:
            go_on.wait(20)
            return super().refresh(rejected)

    started = time.monotonic()
    with scripted(wants_token("good")) as server:
        result = by_token(server.port, Hangs("stale", "good"), deadline=0.5)
        assert time.monotonic() - started < 10
        go_on.set()
    assert result.error_code == "smtp_timeout"


def test_a_provider_without_a_token_is_asked_before_the_server() -> None:
    class Empty(Tokens):
        def token(self) -> str:
            raise SmtpFailure(
                Failure(
                    error_code=ErrorCode.SMTP_AUTH_FAILED,
                    reason=Reason.AUTH_FAILED,
                    retry=Retry.CARRIER,
                )
            )

    with scripted(wants_token("good")) as server:
        assert by_token(server.port, Empty("x")).reason == "auth_failed"
        assert server.peers == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"token_provider": Tokens("x")}, "needs the user"),
        ({"token_provider": Tokens("x"), "user": "a@b.co", "password": "p"}, "both given"),
        ({"min_tls": "TLSv1"}, "min_tls is"),
        ({"pool_size": 0}, "pool_size must be 1 or more"),
        ({"max_mails": 0}, "max_mails must be 1 or more"),
        ({"headers": (("X:Y", "z"),)}, "cannot be the name of a header"),
        ({"headers": (("X-Tag", "한글"),)}, "must be ASCII"),
        ({"headers": (("X-Tag", "x" * 992),)}, "one line of 998"),
        ({"headers": (("bcc", "a@example.com"),)}, "show a hidden recipient"),
        ({"host": "smtp..example.com"}, "is no host name"),
        ({"host": "smtp://localhost"}, "the host must be the name or address of a server alone"),
        ({"host": "localhost:587"}, "the host must not hold a port"),
        ({"port": "abc"}, "the port must be a whole number from 1 to 65535, not 'abc'"),
        ({"local_hostname": "서버.local"}, "must be ASCII"),
        (
            {"opportunistic": True, "user": "a@b.co", "password": "p"},
            "cross the network readable",
        ),
    ],
)
def test_contradictions_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said):
        SmtpConfig(**{"host": "mail.example.com"} | values)


def test_clear_text_only_where_it_is_asked_for_by_name(certificate: ServerCertificate) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        config = config_for(server, user="", password="", from_addr="a@example.org")
        assert not SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
        config = config_for(
            server, user="", password="", from_addr="a@example.org", opportunistic=True
        )
        assert SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
        assert not server.mails[0].secure
    with servers.running(certificate, auth=False) as server:
        config = config_for(
            server, user="", password="", from_addr="a@example.org", opportunistic=True
        )
        assert SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
        # Offered is taken: opportunism is no preference for clear text.
        assert server.mails[0].secure


def test_envelope_sender_name_source_and_headers() -> None:
    with scripted(take) as server:
        config = clear_config(
            server.port,
            envelope_sender="bounce@example.org",
            local_hostname="app.example.org",
            source_address="127.0.0.1",
            headers=(("X-PM-TrackLinks", "None"),),
        )
        assert SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
        [peer] = server.peers
    assert peer.lines[0] == "EHLO app.example.org"
    assert peer.lines[1].startswith("MAIL FROM:<bounce@example.org>")
    assert "X-PM-TrackLinks: None" in peer.lines
    assert "From: no-reply@example.org" in peer.lines


def test_attachments_and_text_only(certificate: ServerCertificate) -> None:
    with servers.running(certificate) as server:
        sender = SmtpSender(config_for(server))
        file = Attachment("영수증.pdf", b"%PDF-1.7", "application/pdf")
        assert sender.send("b@example.com", "s", "<p>x</p>", attachments=[file])
        assert sender.send("b@example.com", "s", "", text_body="only text")
        rich, plain = server.mails
    [part] = rich.mail.iter_attachments()
    assert part.get_filename() == "영수증.pdf"
    assert part.get_content() == b"%PDF-1.7"
    assert plain.mail.get_content_type() == "text/plain"
    assert plain.text.strip() == "only text"


@pytest.mark.parametrize("ciphers", ["NO-SUCH-CIPHER", ""])
@pytest.mark.parametrize("field", ["ca_file", "certfile"])
def test_tls_files_that_cannot_be_used_are_the_carrier_s_fault(
    certificate: ServerCertificate, field: str, ciphers: str
) -> None:
    with servers.running(certificate) as server:
        config = config_for(server, **{field: "/nowhere/x.pem"}, ciphers=ciphers)
        result = SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
    assert (result.error_code, result.reason) == ("smtp_connection", "tls_error")
    assert result.failure is not None
    assert result.failure.retry is Retry.CARRIER


def test_the_deadline_holds_over_all_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    listeners = [socket.create_server(("127.0.0.1", 0), backlog=0) for _ in range(20)]
    full: list[socket.socket] = []
    try:
        for listener in listeners:
            # A full backlog: the kernel answers no further connection, as a silent host does.
            for _ in range(3):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                full.append(filler)
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())
            for listener in listeners
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        started = time.monotonic()
        result = SmtpSender(clear_config(25, timeout=0.5, deadline=20.0)).send(
            "b@example.com", "s", "<p>x</p>"
        )
        assert time.monotonic() - started < 8  # not ten, a half for each
        assert not result
    finally:
        for sock in (*full, *listeners):
            sock.close()


def test_an_address_of_a_family_that_this_host_lacks_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As an IPv6 address is on a host whose kernel was told to have none."""
    with scripted(take) as server:
        found = [
            (1000, socket.SOCK_STREAM, 6, "", ("::1", server.port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        assert SmtpSender(clear_config(server.port)).send("b@example.com", "s", "<p>x</p>")


def test_what_a_server_says_twice_of_logins_is_added_up() -> None:
    """Old Exchange says `AUTH=LOGIN` once more, for clients older than RFC 2554."""

    def script(peer: Peer) -> None:
        peer.say(GREETING)
        peer.read()
        peer.say(b"250-hello\r\n250-AUTH LOGIN PLAIN\r\n250 AUTH=LOGIN\r\n")
        assert peer.read().startswith("AUTH PLAIN ")
        peer.say(b"235 2.7.0 welcome\r\n")
        peer.until(b"250 ok\r\n", "DATA")
        peer.say(b"354 go\r\n")
        peer.content()
        peer.say(b"250 2.0.0 queued\r\n")
        peer.read()

    with scripted(script) as server:
        config = clear_config(
            server.port, user="a@example.org", password="p", allow_cleartext_auth=True
        )
        assert SmtpSender(config).send("b@example.com", "s", "<p>x</p>")


def test_a_server_that_knows_no_ehlo_gets_helo_where_nothing_is_lost_by_it() -> None:
    def script(peer: Peer) -> None:
        peer.say(GREETING)
        assert peer.read().startswith("EHLO ")
        peer.say(b"502 command not implemented\r\n")
        assert peer.read().startswith("HELO ")
        peer.say(b"250 hello\r\n")
        peer.until(b"250 ok\r\n", "DATA")
        peer.say(b"354 go\r\n")
        peer.content()
        peer.say(b"250 queued\r\n")
        peer.read()

    with scripted(script) as server:
        config = clear_config(server.port, local_hostname="app.example.org")
        assert SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
    with scripted(script) as server:
        config = clear_config(server.port, use_tls=True)
        assert not SmtpSender(config).send("b@example.com", "s", "<p>x</p>")
        assert len(server.peers[0].lines) == 1


def deliver(config: SmtpConfig, content: bytes, *to: str) -> SendResult:
    envelope = Envelope(sender="a@example.org", recipients=to or ("b@example.com",))
    return SmtpSender(config).deliver(envelope, content, "<1@example.org>")


def test_ten_thousand_recipients() -> None:
    def script(peer: Peer) -> None:
        peer.say(GREETING)
        peer.read()
        peer.say(b"250-hello\r\n250 PIPELINING\r\n")
        peer.until(b"250 ok\r\n", "DATA")
        peer.say(b"354 go\r\n")
        peer.content()
        peer.say(b"250 2.0.0 queued\r\n")
        peer.read()

    with scripted(script) as server:
        to = [f"u{number}@example.com" for number in range(10_000)]
        result = deliver(clear_config(server.port), b"Subject: s\r\n\r\nx\r\n", *to)
        assert len(result.accepted) == 10_000


def test_a_renewed_file_counts_without_a_restart(
    certificate: ServerCertificate, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(other.ca_file.read_bytes())
    with servers.running(certificate) as server:
        config = config_for(server, ca_file=str(trusted))
        assert SmtpSender(config).send("b@example.com", "s", "x").reason == "certificate_invalid"
        trusted.write_bytes(certificate.ca_file.read_bytes())
        assert SmtpSender(config).send("b@example.com", "s", "x")


def test_fifty_megabytes() -> None:
    content = b"Subject: s\r\n\r\n" + (b"x" * 70 + b"\r\n") * 730_000

    def script(peer: Peer) -> None:
        peer.say(GREETING)
        peer.read()
        peer.say(b"250-hello\r\n250-PIPELINING\r\n250 CHUNKING\r\n")
        while not (line := peer.read()).startswith("BDAT"):
            peer.say(b"250 ok\r\n")
        peer.octets(int(line.split()[1]))
        peer.say(b"250 2.0.0 queued\r\n")
        peer.read()

    with scripted(script) as server:
        assert deliver(clear_config(server.port), content)
        assert len(server.peers[0].contents[0]) == len(content)


@pytest.mark.parametrize("text", ["a\0b", "lone \ud800 surrogate", "\u2028\u2029\x85", "\x1b[2J"])
def test_odd_text_in_a_body_is_sent_and_in_a_header_is_not(text: str) -> None:
    with scripted(take) as server:
        sender = SmtpSender(clear_config(server.port))
        assert sender.send("b@example.com", "s", "", text_body=text)
        result = sender.send("b@example.com", text, "<p>x</p>")
        assert result.error_code == "crlf_in_header"
        assert len(server.peers) == 1
