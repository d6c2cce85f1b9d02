"""One attempt ends in time and in little memory, whatever the receiver does, and says how."""

from __future__ import annotations

import errno
import socket
import ssl
import struct
import time
import tracemalloc
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from django_authmail import __version__
from django_authmail.exceptions import MissingExtra
from django_authmail.webhooks import posting, verify
from django_authmail.webhooks.posting import Posted, post
from django_authmail.webhooks.signing import headers, new_secret
from example_project.certificates import ServerCertificate, make_certificate
from tests.smtp_server import free_port
from tests.webhooks.internet import OTHER_PUBLIC, PUBLIC, PUBLIC_V6, small_internet
from tests.webhooks.scripted import OK, Receiver, listening

BODY = '{"type":"email.accepted","data":{"이름":"값"}}'.encode()
#: What a machine under load may take beyond the limit.
SLACK = 2.0


@pytest.fixture(autouse=True)
def _loopback(settings: Settings) -> None:
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver


def send(receiver: Receiver, *, seconds: float = 5, body: bytes = BODY) -> Posted:
    posted = post(receiver.url, body, {}, seconds=seconds)
    assert posted.duration_seconds < seconds + SLACK
    return posted


# -- What is sent --------------------------------------------------------------------------------


def test_a_receiver_gets_the_octets_that_were_signed(receiver: Receiver) -> None:
    secret = new_secret()
    signed = headers(
        id="msg_1", timestamp=int(time.time()), body=BODY, secrets=[secret], s0=False, v1=False
    )
    posted = post(f"{receiver.url}?a=%20b&c", BODY, {**signed, "X-Request-ID": "req-1"}, seconds=5)
    assert posted.is_success
    assert (posted.status, posted.reason, posted.retry_after) == (200, "ok", None)
    (request,) = receiver.requests
    head, _, body = request.partition(b"\r\n\r\n")
    line, *fields = head.decode("ascii").split("\r\n")
    assert line == "POST /hook?a=%20b&c HTTP/1.1"
    got = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    assert len(got) == len(fields)
    assert verify(body, got, secret)["data"] == {"이름": "값"}
    assert got["host"] == f"127.0.0.1:{receiver.port}"
    assert got["content-type"] == "application/json"
    assert got["content-length"] == str(len(BODY))
    assert got["user-agent"] == f"django-authmail/{__version__}"
    assert got["x-request-id"] == "req-1"
    assert got["connection"] == "close"


def test_each_attempt_has_a_connection_of_its_own(receiver: Receiver) -> None:
    assert send(receiver).is_success
    assert send(receiver).is_success
    assert receiver.connections == 2


def test_a_system_without_ipv6_goes_on_to_the_next_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    internet = small_internet(monkeypatch)
    internet.answers = {"hooks.example.com": [[PUBLIC_V6, PUBLIC]]}
    internet.routes = {PUBLIC: receiver.port}
    settings.AUTHMAIL_WEBHOOK_ALLOW_HTTP = True
    begin = socket.socket.__init__

    def without_ipv6(self: socket.socket, family: int = -1, *args: Any, **kwargs: Any) -> None:
        if family == socket.AF_INET6:
            # What a kernel does that was started with ipv6.disable=1.
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        begin(self, family, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "__init__", without_ipv6)
    assert post("http://hooks.example.com/", BODY, {}, seconds=5).is_success
    internet.answers = {"hooks.example.com": [[PUBLIC_V6]]}
    posted = post("http://hooks.example.com/", BODY, {}, seconds=5)
    assert (posted.status, posted.reason) == (None, "connection_refused")


def test_a_receiver_at_an_address_of_ipv6() -> None:
    with listening(host="::1") as receiver:
        posted = post(f"http://[::1]:{receiver.port}/", BODY, {}, seconds=5)
    assert posted.is_success
    assert f"host: [::1]:{receiver.port}".encode() in receiver.requests[0].lower()


# -- What is answered ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, "ok"),
        (202, "ok"),
        (204, "ok"),
        (299, "ok"),
        (300, "redirect"),
        (304, "redirect"),
        (400, "http_status"),
        (401, "http_status"),
        (404, "http_status"),
        (410, "http_status"),
        (429, "http_status"),
        (500, "http_status"),
        (503, "http_status"),
        (599, "http_status"),
    ],
)
def test_the_status_is_the_answer(receiver: Receiver, status: int, reason: str) -> None:
    receiver.answers(f"HTTP/1.1 {status} What ever\r\n\r\n".encode())
    posted = send(receiver)
    assert (posted.status, posted.reason) == (status, reason)
    assert posted.is_success == (reason == "ok")


def test_a_receiver_that_fails_and_then_does_not(receiver: Receiver) -> None:
    receiver.answers(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
    assert [send(receiver).status for _ in range(3)] == [500, 500, 500]
    receiver.answers(OK)
    assert send(receiver).is_success


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("0", 0, 0),
        ("120", 120, 120),
        ("999999999", 999_999_999, 999_999_999),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0),
        ("Fri, 31 Dec 9999 23:59:59 -0000", 1e9, 1e12),
    ],
)
def test_retry_after(receiver: Receiver, value: str, least: float, most: float) -> None:
    receiver.answers(f"HTTP/1.1 503 X\r\nRetry-After: {value}\r\n\r\n".encode())
    retry_after = send(receiver).retry_after
    assert retry_after is not None
    assert least <= retry_after <= most


def test_retry_after_a_date_to_come(receiver: Receiver) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    receiver.answers(f"HTTP/1.1 503 X\r\nRetry-After: {at}\r\n\r\n".encode())
    retry_after = send(receiver).retry_after
    assert retry_after is not None
    assert 3500 <= retry_after <= 3600


@pytest.mark.parametrize(
    "value", ["", "-5", "1.5", "soon", "1e9", "inf", "9" * 30, "Fri, 99 Foo 1999 99:99:99 GMT", "é"]
)
def test_retry_after_that_is_nonsense(receiver: Receiver, value: str) -> None:
    receiver.answers(f"HTTP/1.1 503 X\r\nRetry-After: {value}\r\n\r\n".encode("latin-1"))
    posted = send(receiver)
    assert (posted.status, posted.retry_after) == (503, None)


# -- Receivers that do not answer ----------------------------------------------------------------


def test_nobody_listens() -> None:
    posted = post(f"http://127.0.0.1:{free_port()}/", BODY, {}, seconds=5)
    assert (posted.status, posted.reason) == (None, "connection_refused")


def test_it_takes_no_connection(receiver: Receiver) -> None:
    # A full backlog drops what comes: no answer at all, as behind a firewall.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        posted = post(f"http://127.0.0.1:{full.getsockname()[1]}/", BODY, {}, seconds=0.3)
        for sock in waiting:
            sock.close()
    assert posted.reason == "timeout"
    assert posted.duration_seconds < 0.3 + SLACK


def test_it_hangs_before_the_answer(receiver: Receiver) -> None:
    receiver.script = lambda sock: receiver.over.wait()
    assert send(receiver, seconds=0.3).reason == "timeout"


def test_it_hangs_in_the_middle_of_the_headers(receiver: Receiver) -> None:
    def script(sock: socket.socket) -> None:
        receiver.read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        receiver.over.wait()

    receiver.script = script
    posted = send(receiver, seconds=0.3)
    assert (posted.status, posted.reason) == (None, "timeout")


@pytest.mark.parametrize(
    "trickled",
    [b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000, b"HTTP/1.1 100 Continue\r\n\r\n" * 9999],
)
def test_it_answers_an_octet_at_a_time(receiver: Receiver, trickled: bytes) -> None:
    """Each of them meets the limit of a single read."""

    def script(sock: socket.socket) -> None:
        receiver.read_request(sock)
        for octet in trickled:
            sock.sendall(bytes([octet]))
            if receiver.over.wait(0.02):
                return

    receiver.script = script
    posted = send(receiver, seconds=0.5)
    assert (posted.status, posted.reason) == (None, "timeout")


def test_it_does_not_read(receiver: Receiver) -> None:
    receiver.script = lambda sock: receiver.over.wait()
    assert send(receiver, seconds=0.5, body=b"x" * 50_000_000).reason == "timeout"


def test_it_reads_an_octet_at_a_time(receiver: Receiver) -> None:
    def script(sock: socket.socket) -> None:
        while not receiver.over.wait(0.02) and sock.recv(1):
            pass

    receiver.script = script
    assert send(receiver, seconds=0.5, body=b"x" * 50_000_000).reason == "timeout"


def test_it_closes_without_an_answer(receiver: Receiver) -> None:
    receiver.script = receiver.read_request
    assert send(receiver).reason == "connection_lost"


def test_it_closes_in_the_middle_of_the_headers(receiver: Receiver) -> None:
    receiver.answers(b"HTTP/1.1 200 OK\r\nContent-Le")
    assert send(receiver).reason == "connection_lost"


def test_it_resets_the_connection(receiver: Receiver) -> None:
    def script(sock: socket.socket) -> None:
        receiver.read_request(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    receiver.script = script
    assert send(receiver).reason == "connection_lost"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n no field\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"\x16\x03\x01" * 100,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000,
    ],
)
def test_it_answers_nonsense(receiver: Receiver, answer: bytes) -> None:
    receiver.answers(answer)
    posted = send(receiver)
    assert (posted.status, posted.reason) == (None, "protocol_error")


# -- Receivers whose answer has no end -----------------------------------------------------------


def test_it_hangs_in_the_middle_of_the_body(receiver: Receiver) -> None:
    """It has said that it took the webhook."""

    def script(sock: socket.socket) -> None:
        receiver.read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        receiver.over.wait()

    receiver.script = script
    posted = send(receiver, seconds=15)
    assert posted.is_success
    assert posted.duration_seconds < 1 + SLACK


@pytest.mark.parametrize(
    "ending", [b"Content-Length: 100\r\n\r\nhalf", b"Transfer-Encoding: chunked\r\n\r\nzz"]
)
def test_it_breaks_off_in_the_middle_of_the_body(receiver: Receiver, ending: bytes) -> None:
    receiver.answers(b"HTTP/1.1 200 OK\r\n" + ending)
    assert send(receiver).is_success


@pytest.mark.parametrize("length", [b"Content-Length: 1073741824\r\n", b""])
def test_it_answers_a_gigabyte(receiver: Receiver, length: bytes) -> None:
    sent = 0

    def script(sock: socket.socket) -> None:
        nonlocal sent
        receiver.read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        piece = b"x" * 65536
        while sent < 1_073_741_824:
            sent += sock.send(piece)

    receiver.script = script
    send(receiver)  # what is loaded once is no matter
    tracemalloc.start()
    try:
        for _ in range(5):
            posted = send(receiver)
            assert posted.is_success
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    # Closed early: what the sockets of both sides hold was written, and no more.
    assert sent < 100_000_000


def test_it_answers_an_octet_of_the_body_at_a_time(receiver: Receiver) -> None:
    def script(sock: socket.socket) -> None:
        receiver.read_request(sock)
        sock.sendall(b"HTTP/1.1 500 Oops\r\n\r\n")
        while not receiver.over.wait(0.02):
            sock.sendall(b"x")

    receiver.script = script
    posted = send(receiver, seconds=15)
    assert (posted.status, posted.reason) == (500, "http_status")
    assert posted.duration_seconds < 1 + SLACK


def test_it_answers_before_it_has_read(receiver: Receiver) -> None:
    def script(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass

    receiver.script = script
    assert send(receiver, body=b"x" * 5_000_000).status == 413


# -- TLS -----------------------------------------------------------------------------------------


class TestTLS:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> ServerCertificate:
        return make_certificate(tmp_path, hosts=("hooks.example.com", "127.0.0.1"))

    @pytest.fixture
    def _trusted(self, settings: Settings, certificate: ServerCertificate) -> None:
        settings.AUTHMAIL_WEBHOOK_CA_FILE = certificate.ca_file

    @pytest.mark.usefixtures("_trusted")
    def test_the_name_is_asked_for_and_verified_at_a_checked_address(
        self, monkeypatch: pytest.MonkeyPatch, certificate: ServerCertificate
    ) -> None:
        internet = small_internet(monkeypatch)
        internet.answers["hooks.example.com"] = [[OTHER_PUBLIC, PUBLIC]]
        with listening(tls=certificate.server_context()) as receiver:
            internet.routes[PUBLIC] = receiver.port
            posted = post("https://hooks.example.com/hook", BODY, {}, seconds=5)
        assert posted.is_success
        assert internet.connects == [OTHER_PUBLIC, PUBLIC]
        assert receiver.names == ["hooks.example.com"]
        assert b"\r\nhost: hooks.example.com\r\n" in receiver.requests[0].lower()

    @pytest.mark.usefixtures("_trusted")
    def test_an_address_is_verified_as_one(self, certificate: ServerCertificate) -> None:
        with listening(tls=certificate.server_context()) as receiver:
            posted = post(f"https://127.0.0.1:{receiver.port}/", BODY, {}, seconds=5)
        assert posted.is_success
        assert receiver.names == [None]

    @pytest.mark.usefixtures("_trusted")
    def test_many_at_once_share_what_verifies(self, certificate: ServerCertificate) -> None:
        with (
            listening(tls=certificate.server_context()) as receiver,
            ThreadPoolExecutor(16) as threads,
        ):
            url = f"https://127.0.0.1:{receiver.port}/"
            posted = list(threads.map(lambda _: post(url, BODY, {}, seconds=30), range(64)))
        assert {one.reason for one in posted} == {"ok"}
        assert receiver.connections == 64

    @pytest.mark.usefixtures("_trusted")
    def test_a_certificate_of_another_name(
        self, monkeypatch: pytest.MonkeyPatch, certificate: ServerCertificate
    ) -> None:
        internet = small_internet(monkeypatch)
        internet.answers["other.example.com"] = [[PUBLIC]]
        with listening(tls=certificate.server_context()) as receiver:
            internet.routes[PUBLIC] = receiver.port
            posted = post("https://other.example.com/hook", BODY, {}, seconds=5)
        assert (posted.status, posted.reason) == (None, "tls_error")
        assert receiver.requests == []

    def test_a_certificate_of_nobody(self, certificate: ServerCertificate) -> None:
        with listening(tls=certificate.server_context()) as receiver:
            posted = post(f"https://127.0.0.1:{receiver.port}/", BODY, {}, seconds=5)
        assert posted.reason == "tls_error"
        assert receiver.requests == []

    def test_a_certificate_that_has_ended(self, settings: Settings, tmp_path: Path) -> None:
        expired = make_certificate(
            tmp_path, valid_from=datetime.now(UTC) - timedelta(days=9), valid_for=timedelta(days=1)
        )
        settings.AUTHMAIL_WEBHOOK_CA_FILE = expired.ca_file
        with listening(tls=expired.server_context()) as receiver:
            posted = post(f"https://127.0.0.1:{receiver.port}/", BODY, {}, seconds=5)
        assert posted.reason == "tls_error"

    @pytest.mark.usefixtures("_trusted")
    def test_an_old_version_of_tls(self, certificate: ServerCertificate) -> None:
        context = certificate.server_context()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with listening(tls=context) as receiver:
            posted = post(f"https://127.0.0.1:{receiver.port}/", BODY, {}, seconds=5)
        assert posted.reason == "tls_error"

    def test_no_tls_at_all(self, receiver: Receiver) -> None:
        receiver.script = lambda sock: sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        posted = post(f"https://127.0.0.1:{receiver.port}/", BODY, {}, seconds=5)
        assert posted.reason == "tls_error"

    @pytest.mark.parametrize("ends", [True, False])
    def test_a_handshake_that_hangs_or_breaks_off(self, receiver: Receiver, ends: bool) -> None:
        def script(sock: socket.socket) -> None:
            sock.recv(65536)
            # The header of a record that never comes, an octet at a time.
            for octet in b"\x16\x03\x03\x40\x00" + b"\x02" * 16_384:
                sock.sendall(bytes([octet]))
                if ends or receiver.over.wait(0.02):
                    return

        receiver.script = script
        posted = post(f"https://127.0.0.1:{receiver.port}/", BODY, {}, seconds=0.5)
        assert posted.reason in (("tls_error", "connection_lost") if ends else ("timeout",))
        assert posted.duration_seconds < 0.5 + SLACK

    def test_an_authority_of_the_project_s_is_one_more(
        self, settings: Settings, certificate: ServerCertificate
    ) -> None:
        """The rest of the world has certificates of the system's authorities."""
        settings.AUTHMAIL_WEBHOOK_CA_FILE = ""
        before = len(posting._tls_context().get_ca_certs())
        settings.AUTHMAIL_WEBHOOK_CA_FILE = certificate.ca_file
        assert len(posting._tls_context().get_ca_certs()) == before + 1

    def test_a_file_that_is_no_authority(self, settings: Settings, tmp_path: Path) -> None:
        settings.AUTHMAIL_WEBHOOK_CA_FILE = tmp_path / "missing.pem"
        with pytest.raises(ImproperlyConfigured, match="AUTHMAIL_WEBHOOK_CA_FILE cannot be loaded"):
            post("https://127.0.0.1:1/", BODY, {})


def test_without_its_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, *args: Any, **kwargs: Any) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr("django_authmail.extras.import_module", missing)
    with pytest.raises(MissingExtra, match=r"django-authmail\[webhooks\]"):
        post("https://hooks.example.com/", BODY, {})


def test_nothing_of_an_answer_is_kept(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    receiver.answers(b"HTTP/1.1 500 s3cret-line\r\nX-A: s3cret-field\r\n\r\ns3cret-body")
    with caplog.at_level("INFO"):
        posted = send(receiver)
    assert "s3cret" not in repr(posted) + caplog.text
