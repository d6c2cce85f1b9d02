"""One SMTP connection: greeting, TLS, login, and one transaction per message (RFC 5321).

How a transaction goes depends on what the server offers. What is in doubt, when the connection
breaks in the middle, follows from it:

    mode         round trips   in doubt after
    BDAT         1             the write: content leaves together with the envelope (RFC 3030)
    pipelined    2             the 354 was answered with the content (RFC 2920)
    sequential   3 + 1 per     as pipelined
                 recipient
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import StrEnum

from django_authmail.hashes import mask
from django_authmail.message import Envelope
from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry, SendResult
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import SmtpFailure, failure_of
from django_authmail.smtp.login import log_in
from django_authmail.smtp.replies import Stage, classify
from django_authmail.smtp.transaction import (
    Said,
    groups,
    joined,
    no_bdat,
    no_reset,
    stuffed,
    too_large,
    with_crlf,
)
from django_authmail.smtp.wire import Deadline, Wire, bounded, garbage
from django_authmail.tracing import current

logger = logging.getLogger(__name__)

#: After so many idle seconds the content waits for the 354: a connection that a router has
#: forgotten then shows before anything is in doubt.
DOUBTFUL_AFTER = 30.0

# Servers that offered CHUNKING and refused BDAT, by host and port: a process asks each once.
_without_bdat: set[tuple[str, int]] = set()


class Mode(StrEnum):
    """How envelope and content go over the wire."""

    BDAT = "BDAT"
    PIPELINED = "pipelined"
    SEQUENTIAL = "sequential"


class Connection:
    """An open, logged-in connection. Make one with `open_connection`; one borrower at a time."""

    def __init__(self, config: SmtpConfig, wire: Wire) -> None:
        self._config = config
        self._wire = wire
        self.extensions: dict[str, str] = {}
        #: Monotonic times: opened, last heard of, last message.
        self.opened_at = self.used_at = self.mailed_at = time.monotonic()
        #: Messages accepted, and refusals in a row: servers slow down who is refused often.
        self.mails = 0
        self.refusals = 0
        self._needs_reset = False
        #: Whether it has waited in a pool: the server may have ended it meanwhile.
        self.was_idle = False
        #: How it was logged in; empty without a login. For people who test a configuration.
        self.logged_in_with = ""
        #: What it is at while it gets ready, in words for people.
        self.step = ""

    @property
    def is_open(self) -> bool:
        return self._wire.is_open

    @property
    def tls_version(self) -> str:
        """`TLSv1.3` or alike; empty in clear text."""
        return self._wire.tls_version

    @property
    def mode(self) -> Mode:
        """How the next message would go over the wire."""
        if "PIPELINING" not in self.extensions:
            return Mode.SEQUENTIAL
        config = self._config
        if (
            config.chunking
            and "CHUNKING" in self.extensions
            and (config.host, config.port) not in _without_bdat
            and time.monotonic() - self.used_at < DOUBTFUL_AFTER
        ):
            return Mode.BDAT
        return Mode.PIPELINED

    def is_stale(self) -> bool:
        """Tell, without a round trip, whether the server has ended the connection."""
        return self._wire.is_stale()

    def transact(
        self, envelope: Envelope, content: bytes, message_id: str, deadline: Deadline
    ) -> SendResult:
        """Hand over one message and return what the server said, per recipient.

        Raises:
            SmtpFailure: the connection cannot be used any more. Its failure says whether the
                server may have taken the message (`Retry.UNKNOWN`).
        """
        self._wire.deadline = deadline
        content = with_crlf(content)
        limit = self.extensions.get("SIZE", "")
        if limit.isdecimal() and 0 < int(limit) < len(content):
            return SendResult(message_id=message_id, failure=too_large(len(content), limit))
        said = Said()
        try:
            if self._needs_reset:
                reply = self._command("RSET")
                if not reply.is_positive:
                    raise SmtpFailure(no_reset(reply))
            lines = self._envelope_lines(envelope, content)
            match self.mode:
                case Mode.BDAT:
                    self._by_bdat(said, lines, content)
                case Mode.PIPELINED:
                    self._pipelined(said, lines, content)
                case Mode.SEQUENTIAL:
                    self._sequential(said, lines, content)
            result = said.result(envelope, message_id)
        except Exception as error:
            # Not only what the network does: a worker's time limit, or a bug, must not hide whether
            # the server may have the mail.
            self.abort()
            refused = said.refusals(envelope)
            raise SmtpFailure(said.failure_of(error, envelope), refused=refused) from None
        self.used_at = self.mailed_at = time.monotonic()
        self.mails += 1
        self.refusals = self.refusals + 1 if result.refused or not result.sent else 0
        # The transaction may be half open. The next message begins with a RSET; this one's caller
        # does not wait for it.
        self._needs_reset = not result.sent
        return result

    def keep_alive(self, deadline: Deadline) -> None:
        """Say NOOP, so that the server does not end an idle connection.

        Raises:
            SmtpFailure: it has ended it.
        """
        self._wire.deadline = deadline
        try:
            reply = self._command("NOOP")
            if not reply.is_positive:
                raise SmtpFailure(classify(reply, Stage.CONNECT))
        except Exception as error:
            self.abort()
            raise SmtpFailure(failure_of(error)) from None
        self.used_at = time.monotonic()

    def quit(self, deadline: Deadline) -> None:
        """Say QUIT and hang up when the server has answered, and so counts one connection less."""
        self._wire.deadline = deadline
        with suppress(OSError, SmtpFailure):
            self._command("QUIT")
        self.abort()

    def close(self) -> None:
        """Say QUIT and hang up, without waiting for the answer."""
        if self.is_open:
            self._wire.say_and_hang_up(b"QUIT\r\n")

    def abort(self) -> None:
        """Hang up at once, without a word."""
        self._wire.hang_up()

    # -- getting ready -----------------------------------------------------------------------

    def _prepare(self) -> None:
        config = self._config
        if config.use_ssl:
            self.step = "TLS handshake"
            self._wire.start_tls()
        self.step = "greeting"
        greeting = self._read()
        if not greeting.is_positive:
            raise SmtpFailure(classify(greeting, Stage.CONNECT))
        self._hello()
        if config.use_tls:
            self._start_tls()
        if config.user:
            self.step = "login"
            self.logged_in_with = log_in(self._wire, config, self.extensions.get("AUTH", ""))

    def _hello(self) -> None:
        config = self._config
        self.step = "EHLO"
        name = config.local_hostname or _own_name(self._wire.own_address())
        self._write_lines([f"EHLO {name}"])
        reply, lines = self._wire.read()
        self._log("S", reply)
        if reply.code >= 500 and not (config.use_tls or config.use_ssl or config.user):
            # RFC 5321 3.2. A server without EHLO offers neither TLS nor a login: whoever wants
            # one of them has nothing to fall back for.
            reply, lines = self._command(f"HELO {name}"), []
        if not reply.is_positive:
            raise SmtpFailure(classify(reply, Stage.CONNECT))
        self.extensions = {}
        for line in lines[1:]:
            text = line[4:].decode("ascii", "replace").replace("AUTH=", "AUTH ")
            keyword, _, value = text.partition(" ")
            if keyword.upper() == "AUTH":
                # Some servers say it twice, once in each of its two forms.
                value = f"{self.extensions.get('AUTH', '')} {value}"
            self.extensions[keyword.upper()] = value

    def _start_tls(self) -> None:
        self.step = "STARTTLS"
        if "STARTTLS" not in self.extensions:
            if self._config.opportunistic:
                return
            raise SmtpFailure(_no_starttls("the server does not offer STARTTLS"))
        reply = self._command("STARTTLS")
        if reply.code != 220:
            raise SmtpFailure(_no_starttls(f"the server refused STARTTLS: {reply}"))
        self._wire.start_tls()
        # RFC 3207 4.2: what was said before TLS does not count.
        self._hello()

    # -- one message -------------------------------------------------------------------------

    def _envelope_lines(self, envelope: Envelope, content: bytes) -> list[str]:
        options = f" SIZE={len(content)}" if "SIZE" in self.extensions else ""
        if not content.isascii() and "8BITMIME" in self.extensions:
            options += " BODY=8BITMIME"  # RFC 6152; our own mails are 7 bit, a caller's may not be
        sender = self._config.envelope_sender or envelope.sender
        return [
            f"MAIL FROM:<{sender}>{options}",
            *(f"RCPT TO:<{address}>" for address in envelope.recipients),
        ]

    def _by_bdat(self, said: Said, lines: list[str], content: bytes) -> None:
        early, last = groups(lines)
        for group in early:
            self._write_lines(group)
            said.take(self._replies(len(group)))
        self._log_lines([*last, f"BDAT {len(content)} LAST"])
        octets = joined([*last, f"BDAT {len(content)} LAST"]) + content
        self._wire.deadline.within(1)
        said.in_doubt = True
        self._wire.write(octets)
        said.take(self._replies(len(last)))
        final = said.final = self._read_last()
        if final.is_positive and final.enhanced.startswith("2.1."):
            # RFC 3463 3.2: a word on an address, so the replies are out of step, and the one to
            # the content is still to come.
            raise garbage("the answer to the content speaks of an address")
        said.in_doubt = False
        if said.is_open and final.code in (500, 502, 503, 504):
            # It offers CHUNKING and does not do it. The octets may have been read as commands, so
            # this connection is of no use any more; DATA gets another one.
            _without_bdat.add((self._config.host, self._config.port))
            raise SmtpFailure(no_bdat(final))

    def _pipelined(self, said: Said, lines: list[str], content: bytes) -> None:
        early, last = groups(lines)
        for group in early:
            self._write_lines(group)
            said.take(self._replies(len(group)))
        self._write_lines([*last, "DATA"])
        said.take(self._replies(len(last)))
        self._go_on(said, self._read(), content)

    def _sequential(self, said: Said, lines: list[str], content: bytes) -> None:
        for line in lines:
            said.take(iter([self._command(line)]))
            if said.sender is not None and not said.sender.is_positive:
                return
        if said.is_open:
            self._go_on(said, self._command("DATA"), content)

    def _go_on(self, said: Said, go_ahead: Reply, content: bytes) -> None:
        if go_ahead.code != 354:
            if go_ahead.is_positive:
                # No content has left, so this is no acceptance: the replies are out of step.
                raise garbage(f"the server answered DATA with {go_ahead.code}")
            said.final = go_ahead
            return
        if not said.is_open:
            # RFC 2920 3.1: told to go on although nobody was accepted, send nothing but the end.
            try:
                self._wire.write(b".\r\n")
                self._read()
            except (OSError, SmtpFailure):
                self.abort()  # the refusals stand all the same
            return
        octets = stuffed(content)
        self._wire.deadline.within(1)
        said.in_doubt = True
        self._wire.write(octets)
        # RFC 5321 4.5.3.2.6 has the client wait ten minutes here: while a server works on a mail,
        # giving up makes a duplicate. All that is left of the deadline is the server's.
        said.final = self._read_last()
        said.in_doubt = False

    # -- octets ------------------------------------------------------------------------------

    def _command(self, line: str) -> Reply:
        self._write_lines([line])
        return self._read()

    def _write_lines(self, lines: Sequence[str]) -> None:
        self._log_lines(lines)
        self._wire.write(joined(lines))

    def _read_last(self) -> Reply:
        reply = self._read(patience=self._wire.deadline.left())
        if reply.is_positive and self._wire.is_out_of_step:
            # One answer too many: which of them was to the content, nobody can say.
            raise garbage("the server gave more answers than it was asked for")
        return reply

    def _replies(self, count: int) -> Iterator[Reply]:
        for _ in range(count):
            yield self._read()

    def _read(self, *, patience: float | None = None) -> Reply:
        reply, _ = self._wire.read(patience=patience)
        self._log("S", reply)
        return reply

    def _log_lines(self, lines: Sequence[str]) -> None:
        if self._config.debug:
            for line in lines:
                verb, colon, address = line.partition(":<")
                shown = f"{verb}:<{mask(address.partition('>')[0])}>" if colon else line
                self._log("C", shown)

    def _log(self, who: str, text: object) -> None:
        if self._config.debug:
            # In front, so that the lines of one request are found among those of others.
            origin = " ".join(filter(None, current()))
            logger.debug("%s%s: %s", f"[{origin}] " if origin else "", who, text)


def open_connection(config: SmtpConfig, deadline: Deadline) -> Connection:
    """Connect, make it safe and log in.

    Raises:
        SmtpFailure: with what went wrong; nothing is left open.
    """
    wire: Wire | None = None
    connection: Connection | None = None
    step = "connecting"
    try:
        if config.token_provider is not None:
            step = "access token"
            # Before the server's own patience begins; cached, all but once an hour.
            bounded(config.token_provider.token, deadline)
            step = "connecting"
        wire = Wire(config, deadline)
        connection = Connection(config, wire)
        connection._prepare()
    except BaseException as error:
        if wire is not None:
            wire.hang_up()
        if not isinstance(error, Exception):
            raise
        step = connection.step if connection is not None else step
        failure = failure_of(error, unexpected=Retry.CARRIER)
        raise SmtpFailure(replace(failure, where=f"{config.server}, {step}")) from None
    return connection


def _no_starttls(detail: str) -> Failure:
    return Failure(
        error_code=ErrorCode.STARTTLS_UNSUPPORTED,
        reason=Reason.STARTTLS_UNSUPPORTED,
        retry=Retry.CARRIER,
        detail=detail,
    )


def _own_name(address: str) -> str:
    # Not getfqdn(): it asks the resolver and can block for seconds.
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    # RFC 5321 4.1.3: a host without a domain name gives its address.
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
