"""A small internet: names with answers that change, and public addresses that lead to this machine.

The resolver and the route are ours, so that no test talks to a stranger. Everything above them is
real: sockets, TLS, HTTP.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

import pytest

#: Addresses that anybody may connect to.
PUBLIC = "93.184.216.34"
OTHER_PUBLIC = "93.184.216.35"
PUBLIC_V6 = "2606:2800:220:1::1"


@dataclass(kw_only=True)
class Internet:
    #: What each name resolves to, one list for each time it is asked; the last one stays.
    answers: dict[str, list[list[str]]] = field(default_factory=dict)
    #: Where connections to a public address end: a port of this machine.
    routes: dict[str, int] = field(default_factory=dict)
    lookups: list[str] = field(default_factory=list)
    #: Every address that a connection was tried to, of this process, TCP alone.
    connects: list[str] = field(default_factory=list)

    def resolve(self, host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        self.lookups.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.answers[host]
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]


def small_internet(monkeypatch: pytest.MonkeyPatch) -> Internet:
    """Put an internet of tests in place of the world's."""
    internet = Internet()
    connect = socket.socket.connect

    def routed(sock: socket.socket, address: Any) -> None:
        if sock.family == socket.AF_UNIX:
            return connect(sock, address)
        internet.connects.append(address[0])
        if address[0] in internet.routes:
            if sock.family == socket.AF_INET6:
                address = ("::1", internet.routes[address[0]], 0, 0)
            else:
                address = ("127.0.0.1", internet.routes[address[0]])
        elif address[0] in (PUBLIC, OTHER_PUBLIC, PUBLIC_V6):
            raise ConnectionRefusedError
        return connect(sock, address)

    monkeypatch.setattr(socket, "getaddrinfo", internet.resolve)
    monkeypatch.setattr(socket.socket, "connect", routed)
    return internet
