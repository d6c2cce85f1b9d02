"""One connection to addresses that were checked, with one time limit for everything on it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from types import ModuleType
from typing import Any

#: For one of several addresses, so that a dead one leaves time for the next.
ADDRESS_SECONDS = 5.0
#: What is written before the clock is looked at again.
_PIECE = 16_384


class Network:
    """A network backend of httpcore2 that knows `addresses` and nothing else.

    It never looks a name up: between that and a connect, the answer could be another one. A
    receiver that trickles would never meet the limit of a single read, so there is one for all.
    """

    def __init__(
        self, http: ModuleType, tls: ssl.SSLContext, addresses: Sequence[str], *, end: float
    ) -> None:
        self.http = http
        self.tls = tls
        self._addresses = addresses
        self._end = end
        self.is_answered = False
        # httpcore2 writes to the context that it is given, while other threads shake hands.
        self.unused_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # the library's own annotation
    ) -> Stream:
        *others, last = self._addresses
        for address in others:
            try:
                return self._connect(address, port, min(self.left(), ADDRESS_SECONDS))
            except (self.http.ConnectError, self.http.ConnectTimeout):
                continue
        return self._connect(last, port, self.left())

    def connect_unix_socket(self, path: str, *args: object, **kwargs: object) -> Stream:
        raise self.http.ConnectError("a webhook goes to no file")

    def sleep(self, seconds: float) -> None:
        raise self.http.ConnectTimeout("a webhook is tried once")

    def answered(self, seconds: float) -> None:
        """Say that status and headers are there; leave `seconds` at most for what follows."""
        self.is_answered = True
        self._end = min(self._end, monotonic() + seconds)

    def left(self) -> float:
        left = self._end - monotonic()
        if left <= 0:
            raise self.http.ReadTimeout("the webhook took longer than its limit")
        return left

    def _connect(self, address: str, port: int, seconds: float) -> Stream:
        # Not socket.create_connection, which would resolve what it is given.
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            # Outside of AF_INET even this fails, where the system has no IPv6.
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise self.http.ConnectError from error
        try:
            sock.settimeout(seconds)
            sock.connect((address, port))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError as error:
            sock.close()
            raise self.http.ConnectTimeout from error
        except OSError as error:
            sock.close()
            raise self.http.ConnectError from error
        return Stream(self, sock)


@dataclass(frozen=True, slots=True)
class Stream:
    """What is read and written, in the time that the network has left."""

    network: Network
    sock: socket.socket = field(repr=False)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        http = self.network.http
        self.sock.settimeout(self.network.left())
        try:
            octets = self.sock.recv(max_bytes)
        except TimeoutError as error:
            raise http.ReadTimeout from error
        except OSError as error:
            raise http.ReadError from error
        # httpcore2 calls it an error of the protocol, as it calls nonsense.
        if not octets and not self.network.is_answered:
            raise http.ReadError("the receiver closed the connection and did not answer")
        return octets

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        http = self.network.http
        rest = memoryview(buffer)
        try:
            while rest:
                self.sock.settimeout(self.network.left())
                rest = rest[self.sock.send(rest[:_PIECE]) :]
        except TimeoutError as error:
            raise http.WriteTimeout from error
        except OSError as error:
            raise http.WriteError from error

    def close(self) -> None:
        self.sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        try:
            # A handshake keeps to the limit as a whole, however it trickles.
            self.sock.settimeout(self.network.left())
            sock = self.network.tls.wrap_socket(self.sock, server_hostname=server_hostname)
        except TimeoutError as error:
            self.close()
            raise self.network.http.ConnectTimeout from error
        except ssl.SSLError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise self.network.http.ReadError from error
        except BaseException:
            self.close()
            raise
        return Stream(self.network, sock)

    def get_extra_info(self, info: str) -> Any:  # the library's own annotation
        # It asks for the protocol that was negotiated: the context offers HTTP/1.1 alone.
        return None
