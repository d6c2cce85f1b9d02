"""A path with a round trip time: `python -m benchmarks.smtp.proxy --route PORT:RTT_MS ...`.

Half of the time is added in each direction, with no limit of bandwidth. The TCP handshake is
charged as on a real path: loopback answers connect() at once, so the client's first octets are
read one round trip later and the server is reached half a round trip after that; its greeting is
at the client two round trips after connect(). What a real path has besides is missing: loss,
jitter, and the congestion window, which a mail of less than 14 kB fits into.

It prints the port of each route as a line of JSON, and ends when its standard input closes.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import select
import selectors
import socket
import sys
import time
from collections.abc import Callable, Sequence

_CHUNK = 262144
# A client or server that does not read is not waited for: the others' times would suffer.
_WRITE_SECONDS = 1.0
# A process that sleeps wakes up late. The last of each wait is spent awake, so that the path is
# not longer than it says.
_AWAKE_SECONDS = 0.0003


class End:
    """One of the two sockets of a connection."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.half = seconds / 2
        self.peer: End | None = None
        self.is_open = True


class Proxy:
    """Moves octets between sockets, each a fixed time after it came."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._running = True

    def listen(self, target: int, seconds: float) -> int:
        """Open a route to a port and return the route's own."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._watch(listener, lambda: self._accept(listener, target, seconds))
        port: int = listener.getsockname()[1]
        return port

    def run(self) -> None:
        """Work until the standard input closes."""
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._stop)
        while self._running:
            wait = None
            if self._due:
                wait = max(0.0, self._due[0][0] - time.monotonic() - _AWAKE_SECONDS)
            # Not the selector's own timeout, which is rounded up to a millisecond.
            select.select([self._selector.fileno()], [], [], wait)
            for key, _ in self._selector.select(0):
                key.data()
            now = time.monotonic()
            while self._due and self._due[0][0] <= now:
                heapq.heappop(self._due)[2]()

    def _stop(self) -> None:
        self._running = bool(sys.stdin.readline())

    def _watch(self, sock: socket.socket, act: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, act)

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._order), act))

    def _accept(self, listener: socket.socket, target: int, seconds: float) -> None:
        client = End(listener.accept()[0], seconds)
        self._after(seconds, lambda: self._read_from(client))
        self._after(1.5 * seconds, lambda: self._reach(client, target))

    def _read_from(self, end: End) -> None:
        if end.is_open:
            self._watch(end.sock, lambda: self._receive(end))

    def _reach(self, client: End, target: int) -> None:
        if not client.is_open:
            return
        try:
            sock = socket.create_connection(("127.0.0.1", target), timeout=_WRITE_SECONDS)
        except OSError:
            self._close(client)
            return
        server = End(sock, client.half * 2)
        client.peer, server.peer = server, client
        self._read_from(server)

    def _receive(self, end: End) -> None:
        if not end.is_open:
            return
        try:
            octets = end.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            octets = b""
        if octets:
            self._after(end.half, lambda: self._deliver(end, octets))
        else:
            # The end itself goes later: what is on its way to it still arrives.
            self._selector.unregister(end.sock)
            self._after(end.half, lambda: self._finish(end))

    def _deliver(self, source: End, octets: bytes) -> None:
        end = source.peer
        if end is None or not end.is_open:
            return
        try:
            end.sock.settimeout(_WRITE_SECONDS)
            end.sock.sendall(octets)
            end.sock.setblocking(False)
        except OSError:
            self._close(end)

    def _finish(self, end: End) -> None:
        self._close(end)
        if end.peer is not None:
            self._close(end.peer)

    def _close(self, end: End) -> None:
        if end.is_open:
            end.is_open = False
            if end.sock in self._selector.get_map():
                self._selector.unregister(end.sock)
            end.sock.close()


def _route(text: str) -> tuple[int, float]:
    port, _, milliseconds = text.partition(":")
    return int(port), float(milliseconds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the proxy as a process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.smtp.proxy", description=__doc__)
    parser.add_argument(
        "--route", type=_route, action="append", required=True, metavar="PORT:RTT_MS"
    )
    options = parser.parse_args(arguments)
    proxy = Proxy()
    ports = [proxy.listen(target, rtt / 1000) for target, rtt in options.route]
    print(json.dumps(ports), flush=True)
    proxy.run()


if __name__ == "__main__":
    main()
