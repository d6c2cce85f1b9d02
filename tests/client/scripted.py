"""An HTTP server that follows a script, for all that the real service never does."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(kw_only=True)
class Service:
    """What the tests see of the server, and what it does: a step for each connection, in turn.

    A connection after the last step gets the last one again.
    """

    url: str
    steps: list[Step] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    #: Connections that came, with or without a request.
    connections: int = 0
    #: Set at the end; what a step waits for that never answers.
    stop: threading.Event = field(default_factory=threading.Event)

    def script(self, *steps: Step) -> None:
        self.steps[:] = steps


@dataclass(kw_only=True)
class Peer:
    """One connection."""

    service: Service
    sock: socket.socket

    def read(self) -> Request:
        """Read one request, whole."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        method, path, _version = first.split(" ")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        values = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines}
        while len(body) < int(headers.get("content-length", 0)):
            body += self._receive()
        request = Request(method=method, path=path, headers=values, body=body)
        self.service.requests.append(request)
        return request

    def say(self, content: bytes) -> None:
        self.sock.sendall(content)

    def reset(self) -> None:
        """End the connection by RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _receive(self) -> bytes:
        octets = self.sock.recv(65536)
        if not octets:
            raise ConnectionError("the client closed the connection")
        return octets


Step = Callable[[Peer], None]

SENT = {"sent": True, "state": "accepted", "id": "8a2f", "message_id": "<a@b>", "refused": []}


def answer(
    status: int = 200,
    body: Any = SENT,
    *,
    content_type: str = "application/json",
    **headers: str,
) -> Step:
    """Read a request and answer it. `body` is JSON, or octets as they are."""

    def step(peer: Peer) -> None:
        peer.read()
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = {
            "Content-Type": content_type,
            "Content-Length": str(len(content)),
            "Connection": "close",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        peer.say(f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + content)

    return step


def keep_answering(peer: Peer) -> None:
    """Answer every request of a connection that is kept."""
    while True:
        peer.read()
        content = json.dumps(SENT).encode()
        peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)


def problem(status: int, code: str, *, retry_after: str = "", **members: Any) -> Step:
    """Answer as the service does that refuses something."""
    body = {"status": status, "code": code, "title": code, "detail": f"It is {code}.", **members}
    headers = {"Retry_After": retry_after} if retry_after else {}
    return answer(status, body, content_type="application/problem+json", **headers)


def reset_at_once(peer: Peer) -> None:
    peer.reset()


def reset_after_the_request(peer: Peer) -> None:
    peer.read()
    peer.reset()


def close_after_the_request(peer: Peer) -> None:
    peer.read()


def cut_the_answer(peer: Peer) -> None:
    peer.read()
    peer.say(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"sent": ')


def stay_silent(peer: Peer) -> None:
    peer.read()
    peer.service.stop.wait(60)


def drip(peer: Peer) -> None:
    """Answer, an octet at a time, for as long as anybody listens."""
    peer.read()
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not peer.service.stop.wait(0.05):
        peer.say(b" ")


def never_end(peer: Peer) -> None:
    """Answer, as fast as can be, for as long as anybody listens."""
    peer.read()
    peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not peer.service.stop.is_set():
        peer.say(b" " * 65536)


@contextmanager
def running() -> Iterator[Service]:
    """Run a server on a free loopback port while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        service = Service(url=f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = threading.Thread(target=_serve, args=(listener, service))
        server.start()
        try:
            yield service
        finally:
            service.stop.set()
            listener.shutdown(socket.SHUT_RDWR)  # ends accept()
            server.join(30)


def _serve(listener: socket.socket, service: Service) -> None:
    threads = []
    with suppress(OSError):
        while True:
            sock, _ = listener.accept()
            sock.settimeout(30)
            step = service.steps[min(service.connections, len(service.steps) - 1)]
            service.connections += 1
            threads.append(threading.Thread(target=_follow, args=(step, service, sock)))
            threads[-1].start()
    for thread in threads:
        thread.join(30)


def _follow(step: Step, service: Service, sock: socket.socket) -> None:
    with sock, suppress(OSError):  # the client went away, which is what some tests are about
        step(Peer(service=service, sock=sock))
