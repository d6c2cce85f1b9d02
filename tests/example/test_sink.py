"""The demo's mail server: it wants what a real one wants, and keeps what it is given."""

from __future__ import annotations

import json
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from example_project.sink import MAILS_FOLDER, READY_FILE, SinkAddress

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class RunningSink:
    address: SinkAddress
    mails: Path

    def connect(self) -> smtplib.SMTP:
        return smtplib.SMTP(self.address.host, self.address.port, timeout=10)

    def start_tls(self, client: smtplib.SMTP) -> None:
        client.starttls(context=ssl.create_default_context(cafile=self.address.ca_file))


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSink]:
    """A sink as a process, with every warning an error."""
    folder = tmp_path_factory.mktemp("sink")
    command = [sys.executable, "-W", "error", "-m", "example_project.sink", "--dir", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not (folder / READY_FILE).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        address = SinkAddress(**json.loads((folder / READY_FILE).read_bytes()))
        sink = RunningSink(address, folder / MAILS_FOLDER)
        with sink.connect():  # left open: it must not keep the sink from ending
            yield sink
            process.terminate()
            _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    assert address.password not in errors


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_a_mail_is_kept_as_it_came(sink: RunningSink, mechanism: str) -> None:
    content = "Subject: 한글\r\n\r\n.leading dot\r\nline\r\n".encode()
    before = set(sink.mails.iterdir())
    with sink.connect() as client:
        sink.start_tls(client)
        client.ehlo()
        client.user, client.password = sink.address.user, sink.address.password
        method = client.auth_login if mechanism == "LOGIN" else client.auth_plain
        assert client.auth(mechanism, method)[0] == 235
        client.sendmail("from@example.com", ["a@example.com", "b@example.com"], content)

    (kept,) = set(sink.mails.iterdir()) - before
    head, _, rest = kept.read_bytes().partition(b"Subject:")
    assert b"Subject:" + rest == content
    assert kept.stat().st_mode & 0o777 == 0o600
    trace = head.decode()
    assert trace.startswith("Return-Path: <from@example.com>\r\n")
    assert "Delivered-To: a@example.com\r\nDelivered-To: b@example.com\r\n" in trace
    assert "with ESMTPSA (TLSv1." in trace


def test_nothing_is_taken_without_tls(sink: RunningSink) -> None:
    with sink.connect() as client:
        client.ehlo()
        assert client.has_extn("starttls")
        assert not client.has_extn("auth")
        assert client.docmd("MAIL", "FROM:<a@example.com>")[0] == 530


def test_nothing_is_taken_without_the_right_password(sink: RunningSink) -> None:
    with sink.connect() as client:
        sink.start_tls(client)
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<a@example.com>")[0] == 530
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(sink.address.user, "wrong")


def test_its_certificate_is_for_this_machine_only(sink: RunningSink) -> None:
    with sink.connect() as client, pytest.raises(ssl.SSLCertVerificationError):
        client.starttls(context=ssl.create_default_context())
