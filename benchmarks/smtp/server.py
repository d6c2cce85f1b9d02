"""An SMTP server that takes mail at once and keeps none: `python -m benchmarks.smtp.server`.

It parses and counts and does nothing else, so that what is measured is the client. It has three
ports per `--listener NAME=EXTENSIONS`, with those extensions left out of its EHLO: `NAME/starttls`,
with TLS from the first octet `NAME/implicit`, and without TLS and login `NAME/open`. It prints the
ports as a line of JSON, its counts for each line that says `stats` on its standard input, and ends
when that closes.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hmac
import json
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.smtp.tls import TlsChannel

STARTTLS = "starttls"
IMPLICIT = "implicit"
OPEN = "open"

_EXTENSIONS = ("PIPELINING", "SIZE 10485760", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES")


@dataclass(kw_only=True)
class Counts:
    """What has happened at one port."""

    connections: int = 0
    #: Mails taken, by the command that brought their content.
    data: int = 0
    bdat: int = 0
    octets: int = 0
    #: When the last one was taken, by `time.monotonic`, which all processes of a machine share.
    last_taken: float = 0.0
    #: Replies that were no success: a benchmark of refusals would be a benchmark of nothing.
    refusals: int = 0


@dataclass(frozen=True, kw_only=True)
class Listener:
    """One port: what it offers and what it has counted."""

    extensions: tuple[str, ...]
    context: ssl.SSLContext = field(repr=False)
    #: The initial response of AUTH PLAIN, decoded (RFC 4616).
    credentials: bytes = field(repr=False)
    implicit: bool
    #: Takes mail without TLS and without a login.
    open: bool = False
    counts: Counts = field(default_factory=Counts)


class Session(asyncio.Protocol):
    """One connection. Commands that arrive together are answered together (RFC 2920)."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._tls = TlsChannel(listener.context) if listener.implicit else None
        self._greeted = False
        self._authenticated = listener.open
        self._buffer = bytearray()
        self._replies: list[bytes] = []
        #: What takes the octets that come next; it returns False to wait for more of them.
        self._step: Callable[[], bool] = self._command
        self._login = b""
        self._chunk = (0, False)
        self._reset()

    # -- octets ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - create_server makes these
        self._transport = transport
        self._listener.counts.connections += 1
        if self._tls is None:
            self._greet()
        self._flush()

    def data_received(self, octets: bytes) -> None:
        if self._tls is not None:
            try:
                octets = self._tls.receive(octets)
            except ssl.SSLError:
                self._end()
                return
            if self._tls.is_ready and not self._greeted:
                self._greet()
        self._buffer += octets
        while self._step():
            pass
        self._flush()

    def _flush(self) -> None:
        octets, self._replies = b"".join(self._replies), []
        if self._tls is not None:
            if octets:
                self._tls.send(octets)
            octets = self._tls.take()
        if octets and self._transport is not None and not self._transport.is_closing():
            self._transport.write(octets)

    def _end(self) -> None:
        self._flush()
        self._step = lambda: False
        if self._transport is not None:
            self._transport.close()

    # -- the dialogue ----------------------------------------------------------------------

    def _greet(self) -> None:
        self._greeted = True
        self._replies.append(b"220 localhost ESMTP benchmark\r\n")

    def _reset(self) -> None:
        self._has_sender = False
        self._recipients = 0
        self._octets = 0

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    def _command(self) -> bool:
        line = self._line()
        if line is None:
            return False
        verb, _, rest = line.partition(b" ")
        match verb.upper():
            case b"EHLO":
                self._hello()
            case b"STARTTLS" if self._tls is None:
                self._replies.append(b"220 2.0.0 ready\r\n")
                self._flush()
                # RFC 3207: nothing that came before the handshake counts after it.
                self._buffer.clear()
                self._reset()
                self._tls = TlsChannel(self._listener.context)
            case b"AUTH" if self._tls is not None:
                self._auth(rest)
            case b"MAIL" if self._authenticated and not self._has_sender:
                self._has_sender = True
                self._replies.append(b"250 2.1.0 ok\r\n")
            case b"RCPT" if self._has_sender:
                self._recipients += 1
                self._replies.append(b"250 2.1.5 ok\r\n")
            case b"DATA" if self._recipients:
                self._replies.append(b"354 go ahead\r\n")
                self._step = self._data
            case b"BDAT" if "CHUNKING" in self._listener.extensions:
                size, _, last = rest.partition(b" ")
                self._chunk = (int(size), last.upper() == b"LAST")
                self._step = self._bdat
            case b"RSET" | b"NOOP" as known:
                if known == b"RSET":
                    self._reset()
                self._replies.append(b"250 2.0.0 ok\r\n")
            case b"QUIT":
                self._replies.append(b"221 2.0.0 bye\r\n")
                self._end()
            case _:
                self._refuse(b"503 5.5.1 not now\r\n")
        return True

    def _hello(self) -> None:
        offered = ["localhost", *self._listener.extensions]
        if not self._listener.open:
            # RFC 4954 4: no plain text login where it can be read.
            offered.append("STARTTLS" if self._tls is None else "AUTH PLAIN LOGIN")
        lines = [f"250-{line}\r\n" for line in offered[:-1]] + [f"250 {offered[-1]}\r\n"]
        self._replies.append("".join(lines).encode())

    def _auth(self, rest: bytes) -> None:
        mechanism, _, initial = rest.partition(b" ")
        self._login = b""
        if mechanism.upper() == b"PLAIN":
            self._step = self._plain_response
        elif mechanism.upper() == b"LOGIN":
            self._step = self._login_response
        else:
            self._refuse(b"504 5.5.4 PLAIN or LOGIN\r\n")
            return
        if initial:
            self._buffer[:0] = initial + b"\r\n"
        else:
            self._replies.append(b"334 \r\n")

    def _plain_response(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._decide(base64.b64decode(line))
        return True

    def _login_response(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if self._login:
            self._decide(self._login + b"\0" + base64.b64decode(line))
        else:
            self._login = b"\0" + base64.b64decode(line)
            self._replies.append(b"334 UGFzc3dvcmQ6\r\n")
        return True

    def _decide(self, credentials: bytes) -> None:
        self._step = self._command
        if hmac.compare_digest(credentials, self._listener.credentials):
            self._authenticated = True
            self._replies.append(b"235 2.7.0 welcome\r\n")
        else:
            self._refuse(b"535 5.7.8 no\r\n")

    def _data(self) -> bool:
        end = self._buffer.find(b"\r\n.\r\n")
        if end < 0:
            return False
        self._octets = end + 2
        del self._buffer[: end + 5]
        self._listener.counts.data += 1
        self._accept()
        return True

    def _bdat(self) -> bool:
        size, last = self._chunk
        if len(self._buffer) < size:
            return False
        del self._buffer[:size]
        self._octets += size
        self._step = self._command
        if not self._recipients:
            self._refuse(b"554 5.5.1 no valid recipients\r\n")
        elif last:
            self._listener.counts.bdat += 1
            self._accept()
        else:
            self._replies.append(b"250 2.0.0 go on\r\n")
        return True

    def _accept(self) -> None:
        counts = self._listener.counts
        counts.octets += self._octets
        counts.last_taken = time.monotonic()
        self._step = self._command
        self._reset()
        self._replies.append(b"250 2.0.0 Ok: queued as %06X\r\n" % (counts.data + counts.bdat))

    def _refuse(self, reply: bytes) -> None:
        self._listener.counts.refusals += 1
        self._replies.append(reply)


class Control(asyncio.Protocol):
    """The standard input of this process: what is asked of it, and that it shall end."""

    def __init__(self, listeners: dict[str, Listener], ended: asyncio.Event) -> None:
        self._listeners = listeners
        self._ended = ended

    def data_received(self, octets: bytes) -> None:
        for _ in range(octets.count(b"stats\n")):
            _print({name: asdict(one.counts) for name, one in self._listeners.items()})

    def connection_lost(self, error: Exception | None) -> None:
        self._ended.set()


async def serve(wanted: dict[str, frozenset[str]], context: ssl.SSLContext, login: bytes) -> None:
    """Listen, say where, and answer until the standard input closes."""
    loop = asyncio.get_running_loop()
    listeners = {
        f"{name}/{security}": Listener(
            extensions=tuple(e for e in _EXTENSIONS if e.split()[0] not in left_out),
            context=context,
            credentials=login,
            implicit=security == IMPLICIT,
            open=security == OPEN,
        )
        for name, left_out in wanted.items()
        for security in (STARTTLS, IMPLICIT, OPEN)
    }
    ports: dict[str, int] = {}
    for name, listener in listeners.items():
        server = await loop.create_server(_sessions(listener), "127.0.0.1", 0, backlog=256)
        ports[name] = server.sockets[0].getsockname()[1]
    ended = asyncio.Event()
    await loop.connect_read_pipe(lambda: Control(listeners, ended), sys.stdin)
    _print(ports)
    await ended.wait()


def _sessions(listener: Listener) -> Callable[[], Session]:
    return lambda: Session(listener)


def _print(value: object) -> None:
    print(json.dumps(value), flush=True)


def _listener(text: str) -> tuple[str, frozenset[str]]:
    name, _, left_out = text.partition("=")
    return name, frozenset(left_out.upper().split(",")) - {""}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server as a process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smtp.server", description=__doc__)
    parser.add_argument("--certificate", type=Path, required=True, help="PEM file")
    parser.add_argument("--key", type=Path, required=True, help="PEM file")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True, help="a throw-away one: others can see it")
    parser.add_argument(
        "--listener",
        type=_listener,
        action="append",
        metavar="NAME=EXTENSION,...",
        help="three ports, without these extensions; again for three more",
    )
    options = parser.parse_args(arguments)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.key)
    wanted = dict(options.listener or [("all", frozenset[str]())])
    login = f"\0{options.user}\0{options.password}".encode()
    asyncio.run(serve(wanted, context, login))


if __name__ == "__main__":
    main()
