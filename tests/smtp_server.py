"""A real SMTP server on a free loopback port, for assertions on what the far side received."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from django_authmail.smtp import pools
from example_project.certificates import ServerCertificate

USER = "sender@example.com"
PASSWORD = "a-password-for-tests"


@dataclass(frozen=True, kw_only=True)
class Received:
    """One mail as the server took it: envelope and octets."""

    sender: str
    recipients: list[str]
    content: bytes
    #: Whether it came over TLS and after a login.
    secure: bool
    authenticated: bool

    @property
    def mail(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=policy.default)

    @property
    def text(self) -> str:
        body = self.mail.get_body(("plain",))
        assert body is not None
        return str(body.get_content())

    @property
    def html(self) -> str:
        body = self.mail.get_body(("html",))
        assert body is not None
        return str(body.get_content())


@dataclass(kw_only=True)
class SmtpServer:
    """What the tests see of the server, and how they make it misbehave."""

    host: str
    port: int
    certificate: ServerCertificate
    mails: list[Received] = field(default_factory=list)
    _arrived: threading.Condition = field(default_factory=threading.Condition)
    #: Recipient to the reply it gets, e.g. "550 5.1.1 no such user".
    refuse: dict[str, str] = field(default_factory=dict)
    #: Reply to the content, where it shall not be taken.
    refuse_content: str = ""
    #: Close the connection after the content instead of answering; taken all the same.
    drop_after_content: int = 0
    #: While set, the answer to the content waits for `release`.
    hold: bool = False
    #: The same for one mail, the next to come, and for none that comes with it.
    hold_one: bool = False
    #: While set, the answer to a login waits for `release`, and all else with it.
    hold_login: bool = False
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    #: Addresses that connections came from; one each.
    peers: set[tuple[str, int]] = field(default_factory=set)

    def take(self, received: Received) -> None:
        with self._arrived:
            self.mails.append(received)
            self._arrived.notify_all()

    def wait_for(self, count: int, seconds: float = 30) -> bool:
        """Wait until so many mails have arrived; False when they have not, in time."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self.mails) >= count, seconds)

    @property
    def connections(self) -> int:
        return len(self.peers)

    @property
    def options(self) -> dict[str, Any]:
        """OPTIONS of a mailer that reaches this server."""
        return {
            "host": self.host,
            "port": self.port,
            "username": USER,
            "password": PASSWORD,
            "use_tls": True,
            "ca_file": str(self.certificate.ca_file),
        }


class _Handler:
    def __init__(self, server: SmtpServer) -> None:
        self._server = server

    async def handle_RCPT(
        self, smtp: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self._server.refuse:
            return self._server.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, smtp: SMTP, session: Session, envelope: Envelope) -> str:
        server = self._server
        if server.refuse_content:
            return server.refuse_content
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        server.take(
            Received(
                sender=envelope.mail_from,
                recipients=list(envelope.rcpt_tos),
                content=envelope.content,
                secure=session.ssl is not None,
                authenticated=bool(session.authenticated),
            )
        )
        if server.drop_after_content:
            server.drop_after_content -= 1
            assert isinstance(smtp.transport, asyncio.Transport)
            smtp.transport.abort()
            return ""
        if server.hold or server.hold_one:
            server.hold_one = False
            server.holding.set()
            await smtp.loop.run_in_executor(None, server.release.wait, 30)
        return f"250 2.0.0 Ok: queued as {len(server.mails):06X}"


@contextmanager
def running(
    certificate: ServerCertificate, *, starttls: bool = True, auth: bool = True
) -> Iterator[SmtpServer]:
    """Run a server while the block runs."""
    server = SmtpServer(host="localhost", port=free_port(), certificate=certificate)

    def authenticate(
        smtp: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        if server.hold_login:
            server.release.wait(30)
        good = isinstance(data, LoginPassword) and (
            data.login == USER.encode() and data.password == PASSWORD.encode()
        )
        return AuthResult(success=good, handled=False)

    class Counting(SMTP):
        def connection_made(self, transport: Any) -> None:
            server.peers.add(transport.get_extra_info("peername")[:2])
            super().connection_made(transport)

    class Server(Controller):
        def factory(self) -> SMTP:
            return Counting(self.handler, **self.SMTP_kwargs)

    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": server.port}
    if starttls:
        options |= {"tls_context": certificate.server_context(), "require_starttls": True}
    if auth:
        options |= {
            "authenticator": authenticate,
            "auth_required": True,
            "auth_require_tls": starttls,
        }
    controller = Server(_Handler(server), **options)
    controller.start()
    server.peers.clear()  # the controller connects once itself, to see that it is up
    try:
        yield server
    finally:
        server.release.set()
        pools.close_all()  # a server ends when its connections have
        controller.stop()


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
