"""One SMTP connection: connect, TLS, login, and one transaction per message (RFC 5321).

Every step is bounded twice: by the timeout for one command, and by the deadline of the whole
hand-over, so that a server that trickles one octet a second cannot hold a caller.
"""

from __future__ import annotations

import base64
import hmac
import logging
import socket
import ssl
import time
from dataclasses import dataclass
from functools import lru_cache

from django_authmail.hashes import mask
from django_authmail.message import Envelope
from django_authmail.outcomes import ErrorCode, Failure, Reason, Refusal, Reply, Retry, SendResult
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import SmtpFailure, failure_of
from django_authmail.smtp.replies import Stage, classify, parse_reply

logger = logging.getLogger(__name__)

#: RFC 5321 4.5.3.1.5 allows reply lines of 512 octets; servers with long texts are common.
MAX_REPLY_LINE = 4096
MAX_REPLY_LINES = 100


class Deadline:
    """A point in monotonic time that a whole hand-over must not pass."""

    __slots__ = ("_end",)

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def within(self, seconds: float) -> float:
        """Return `seconds`, or what is left if that is less.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the hand-over took longer than its deadline")
        return min(seconds, left)


@dataclass(frozen=True, slots=True)
class _Content:
    """The content of a message, in the form in which DATA carries it."""

    wire: bytes

    @classmethod
    def of(cls, content: bytes) -> _Content:
        # RFC 5321 2.3.8: CRLF and nothing else ends a line. A bare LF or CR that reaches a server
        # could be read as a line end there, and what follows as commands ("SMTP smuggling").
        lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        stuffed = (b"." + line if line.startswith(b".") else line for line in lines)
        return cls(b"\r\n".join([*stuffed, b".", b""]))


class Connection:
    """An open, logged-in connection. Make one with `open_connection`; one borrower at a time."""

    def __init__(self, config: SmtpConfig, sock: socket.socket, deadline: Deadline) -> None:
        self._config = config
        self._sock = sock
        self._deadline = deadline
        self._buffer = b""
        self.extensions: dict[str, str] = {}
        self.is_open = True
        #: What happened while connecting, for people who test a configuration.
        self.tls_version = ""
        self.logged_in_with = ""

    # -- the steps -------------------------------------------------------------------------

    def transact(self, envelope: Envelope, content: bytes, message_id: str) -> SendResult:
        """Hand over one message and return what the server said, per recipient.

        Raises:
            SmtpFailure: the connection cannot be used any more. Its failure says whether the
                server may have taken the message (`Retry.UNKNOWN`).
        """
        options = f" SIZE={len(content)}" if "SIZE" in self.extensions else ""
        if not content.isascii() and "8BITMIME" in self.extensions:
            options += " BODY=8BITMIME"  # RFC 6152; our own mails are 7 bit, a caller's may not be
        sender = self._command(f"MAIL FROM:<{envelope.sender}>{options}", Stage.SENDER)
        if not sender.is_positive:
            self._end_unless_open(sender, Stage.SENDER)
            return self._nothing_sent(classify(sender, Stage.SENDER), message_id)

        accepted: list[str] = []
        refused: list[Refusal] = []
        for address in envelope.recipients:
            reply = self._command(f"RCPT TO:<{address}>", Stage.RECIPIENT)
            if reply.is_positive:
                accepted.append(address)
            else:
                self._end_unless_open(reply, Stage.RECIPIENT)
                refused.append(Refusal(address=address, failure=classify(reply, Stage.RECIPIENT)))
        if not accepted:
            return self._nothing_sent(refused[0].failure, message_id, tuple(refused))

        go_ahead = self._command("DATA", Stage.CONTENT)
        if go_ahead.code != 354:
            self._end_unless_open(go_ahead, Stage.CONTENT)
            return self._nothing_sent(classify(go_ahead, Stage.CONTENT), message_id)
        final = self._send_content(_Content.of(content))
        if not final.is_positive:
            self._end_unless_open(final, Stage.CONTENT)
            return self._nothing_sent(
                classify(final, Stage.CONTENT), message_id, tuple(refused), reply=final
            )
        return SendResult(
            message_id=message_id,
            accepted=tuple(accepted),
            refused=tuple(refused),
            reply=final,
            provider_id=final.text,
        )

    def set_deadline(self, deadline: Deadline) -> None:
        """Bound what follows by another deadline: one connection serves several hand-overs."""
        self._deadline = deadline

    def close(self) -> None:
        """Say QUIT and hang up, without waiting for the answer."""
        try:
            self._sock.settimeout(1.0)
            self._sock.sendall(b"QUIT\r\n")
        except OSError:
            pass  # it is gone already, which is what was wanted
        finally:
            self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        self.is_open = False
        self._sock.close()

    def _greet(self) -> None:
        greeting = self._read_reply()
        self._log("S: %s", greeting)
        if not greeting.is_positive:
            raise SmtpFailure(classify(greeting, Stage.CONNECT))

    def _hello(self) -> None:
        name = self._config.local_hostname or _own_name(self._sock)
        reply, lines = self._command_lines(f"EHLO {name}")
        if not reply.is_positive:
            # A server without EHLO offers neither TLS nor a login: nothing to fall back for.
            raise SmtpFailure(classify(reply, Stage.CONNECT))
        self.extensions = {}
        for line in lines[1:]:
            keyword, _, value = line.replace("AUTH=", "AUTH ").partition(" ")
            self.extensions[keyword.upper()] = value

    def _start_tls(self) -> None:
        if "STARTTLS" not in self.extensions:
            raise SmtpFailure(_no_starttls("the server does not offer STARTTLS"))
        reply = self._command("STARTTLS", Stage.CONNECT)
        if reply.code != 220:
            raise SmtpFailure(_no_starttls(f"the server refused STARTTLS: {reply}"))
        if self._buffer:
            # Somebody on the path appended replies to be read as the server's own after the
            # handshake (CVE-2021-38371 and its kind).
            raise SmtpFailure(
                Failure(
                    error_code=ErrorCode.SMTP_CONNECTION,
                    reason=Reason.TLS_ERROR,
                    retry=Retry.CARRIER,
                    detail="data arrived between STARTTLS and the TLS handshake",
                )
            )
        self._wrap()
        # RFC 3207 4.2: what was said before TLS does not count.
        self._hello()

    def _wrap(self) -> None:
        self._sock.settimeout(self._deadline.within(self._config.timeout))
        config = self._config
        context = _ssl_context(config.ca_file, config.certfile, config.keyfile)
        self._sock = context.wrap_socket(self._sock, server_hostname=config.host)
        self.tls_version = self._sock.version() or ""

    def _login(self) -> None:
        offered = self.extensions.get("AUTH", "").upper().split()
        user, password = self._config.user, str(self._config.password)
        # Inside TLS, PLAIN needs one round trip less; without it, CRAM-MD5 hides the password.
        preferred = ("PLAIN", "LOGIN", "CRAM-MD5")
        if not self.tls_version:
            preferred = ("CRAM-MD5", "PLAIN", "LOGIN")
        method = next((name for name in preferred if name in offered), None)
        if method is None:
            said = " ".join(offered) or "no login at all"
            raise SmtpFailure(
                Failure(
                    error_code=ErrorCode.SMTP_AUTH_FAILED,
                    reason=Reason.AUTH_FAILED,
                    retry=Retry.CARRIER,
                    detail=f"the server offers {said}; known are {', '.join(preferred)}",
                )
            )
        if method == "PLAIN":
            reply = self._auth("AUTH PLAIN " + _base64(f"\0{user}\0{password}"))
        elif method == "LOGIN":
            reply = self._auth(f"AUTH LOGIN {_base64(user)}")
            if reply.code == 334:
                reply = self._auth(_base64(password))
        else:
            reply = self._auth("AUTH CRAM-MD5")
            if reply.code == 334:
                digest = hmac.new(password.encode(), _unbase64(reply.text), "md5").hexdigest()
                reply = self._auth(_base64(f"{user} {digest}"))
        if reply.code != 235:
            raise SmtpFailure(classify(reply, Stage.AUTH))
        self.logged_in_with = method

    # -- what the server said ---------------------------------------------------------------

    def _nothing_sent(
        self,
        failure: Failure,
        message_id: str,
        refused: tuple[Refusal, ...] = (),
        reply: Reply | None = None,
    ) -> SendResult:
        # The transaction is half open; the next message on this connection needs a clean one.
        try:
            self._command("RSET", Stage.CONNECT)
        except (OSError, SmtpFailure):
            self.abort()  # the refusal stands all the same
        return SendResult(message_id=message_id, failure=failure, refused=refused, reply=reply)

    def _end_unless_open(self, reply: Reply, stage: Stage) -> None:
        if reply.code == 421:  # RFC 5321 3.8: the server is closing the connection
            raise SmtpFailure(classify(reply, stage))

    # -- octets -----------------------------------------------------------------------------

    def _command(self, line: str, stage: Stage) -> Reply:
        return self._command_lines(line)[0]

    def _command_lines(self, line: str) -> tuple[Reply, list[str]]:
        self._log("C: %s", _shown(line))
        self._write(line.encode("ascii") + b"\r\n")
        lines = self._read_lines()
        reply = _parsed(lines)
        self._log("S: %s", reply)
        return reply, [text[4:].decode("ascii", "replace") for text in lines]

    def _auth(self, line: str) -> Reply:
        # Not logged: the line is the password, and the answer may be a challenge.
        self._write(line.encode("ascii") + b"\r\n")
        return self._read_reply()

    def _send_content(self, content: _Content) -> Reply:
        try:
            self._write(content.wire)
            reply = self._read_reply()
        except (OSError, SmtpFailure) as error:
            # From here on the server may have all of it: whether it took it, only it knows.
            timed_out = isinstance(error, TimeoutError)
            raise SmtpFailure(
                Failure(
                    error_code=ErrorCode.SMTP_TIMEOUT if timed_out else ErrorCode.SMTP_CONNECTION,
                    reason=Reason.OUTCOME_UNKNOWN,
                    retry=Retry.UNKNOWN,
                    detail="the connection broke before the server answered the content",
                )
            ) from None
        self._log("S: %s", reply)
        return reply

    def _write(self, octets: bytes) -> None:
        # Not sendall: under TLS its timeout starts again with every record.
        view = memoryview(octets)
        while view:
            self._sock.settimeout(self._deadline.within(self._config.timeout))
            view = view[self._sock.send(view) :]

    def _read_reply(self) -> Reply:
        return _parsed(self._read_lines())

    def _read_lines(self) -> list[bytes]:
        lines: list[bytes] = []
        # One timeout for the whole reply, not for each octet of it.
        patience = Deadline(self._config.timeout)
        while True:
            end = self._buffer.find(b"\n")
            if end < 0:
                if len(self._buffer) > MAX_REPLY_LINE:
                    raise _garbage("a line of the server's answer does not end")
                self._sock.settimeout(self._deadline.within(patience.within(3600.0)))
                octets = self._sock.recv(8192)
                if not octets:
                    raise ConnectionResetError("the server closed the connection")
                self._buffer += octets
                continue
            line, self._buffer = self._buffer[:end].rstrip(b"\r"), self._buffer[end + 1 :]
            lines.append(line)
            if line[3:4] != b"-":
                return lines
            if len(lines) > MAX_REPLY_LINES:
                raise _garbage("the server's answer does not end")

    def _log(self, text: str, value: object) -> None:
        if self._config.debug:
            logger.debug(text, value)


def open_connection(config: SmtpConfig, deadline: Deadline) -> Connection:
    """Connect, make it safe and log in.

    Raises:
        SmtpFailure: with what went wrong; nothing is left open.
    """
    connection: Connection | None = None
    try:
        sock = socket.create_connection(
            (config.host, config.port), timeout=deadline.within(config.timeout)
        )
        # Without it the EHLO after the handshake waits for an ACK: a whole round trip (Nagle).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(config, sock, deadline)
        if config.use_ssl:
            connection._wrap()
        connection._greet()
        connection._hello()
        if config.use_tls:
            connection._start_tls()
        if config.user:
            connection._login()
    except (OSError, SmtpFailure) as error:
        if connection is not None:
            connection.abort()
        raise SmtpFailure(failure_of(error)) from None
    return connection


def _parsed(lines: list[bytes]) -> Reply:
    try:
        return parse_reply(lines)
    except ValueError as error:
        raise _garbage(str(error)) from None


def _garbage(detail: str) -> SmtpFailure:
    return SmtpFailure(
        Failure(
            error_code=ErrorCode.SMTP_CONNECTION,
            reason=Reason.CONNECTION_LOST,
            retry=Retry.LATER,
            detail=detail,
        )
    )


def _no_starttls(detail: str) -> Failure:
    return Failure(
        error_code=ErrorCode.STARTTLS_UNSUPPORTED,
        reason=Reason.STARTTLS_UNSUPPORTED,
        retry=Retry.CARRIER,
        detail=detail,
    )


@lru_cache(maxsize=32)
def _ssl_context(ca_file: str, certfile: str, keyfile: str) -> ssl.SSLContext:
    # Loading the system's authorities takes 20 ms of CPU: once per configuration, not per mail.
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certfile:
        context.load_cert_chain(certfile, keyfile or None)
    return context


def _own_name(sock: socket.socket) -> str:
    # Not getfqdn(): it asks the resolver and can block for seconds.
    name = socket.gethostname()
    if "." in name and name.isascii():
        return name
    # RFC 5321 4.1.3: a host without a domain name gives its address.
    address = sock.getsockname()[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _shown(line: str) -> str:
    verb, colon, address = line.partition(":<")
    return f"{verb}:<{mask(address.partition('>')[0])}>" if colon else line


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _garbage("the server's login challenge is no base64") from None
