"""One connection to a token endpoint, with one time limit for all of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpcore2

#: For one request to a token endpoint, from the connect to the last octet of the answer.
TIMEOUT_SECONDS = 10.0
#: For one of several addresses of a token endpoint, so that a dead one leaves time for the next.
ADDRESS_SECONDS = 3.0


class Network:
    """httpcore2's network, with one time limit for everything: a server that trickles its answer
    would never meet the limit of a single read."""

    def __init__(self, http: ModuleType) -> None:
        self._http = http
        self._backend: httpcore2.NetworkBackend = http.SyncBackend()
        self._end = monotonic() + TIMEOUT_SECONDS

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        while True:
            address, *addresses = addresses
            patience = min(self.left(), ADDRESS_SECONDS) if addresses else self.left()
            try:
                stream = self._backend.connect_tcp(address, port, timeout=patience)
            except (self._http.ConnectError, self._http.ConnectTimeout):
                if not addresses:
                    raise
            else:
                return Stream(self, stream)

    def left(self) -> float:
        left = self._end - monotonic()
        if left <= 0:
            raise self._http.ReadTimeout("the request took longer than its limit")
        return left


@dataclass(frozen=True, slots=True)
class Stream:
    network: Network
    stream: httpcore2.NetworkStream = field(repr=False)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, timeout=self.network.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, timeout=self.network.left())

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Stream:
        left = self.network.left()
        return Stream(
            self.network, self.stream.start_tls(ssl_context, server_hostname, timeout=left)
        )

    def get_extra_info(self, info: str) -> Any:  # the library's own annotation
        return self.stream.get_extra_info(info)
