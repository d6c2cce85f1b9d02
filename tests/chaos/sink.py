"""An SMTP server that writes down what it took: `python -m tests.chaos.sink --help`.

The ledger is a file of JSON lines that outlives the process: `taken` before the answer to the
content leaves, `replied` when it has left, `dropped` where the connection was ended on purpose. A
mail that was taken without `replied` is one whose answer was lost.

It ends some connections just before it takes the mail and some just after it has, without an
answer: each for a share of the addresses that the seed draws, and once for each of them.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_EXTENSIONS = ("PIPELINING", "SIZE 1000000", "8BITMIME", "ENHANCEDSTATUSCODES")


class Book:
    """The ledger as the server writes it, and whom it fails."""

    def __init__(self, path: Path, *, seed: str, share: float) -> None:
        self._seed, self._share = seed, share
        #: Addresses that a mail was dropped for or taken for: they are not failed again, also by
        #: the process that comes after this one.
        self._seen = {entry["to"] for entry in read(path) if "to" in entry}
        # One write for each line, to the kernel: it is there when this process is killed.
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "at": time.time(), **values})
        os.write(self._file, f"{line}\n".encode())

    def fate(self, address: str) -> str:
        """Return what happens to the next mail for this address: ``, `before` or `after`."""
        if address in self._seen:
            return ""
        self._seen.add(address)
        draw = random.Random(f"{self._seed}/{address}").random()
        if draw < self._share:
            return "before"
        return "after" if draw < 2 * self._share else ""


def read(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a ledger that may be written to at the same time."""
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines]


class Session(asyncio.Protocol):
    """One connection. Every second one is offered no CHUNKING: both ways to send are in use."""

    count = 0

    def __init__(self, book: Book) -> None:
        Session.count += 1
        self._name = f"{os.getpid()}.{Session.count}"
        self._chunking = Session.count % 2 == 1
        self._book = book
        self._client = ""
        self._buffer = bytearray()
        self._step: Callable[[], bool] = self._command
        self._transport: asyncio.Transport | None = None
        self._reset()

    # -- octets --------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._say("220 sink.example.org ESMTP")

    def data_received(self, octets: bytes) -> None:
        self._buffer += octets
        while self._transport is not None and self._step():
            pass

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def _say(self, line: str) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(line.encode() + b"\r\n")
        return True

    def _cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()
        self._transport = None

    # -- the dialogue --------------------------------------------------------------------------

    def _reset(self) -> None:
        self._recipients: list[str] = []
        self._content = bytearray()
        self._missing = 0
        self._is_last = False
        self._fate = ""

    def _line(self) -> str | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return None
        line = self._buffer[:end].decode()
        del self._buffer[: end + 2]
        return line

    def _command(self) -> bool:
        line = self._line()
        if line is None:
            return False
        verb, _, rest = line.partition(" ")
        match verb.upper():
            case "EHLO" | "HELO":
                self._client = rest
                extensions = _EXTENSIONS + (("CHUNKING",) if self._chunking else ())
                for name in ("sink.example.org", *extensions[:-1]):
                    self._say(f"250-{name}")
                self._say(f"250 {extensions[-1]}")
            case "MAIL":
                self._reset()
                self._say("250 2.1.0 ok")
            case "RCPT":
                self._recipients.append(line.partition("<")[2].partition(">")[0])
                self._say("250 2.1.5 ok")
            case "DATA":
                self._fate = self._book.fate(self._recipients[0])
                self._say("354 go on")
                self._step = self._data
            case "BDAT":
                size, *last = rest.split(" ")
                self._missing, self._is_last = int(size), bool(last)
                self._fate = self._fate or self._book.fate(self._recipients[0])
                self._step = self._chunk
            case "RSET" | "NOOP":
                if verb.upper() == "RSET":
                    self._reset()
                self._say("250 2.0.0 ok")
            case "QUIT":
                self._say("221 2.0.0 bye")
                if self._transport is not None:
                    self._transport.close()
                return False
            case _:
                self._say("500 5.5.2 what?")
        return True

    def _data(self) -> bool:
        if self._is_dropped():
            return False
        end = 0 if self._buffer.startswith(b".\r\n") else self._buffer.find(b"\r\n.\r\n") + 2
        if end == 1:
            return False
        self._content += bytes(self._buffer[:end]).replace(b"\r\n..", b"\r\n.")
        del self._buffer[: end + 3]
        return self._end_of_content()

    def _chunk(self) -> bool:
        if self._is_dropped():
            return False
        if len(self._buffer) < self._missing:
            return False
        self._content += self._buffer[: self._missing]
        del self._buffer[: self._missing]
        if not self._is_last:
            self._step = self._command
            self._say("250 2.0.0 chunk ok")
            return True
        return self._end_of_content()

    def _is_dropped(self) -> bool:
        """End the connection when the content has begun, where that is this mail's fate."""
        if self._fate != "before" or not self._buffer:
            return False
        self._book.write("dropped", **self._which())
        self._cut()
        return True

    def _end_of_content(self) -> bool:
        self._step = self._command
        content = bytes(self._content)
        digest = hashlib.sha256(content).hexdigest()
        self._book.write("taken", **self._which(), message_id=_message_id(content), digest=digest)
        if self._fate == "after":
            self._cut()
            return False
        if self._say(f"250 2.0.0 taken as {digest[:12]}"):
            self._book.write("replied", **self._which())
        self._reset()
        return True

    def _which(self) -> dict[str, str]:
        [address] = self._recipients
        return {"to": address, "connection": self._name, "client": self._client}


def _message_id(content: bytes) -> str:
    for line in content.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"message-id":
            return value.decode().strip()
    return ""


async def _serve(book: Book, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Session(book), "127.0.0.1", port, backlog=256)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    book.write("started")
    async with server:
        await ended.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sink")
    parser.add_argument("ledger", type=Path, help="the file; what is in it stays")
    parser.add_argument("port", type=int)
    parser.add_argument("--seed", default="0")
    parser.add_argument(
        "--share", type=float, default=0.0, help="of the addresses that are failed, each way"
    )
    options = parser.parse_args(arguments)
    asyncio.run(_serve(Book(options.ledger, seed=options.seed, share=options.share), options.port))


if __name__ == "__main__":
    main()
