"""A server that follows a script instead of RFC 5321: for everything a good server never does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from django_authmail.smtp import pools

#: What the server does with a connection. `read` returns the next line that the client sent.
Script = Callable[["Peer"], None]


class Hangup(Exception):
    """The client closed the connection."""


@dataclass
class Peer:
    sock: socket.socket
    lines: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    _buffer: bytearray = field(default_factory=bytearray)

    def say(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def read(self) -> str:
        while b"\r\n" not in self._buffer:
            octets = self.sock.recv(4096)
            if not octets:
                raise Hangup
            self._buffer += octets
        end = self._buffer.index(b"\r\n")
        self.lines.append(self._buffer[:end].decode())
        del self._buffer[: end + 2]
        return self.lines[-1]

    def until(self, reply: bytes, verb: str) -> None:
        """Answer `reply` to everything before a line that begins with `verb`."""
        answers = bytearray()
        while True:
            if b"\r\n" not in self._buffer:
                # The answers to what arrived together leave together.
                self.say(bytes(answers))
                answers.clear()
            if self.read().startswith(verb):
                self.say(bytes(answers))
                return
            answers += reply

    def octets(self, count: int) -> None:
        """Read so many octets, as BDAT sends them."""
        while len(self._buffer) < count:
            received = self.sock.recv(65536)
            if not received:
                raise Hangup
            self._buffer += received
        self.contents.append(bytes(self._buffer[:count]))
        del self._buffer[:count]

    def content(self) -> None:
        """Read the content up to its final dot."""
        while self.read() != ".":
            pass


@dataclass
class Scripted:
    port: int
    #: What each connection's client said, in the order of the connections.
    peers: list[Peer] = field(default_factory=list)

    def wait_until_closed(self, number: int) -> None:
        """Wait until the server has hung up on the connection."""
        assert self.peers[number].closed.wait(10)


@contextmanager
def scripted(*scripts: Script) -> Iterator[Scripted]:
    """Serve one connection after the other, each by the next script; the last one repeats."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Scripted(port=listener.getsockname()[1])
    stop = threading.Event()

    def serve() -> None:
        number = 0
        while not stop.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            script = scripts[min(number, len(scripts) - 1)]
            number += 1
            peer = Peer(sock, stop=stop)
            server.peers.append(peer)
            with sock, suppress(Hangup, OSError):
                script(peer)
            peer.closed.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        stop.set()
        pools.close_all()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for peer in server.peers:
            peer.sock.close()
        thread.join(10)
