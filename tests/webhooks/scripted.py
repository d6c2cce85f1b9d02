"""Receivers on this machine that answer anything, or nothing, and count who came."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

#: What a receiver does with a connection, after which it is closed.
Script = Callable[[socket.socket], object]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(kw_only=True)
class Receiver:
    """What tests see of it, and how they change what it does."""

    port: int
    script: Script
    #: Before any octet: what counts is that there was a connection.
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    #: The names that clients asked for in their handshake.
    names: list[str | None] = field(default_factory=list)
    #: Ends scripts that hang, when the test is over.
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def answers(self, answer: bytes) -> None:
        """Read a request and answer it."""

        def script(sock: socket.socket) -> None:
            self.read_request(sock)
            sock.sendall(answer)

        self.script = script

    def read_request(self, sock: socket.socket) -> bytes:
        """Read a request with a Content-Length, and keep it."""
        content = b""
        while b"\r\n\r\n" not in content:
            if not (piece := sock.recv(65536)):
                return content
            content += piece
        head, _, body = content.partition(b"\r\n\r\n")
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        while len(body) < length:
            if not (piece := sock.recv(65536)):
                return content
            body += piece
        self.requests.append(head + b"\r\n\r\n" + body)
        return self.requests[-1]


@contextmanager
def listening(*, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run a receiver that answers 200, until it is told otherwise."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)
    receiver = Receiver(port=listener.getsockname()[1], script=lambda sock: None)
    receiver.answers(OK)
    open_sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    if tls is not None:

        def remember(connection: object, name: str | None, context: object) -> None:
            receiver.names.append(name)

        tls.sni_callback = remember

    def serve(sock: socket.socket) -> None:
        # The far side goes when it has had enough: that is what these tests are about.
        with suppress(OSError, StopIteration), sock:
            if tls is None:
                receiver.script(sock)
            else:
                with tls.wrap_socket(sock, server_side=True) as secured:
                    receiver.script(secured)

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            receiver.connections += 1
            open_sockets.append(sock)
            threads.append(threading.Thread(target=serve, args=(sock,), daemon=True))
            threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        # Wakes `accept`, as closing alone does not everywhere.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for sock in open_sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
