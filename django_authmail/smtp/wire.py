"""Octets to and from a server, bounded in time: no caller waits longer than its deadline.

Every step is bounded twice: by the timeout of one command, and by the deadline of the whole
hand-over, so that a server that trickles one octet a second cannot hold a caller.
"""

from __future__ import annotations

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import TypeVar, cast

from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.replies import parse_reply

T = TypeVar("T")

#: RFC 5321 4.5.3.1.5 allows reply lines of 512 octets; servers with long texts are common.
MAX_REPLY_LINE = 4096
MAX_REPLY_LINES = 100


class Deadline:
    """A point in monotonic time that a whole hand-over must not pass."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left; 0 or less when none are."""
        return self._end - time.monotonic()

    def within(self, seconds: float) -> float:
        """Return `seconds`, or what is left if that is less.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self.left()
        if left <= 0:
            raise TimeoutError("the hand-over took longer than its deadline")
        return min(seconds, left)


class Wire:
    """A socket that reads SMTP replies."""

    def __init__(self, config: SmtpConfig, deadline: Deadline) -> None:
        self._config = config
        self.deadline = deadline
        self._buffer = b""
        self.is_open = True
        self.tls_version = ""
        self._sock = _connect(config, deadline)
        # Without it the EHLO after the handshake waits for an ACK: a whole round trip (Nagle).
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(self) -> None:
        """Begin TLS, verified.

        Raises:
            SmtpFailure: octets arrived before the handshake. Somebody on the path appended replies,
                to be read as the server's own after it (CVE-2021-38371 and its kind).
        """
        if self._buffer:
            raise SmtpFailure(
                Failure(
                    error_code=ErrorCode.SMTP_CONNECTION,
                    reason=Reason.TLS_ERROR,
                    retry=Retry.CARRIER,
                    detail="data arrived between STARTTLS and the TLS handshake",
                )
            )
        config = self._config
        try:
            files = (config.ca_file, config.certfile, config.keyfile)
            # A renewed file is another one.
            modified = tuple(os.stat(path).st_mtime_ns if path else 0 for path in files)
            context = ssl_context(*files, config.min_tls, config.ciphers, modified)
        except (OSError, ValueError) as error:
            raise SmtpFailure(
                Failure(
                    error_code=ErrorCode.SMTP_CONNECTION,
                    reason=Reason.TLS_ERROR,
                    retry=Retry.CARRIER,
                    detail=f"ca_file, certfile, keyfile or ciphers cannot be used: {error}",
                )
            ) from None
        self._sock.settimeout(self.deadline.within(config.timeout))
        self._sock = context.wrap_socket(self._sock, server_hostname=config.host)
        self.tls_version = self._sock.version() or ""

    def write(self, octets: bytes) -> None:
        """Write all of `octets`."""
        # Not sendall: under TLS its timeout starts again with every record.
        view = memoryview(octets)
        while view:
            self._sock.settimeout(self.deadline.within(self._config.timeout))
            view = view[self._sock.send(view) :]

    def read(self, *, patience: float | None = None) -> tuple[Reply, list[bytes]]:
        """Read one reply and return it, parsed and as its lines.

        `patience` bounds the whole reply, by default the timeout for one command.
        """
        lines: list[bytes] = []
        limit = Deadline(self._config.timeout if patience is None else patience)
        while True:
            line = self._read_line(limit)
            lines.append(line)
            if line[3:4] != b"-":
                break
            if len(lines) > MAX_REPLY_LINES:
                raise garbage("the server's answer does not end")
        try:
            return parse_reply(lines), lines
        except ValueError as error:
            raise garbage(str(error)) from None

    @property
    def is_out_of_step(self) -> bool:
        """Whether the server has answered more than was asked; a 421 it may say at any time."""
        return bool(self._buffer) and not self._buffer.startswith(b"421")

    def is_stale(self) -> bool:
        """Tell, without a round trip, whether the server has hung up or spoken out of turn.

        It cannot see a connection that a router on the way has silently forgotten.
        """
        if not self.is_open or self._buffer:
            return True
        try:
            self._sock.settimeout(0)
            # Nothing is due on an idle connection: an end, or a 421. TLS 1.3 session tickets are
            # taken by the TLS layer and look like nothing.
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            pass
        return True

    def own_address(self) -> str:
        address: str = self._sock.getsockname()[0]
        return address

    def hang_up(self) -> None:
        """Close the socket at once."""
        self.is_open = False
        self._sock.close()

    def say_and_hang_up(self, octets: bytes) -> None:
        """Write what fits without waiting, and close."""
        try:
            self._sock.settimeout(0)
            self._sock.send(octets)
        except OSError:
            pass  # it is gone already, which is what was wanted
        finally:
            self.hang_up()

    def _read_line(self, limit: Deadline) -> bytes:
        while (end := self._buffer.find(b"\n", 0, MAX_REPLY_LINE)) < 0:
            if len(self._buffer) >= MAX_REPLY_LINE:
                raise garbage("a line of the server's answer does not end")
            self._sock.settimeout(self.deadline.within(max(limit.left(), 0.0) or 1e-6))
            octets = self._sock.recv(65536)
            if not octets:
                raise ConnectionResetError("the server closed the connection")
            self._buffer += octets
        line, self._buffer = self._buffer[:end].rstrip(b"\r"), self._buffer[end + 1 :]
        return line


def _connect(config: SmtpConfig, deadline: Deadline) -> socket.socket:
    # Not create_connection(): it would give each of a name's addresses the whole timeout.
    found = bounded(
        lambda: socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM), deadline
    )
    patience = Deadline(config.timeout)
    failed: OSError | None = None
    for number, (family, kind, protocol, _, address) in enumerate(found):
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, protocol)
            # What is left is shared, so that a dead first address leaves time for the second.
            share = max(patience.left(), 0.001) / (len(found) - number)
            sock.settimeout(deadline.within(share))
            if config.source_address:
                sock.bind((config.source_address, 0))
            sock.connect(address)
        except OSError as error:
            failed = error
            if sock is not None:
                sock.close()
        else:
            return sock
    raise failed or socket.gaierror(f"{config.host} has no address")


def bounded(work: Callable[[], T], deadline: Deadline) -> T:
    """Run what cannot be given a timeout, and return its result in time.

    Raises:
        TimeoutError: it takes longer; it is left to end by itself.
    """
    answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:
            answers.put((None, error))

    threading.Thread(target=run, name="authmail-bounded", daemon=True).start()
    try:
        value, error = answers.get(timeout=deadline.within(3600))
    except Empty:
        raise TimeoutError("the hand-over took longer than its deadline") from None
    if error is not None:
        raise error
    return cast("T", value)


def garbage(detail: str) -> SmtpFailure:
    """Return the failure for a server that does not speak SMTP."""
    return SmtpFailure(
        Failure(
            error_code=ErrorCode.SMTP_CONNECTION,
            reason=Reason.CONNECTION_LOST,
            retry=Retry.LATER,
            detail=detail,
        )
    )


@lru_cache(maxsize=32)
def ssl_context(
    ca_file: str,
    certfile: str,
    keyfile: str,
    min_tls: str,
    ciphers: str,
    modified: tuple[int, ...] = (),
) -> ssl.SSLContext:
    """Return the context of a configuration; made once, since loading authorities takes 20 ms.

    `modified` are the times of its files: with others, they are read again.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion[min_tls.replace(".", "_")]
    if ciphers:
        context.set_ciphers(ciphers)
    if certfile:
        context.load_cert_chain(certfile, keyfile or None)
    return context
