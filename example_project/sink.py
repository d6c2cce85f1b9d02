"""A mail server that keeps what it is given: `python -m example_project.sink --dir FOLDER`.

It speaks SMTP on a free loopback port, wants STARTTLS and AUTH as a real submission server does,
and writes each mail to FOLDER/mails. FOLDER/sink.json says how to reach it, once it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import logging
import secrets
import signal
import ssl
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from email.utils import formatdate
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from example_project.certificates import make_certificate
from example_project.files import write_atomically

READY_FILE = "sink.json"
MAILS_FOLDER = "mails"

logger = logging.getLogger("example_project.sink")


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkAddress:
    """Where a sink listens, and what it wants to hear."""

    host: str
    port: int
    user: str
    password: str
    ca_file: str


class KeepingHandler:
    """Writes each mail to a folder, below the trace lines of a mail server (RFC 5321 4.4)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the mail and take responsibility for it."""
        self._count += 1
        name = f"{time.time_ns():020d}-{self._count:04d}"
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        client = f"{session.host_name} ([{session.peer[0] if session.peer else ''}])"
        trace = [f"Return-Path: <{envelope.mail_from}>"]
        trace += [f"Delivered-To: {address}" for address in envelope.rcpt_tos]
        trace += [
            f"Received: from {client} by localhost (demo sink)",
            f"\twith ESMTPSA ({_cipher(session)}) id {name};",
            f"\t{formatdate()}",
        ]
        head = "\r\n".join(trace).encode("utf-8", "replace") + b"\r\n"
        write_atomically(self._folder / f"{name}.eml", head + content)
        logger.info("kept mail %s (%d bytes)", name, len(content))
        return f"250 2.0.0 kept as {name}"


def _cipher(session: Session) -> str:
    cipher = (session.ssl or {}).get("cipher") or ("no TLS", "no TLS", 0)
    return f"{cipher[1]} cipher {cipher[0]}"


def make_server(
    handler: KeepingHandler,
    *,
    user: str,
    password: str,
    tls: ssl.SSLContext,
    loop: asyncio.AbstractEventLoop,
) -> SMTP:
    """Return the protocol of one connection."""

    def authenticate(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        known = isinstance(data, LoginPassword) and all(
            [
                hmac.compare_digest(data.login, user.encode()),
                hmac.compare_digest(data.password, password.encode()),
            ]
        )
        return AuthResult(success=known, handled=False)

    return SMTP(
        handler,
        hostname="localhost",
        ident="demo sink",
        tls_context=tls,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
        loop=loop,
    )


async def serve(folder: Path, *, host: str, port: int) -> None:
    """Listen until SIGTERM or SIGINT."""
    mails = folder / MAILS_FOLDER
    mails.mkdir(mode=0o700, parents=True, exist_ok=True)
    certificate = make_certificate(folder)
    tls = certificate.server_context()
    user, password = "demo@example.com", secrets.token_urlsafe(18)
    loop = asyncio.get_running_loop()
    handler = KeepingHandler(mails)
    server = await loop.create_server(
        lambda: make_server(handler, user=user, password=password, tls=tls, loop=loop), host, port
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Not `async with`: since Python 3.12 that waits for the connections that clients keep warm.
    bound_port = server.sockets[0].getsockname()[1]
    address = SinkAddress(
        host=host, port=bound_port, user=user, password=password, ca_file=str(certificate.ca_file)
    )
    write_atomically(folder / READY_FILE, json.dumps(asdict(address)).encode())
    logger.info("listening on %s:%d", host, bound_port)
    await stop.wait()
    server.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the sink as a process."""
    parser = argparse.ArgumentParser(prog="python -m example_project.sink", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="folder to keep the mails in")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0, the default, is a free one")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # aiosmtpd logs the dialogue, and at WARNING only a deprecation that it causes itself.
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    asyncio.run(serve(options.dir.resolve(), host=options.host, port=options.port))


if __name__ == "__main__":
    main()
