"""An SMTP server that keeps a ledger of what it took, and fails where it is told to.

A mail is in the ledger from the moment that the server decides to answer 2xx to its content, before
the first octet of that answer leaves. What a client says of the outcome is compared with it.

The server is strict: what a careful client never does (a command before the answer to the last one
without PIPELINING, MAIL inside a transaction, BDAT that was not offered) is in `violations`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from example_project.certificates import ServerCertificate

ALL = ("PIPELINING", "CHUNKING", "SIZE 1000000", "8BITMIME")
WITHOUT_CHUNKING = ("PIPELINING", "SIZE 1000000", "8BITMIME")
NONE: tuple[str, ...] = ()

USER = "sender@example.org"
PASSWORD = "a-password-for-tests"

#: Commands after which a client waits for the answer, also with PIPELINING (RFC 2920 3.1). RSET is
#: not one of them; QUIT ends the dialogue.
_SYNC = {"EHLO", "DATA", "STARTTLS", "AUTH", "NOOP"}


@dataclass(kw_only=True)
class Fault:
    """One step that goes wrong: CONNECT, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, CONTENT (the
    answer to what follows DATA), BDAT, RSET, NOOP or QUIT.
    """

    step: str
    #: Instead of the usual answer; CRLF is added. "" is no answer, two lines may be two answers.
    #: None: the usual answer.
    reply: str | None = None
    #: Hang up after the answer; a 421 always does.
    close: bool = False
    #: Wait until the client has hung up, and only then go on with what it had sent until then.
    stall: bool = False
    #: Which of these steps, counted from 1 since the fault was set.
    nth: int = 1
    #: How often it happens; None: from the nth step on always.
    times: int | None = 1
    #: Only for MAIL, RCPT: only where the address is this one.
    address: str = ""


@dataclass(kw_only=True)
class Drop:
    """The connection ends after so many octets, counted from when it was set."""

    #: From the client; what was complete then is still processed and answered.
    received: int | None = None
    #: To the client.
    sent: int | None = None
    #: Do not process what arrived with the last octet: the server has crashed.
    crash: bool = False
    #: End it by RST instead of FIN.
    reset: bool = False
    #: Do it again, with a new count, on what follows.
    again: bool = False


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A mail that the server took responsibility for."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    connection: int
    verb: str

    @property
    def message_id(self) -> str:
        for line in self.content.split(b"\r\n\r\n")[0].split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"message-id":
                return value.decode().strip()
        return ""


class _Ended(Exception):
    """This side of the connection is over."""


@dataclass(kw_only=True)
class LedgerServer:
    host: str = "localhost"
    port: int = 0
    extensions: tuple[str, ...] = ALL
    certificate: ServerCertificate | None = None
    implicit_tls: bool = False
    auth: bool = False
    #: Answer 354 to DATA without any accepted recipient (RFC 2920 3.1 knows such servers).
    eager_354: bool = False
    #: The answer of a server that offers BDAT and does not know it. Empty: it knows it.
    without_bdat: str = ""
    #: Whether that server at least skips the octets, or reads them as commands.
    skips_bdat_octets: bool = True
    #: Largest mail that is taken, whatever SIZE says.
    max_octets: int = 10**9
    #: 421 to the MAIL after so many mails on one connection; 0: never.
    max_mails: int = 0
    #: Addresses that RCPT refuses, and how.
    refuse: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    drop: Drop | None = None
    ledger: list[Taken] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    #: Every command line, with the number of its connection.
    commands: list[tuple[int, str]] = field(default_factory=list)
    connections: int = 0
    most_open: int = 0
    #: Octets both ways since `count_from_here`.
    received: int = 0
    sent: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    _open: dict[int, _Peer] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def options(self) -> dict[str, Any]:
        """Keywords for `SmtpConfig` to reach this server."""
        options: dict[str, Any] = {"host": self.host, "port": self.port, "use_tls": False}
        if self.certificate is not None:
            options["ca_file"] = str(self.certificate.ca_file)
            options["use_ssl" if self.implicit_tls else "use_tls"] = True
        if self.auth:
            options |= {"user": USER, "password": PASSWORD}
            options["allow_cleartext_auth"] = self.certificate is None
        else:
            options["from_addr"] = USER
        return options

    def taken(self, message_id: str) -> list[Taken]:
        with self.lock:
            return [mail for mail in self.ledger if mail.message_id == message_id]

    def verbs(self) -> list[str]:
        with self.lock:
            return [line.split(" ")[0].split(":")[0].upper() for _, line in self.commands]

    def set(self, *faults: Fault, drop: Drop | None = None) -> None:
        """Do these wrong from now on, and nothing else."""
        with self.lock:
            self.faults = list(faults)
            self.drop = drop
            self.received = self.sent = 0

    def hang_up_on_all(self) -> None:
        """End every open connection, as a server that restarts does."""
        with self._changed:
            peers = list(self._open.values())
        for peer in peers:
            peer.end()
        self.wait_until_idle()

    def wait_until_idle(self, seconds: float = 10) -> None:
        """Wait until no connection is open: nothing can be taken after that.

        To be called when the client has closed its own.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open, seconds):
                raise AssertionError(f"{len(self._open)} connections are still open")

    @property
    def open_connections(self) -> int:
        with self._changed:
            return len(self._open)

    # -- for the connections -----------------------------------------------------------------

    def _fault(self, step: str, address: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.step != step or (fault.address and fault.address != address):
                    continue
                if fault.nth > 1:
                    fault.nth -= 1
                    continue
                if fault.times == 0:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None

    def _joins(self, peer: _Peer) -> int:
        with self._changed:
            self.connections += 1
            self._open[self.connections] = peer
            self.most_open = max(self.most_open, len(self._open))
            return self.connections

    def _leaves(self, number: int) -> None:
        with self._changed:
            del self._open[number]
            self._changed.notify_all()


class _Peer:
    """One connection, in a thread of its own."""

    def __init__(self, server: LedgerServer, sock: socket.socket) -> None:
        self.server = server
        self.sock = sock
        # To take a line from the front of bytes would copy the rest, for each line of a mail.
        self.buffer = bytearray()
        self.output = b""
        self.gone = False  # the client has hung up; what it had sent is still worked on
        self.secure = False
        self.mails = 0
        self.sender: str | None = None
        self.recipients: list[str] = []
        self.chunks = b""
        self.number = server._joins(self)

    def run(self) -> None:
        # The client may be gone at any time, and drops are meant to hit everywhere.
        with contextlib.suppress(_Ended, OSError):
            if self.server.implicit_tls:
                self._wrap()
            self._answer("CONNECT", "220 ledger.example.org ESMTP")
            while True:
                self._command(self._line())
        with contextlib.suppress(OSError):
            self.sock.close()
        self.server._leaves(self.number)

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    # -- commands ----------------------------------------------------------------------------

    def _command(self, line: str) -> None:
        server = self.server
        with server.lock:
            server.commands.append((self.number, line))
        verb = line.split(" ")[0].upper()
        offered = {name.split(" ")[0] for name in server.extensions}
        if self.buffer and verb != "BDAT" and (verb in _SYNC or "PIPELINING" not in offered):
            self._violation(f"octets after {line!r} without waiting for its answer")
        handler = getattr(self, f"_{verb.lower()}", None)
        if handler is None:
            self._violation(f"unknown command {line[:60]!r}")
            self._say("500 5.5.2 what?")
            return
        handler(line)

    def _ehlo(self, line: str) -> None:
        extensions = list(self.server.extensions)
        if self.server.certificate and not self.secure:
            extensions.append("STARTTLS")
        if self.server.auth:
            extensions.append("AUTH PLAIN")
        self._reset()
        lines = ["ledger.example.org", *extensions]
        text = "\r\n".join(
            f"250{'-' if index < len(lines) - 1 else ' '}{item}" for index, item in enumerate(lines)
        )
        self._answer("EHLO", text)

    def _starttls(self, line: str) -> None:
        if self._answer("STARTTLS", "220 2.0.0 go") == 220:
            self._flush()
            self._wrap()

    def _auth(self, line: str) -> None:
        self._answer("AUTH", "235 2.7.0 welcome")

    def _mail(self, line: str) -> None:
        server = self.server
        if self.sender is not None:
            self._violation(f"MAIL inside a transaction: {line!r}")
            self._say("503 5.5.1 one at a time")
        elif server.max_mails and self.mails >= server.max_mails:
            self._say("421 4.7.0 too many mails on this connection")
            raise self._hang_up()
        elif self._answer("MAIL", "250 2.1.0 sender ok", _address(line)) // 100 == 2:
            self.sender = _address(line)

    def _rcpt(self, line: str) -> None:
        address = _address(line)
        if self.sender is None:
            self._answer("RCPT", "503 5.5.1 MAIL first", address)
            return
        usual = self.server.refuse.get(address, "250 2.1.5 rcpt ok")
        if self._answer("RCPT", usual, address) // 100 == 2:
            self.recipients.append(address)

    def _data(self, line: str) -> None:
        if self.sender is None and not self.server.eager_354:
            self._answer("DATA", "503 5.5.1 MAIL first")
            return
        if not self.recipients and not self.server.eager_354:
            self._answer("DATA", "554 5.5.1 no valid recipients")
            return
        if self._answer("DATA", "354 go on") != 354:
            return
        content = bytearray()
        while not (content == b".\r\n" or content.endswith(b"\r\n.\r\n")):
            content += self._octet_line()
        octets = bytes(content[:-3]).removeprefix(b".")
        self._take(octets.replace(b"\r\n.", b"\r\n"), "DATA", "CONTENT")

    def _bdat(self, line: str) -> None:
        server = self.server
        size, last = int(line.split(" ")[1]), line.upper().endswith(" LAST")
        if "CHUNKING" not in server.extensions:
            self._violation("BDAT was not offered")
        if server.without_bdat:
            if server.skips_bdat_octets:
                self._octets(size)
            self._say(server.without_bdat)
            return
        octets = self._octets(size)
        if self.sender is None:
            self._answer("BDAT", "503 5.5.1 MAIL first")
        elif not self.recipients:
            self._answer("BDAT", "554 5.5.1 no valid recipients")
        elif not last:
            self.chunks += octets
            self._answer("BDAT", "250 2.0.0 chunk ok")
        else:
            self._take(self.chunks + octets, "BDAT", "BDAT")

    def _rset(self, line: str) -> None:
        self._reset()
        self._answer("RSET", "250 2.0.0 clean")

    def _noop(self, line: str) -> None:
        self._answer("NOOP", "250 2.0.0 here")

    def _quit(self, line: str) -> None:
        self._answer("QUIT", "221 2.0.0 bye")
        raise self._hang_up()

    def _take(self, content: bytes, verb: str, step: str) -> None:
        server = self.server
        usual = f"250 2.0.0 queued as {len(server.ledger):06X}"
        if not self.recipients:
            usual = "554 5.5.1 no valid recipients"
        elif len(content) > server.max_octets:
            usual = "552 5.3.4 too large"
        fault = server._fault(step, "")
        if fault is not None and fault.stall:
            self._wait_for_hang_up()
        reply = usual if fault is None or fault.reply is None else fault.reply
        # Who leaves the answer out has taken it all the same.
        if usual.startswith("250") and (reply or usual).startswith("2"):
            taken = Taken(
                sender=self.sender or "",
                recipients=tuple(self.recipients),
                content=content,
                connection=self.number,
                verb=verb,
            )
            with server.lock:
                server.ledger.append(taken)
            self.mails += 1
            self._reset()
        elif verb == "DATA":
            self._reset()  # RFC 5321 4.1.1.4; RFC 3030 leaves it open for BDAT: RSET it is
        self._end_step(reply, fault)

    # -- answers and faults --------------------------------------------------------------------

    def _answer(self, step: str, usual: str, address: str = "") -> int:
        """Answer, in the way that the faults say; return the code, 0 for what is none."""
        fault = self.server._fault(step, address)
        if fault is not None and fault.stall:
            self._wait_for_hang_up()
        reply = usual if fault is None or fault.reply is None else fault.reply
        self._end_step(reply, fault)
        # Who leaves an answer out has not refused the command.
        code = (reply or usual)[:3]
        return int(code) if code.isdecimal() else 0

    def _end_step(self, reply: str, fault: Fault | None) -> None:
        if reply:
            self._say(reply)
        if (fault is not None and fault.close) or reply.startswith("421"):
            raise self._hang_up()

    def _wait_for_hang_up(self) -> None:
        self._flush()
        while octets := self._receive():
            self.buffer += octets

    def _say(self, text: str) -> None:
        # As a good server does: the answers to what arrived together leave together.
        self.output += text.encode() + b"\r\n"

    def _flush(self) -> None:
        output, self.output = self.output, b""
        server = self.server
        if not output or self.gone:
            return
        with server.lock:
            drop = server.drop
            cut = None
            if drop is not None and drop.sent is not None:
                cut = max(0, drop.sent - server.sent)
            due = cut is not None and cut < len(output)
            if due:
                output = output[:cut]
            server.sent += len(output)
        try:
            self.sock.sendall(output)
        except OSError:
            self.gone = True
        if due:
            self._drop_now()

    def _drop_now(self) -> None:
        server = self.server
        with server.lock:
            drop = server.drop
            if drop is not None:
                if drop.again:
                    server.received = server.sent = 0
                else:
                    server.drop = None
                if drop.reset:
                    linger = struct.pack("ii", 1, 0)
                    self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        raise _Ended

    def _hang_up(self) -> _Ended:
        self._flush()
        return _Ended()

    # -- octets --------------------------------------------------------------------------------

    def _line(self) -> str:
        return self._octet_line()[:-2].decode("utf-8", "replace")

    def _octet_line(self) -> bytes:
        while (end := self.buffer.find(b"\r\n")) < 0:
            self._more()
        return self._cut(end + 2)

    def _octets(self, count: int) -> bytes:
        while len(self.buffer) < count:
            self._more()
        return self._cut(count)

    def _cut(self, count: int) -> bytes:
        octets = bytes(self.buffer[:count])
        del self.buffer[:count]
        return octets

    def _more(self) -> None:
        self._flush()
        octets = self._receive()
        if not octets:
            raise _Ended
        self.buffer += octets

    def _receive(self) -> bytes:
        server = self.server
        if self.gone:
            return b""
        with server.lock:
            drop = server.drop
            left = 65536
            if drop is not None and drop.received is not None:
                left = drop.received - server.received
        if left <= 0:
            self._drop_now()
        try:
            octets = self.sock.recv(left)
        except OSError:
            octets = b""
        if not octets:
            self.gone = True
            return b""
        with server.lock:
            # Set while this thread was waiting: what came in before counts from here.
            drop = server.drop
            if drop is not None and drop.received is not None:
                left = drop.received - server.received
            else:
                left = 65536
            octets = octets[: max(left, 0)] if drop is not None else octets
            server.received += len(octets)
            crashed = (
                drop is not None
                and drop.crash
                and drop.received is not None
                and server.received >= drop.received
            )
        if crashed or not octets:
            self._drop_now()
        return octets

    def _wrap(self) -> None:
        assert self.server.certificate is not None
        context = _context(self.server.certificate)
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.secure = True
        self._reset()

    def _reset(self) -> None:
        self.sender, self.recipients, self.chunks = None, [], b""

    def _violation(self, text: str) -> None:
        with self.server.lock:
            self.server.violations.append(f"connection {self.number}: {text}")


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]


_contexts: dict[str, ssl.SSLContext] = {}


def _context(certificate: ServerCertificate) -> ssl.SSLContext:
    return _contexts.setdefault(str(certificate.certificate_file), certificate.server_context())


@contextmanager
def ledger_server(**options: Any) -> Iterator[LedgerServer]:
    """Run a server while the block runs; see the fields of `LedgerServer`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    server = LedgerServer(port=listener.getsockname()[1], **options)
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = _Peer(server, sock)
            thread = threading.Thread(target=peer.run, daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield server
    finally:
        # shutdown, not only close: it ends an accept() that is under way.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
        server.hang_up_on_all()
        for thread in threads:
            thread.join(10)
