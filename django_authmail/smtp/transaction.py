"""One transaction: its commands, its content, and what the server's replies make of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django_authmail.message import Envelope
from django_authmail.outcomes import ErrorCode, Failure, Reason, Refusal, Reply, Retry, SendResult
from django_authmail.smtp.errors import SmtpFailure, failure_of
from django_authmail.smtp.replies import Stage, classify

#: Commands in one write. Servers stop reading while their answers are not read (RFC 2920 3.1).
PIPELINE = 100


class Said:
    """What a server said in one transaction."""

    def __init__(self) -> None:
        self.sender: Reply | None = None
        self.recipients: list[Reply] = []
        self.final: Reply | None = None
        #: Content has left, and the server has not answered it: only it knows whether it took it.
        self.in_doubt = False

    @property
    def is_open(self) -> bool:
        """Whether sender and at least one recipient were accepted."""
        return (
            self.sender is not None
            and self.sender.is_positive
            and any(reply.is_positive for reply in self.recipients)
        )

    def take(self, replies: Iterator[Reply]) -> None:
        """Take the replies to MAIL and RCPT, in their order.

        Raises:
            SmtpFailure: one is a 421; the server is closing the connection (RFC 5321 3.8) and has
                taken nothing.
        """
        for reply in replies:
            stage = Stage.SENDER if self.sender is None else Stage.RECIPIENT
            if reply.code == 421:
                raise Refused(classify(reply, stage))
            if self.sender is None:
                self.sender = reply
            else:
                self.recipients.append(reply)

    def result(self, envelope: Envelope, message_id: str) -> SendResult:
        """Return the outcome for the message."""
        if self.sender is None or not self.sender.is_positive:
            reply = self.sender or Reply(code=0)
            return SendResult(
                message_id=message_id, failure=classify(reply, Stage.SENDER), reply=reply
            )
        pairs = zip(envelope.recipients, self.recipients, strict=True)
        accepted = tuple(address for address, reply in pairs if reply.is_positive)
        refused = self.refusals(envelope)
        if not accepted:
            return SendResult(message_id=message_id, failure=refused[0].failure, refused=refused)
        final = self.final or Reply(code=0)
        if not final.is_positive:
            failure = classify(final, Stage.CONTENT)
            if final.code == 421:
                raise Refused(failure)
            return SendResult(message_id=message_id, failure=failure, refused=refused, reply=final)
        return SendResult(
            message_id=message_id,
            accepted=accepted,
            refused=refused,
            reply=final,
            provider_id=final.text,
        )

    def refusals(self, envelope: Envelope) -> tuple[Refusal, ...]:
        """Return the recipients that were refused, so far."""
        return tuple(
            Refusal(address=address, failure=classify(reply, Stage.RECIPIENT))
            # Those who were not answered yet are not refused.
            for address, reply in zip(envelope.recipients, self.recipients, strict=False)
            if not reply.is_positive
        )

    def failure_of(self, error: Exception, envelope: Envelope) -> Failure:
        """Say what an error in the middle of the transaction means for the message."""
        if self.in_doubt and not isinstance(error, Refused):
            if self.sender is not None and not self.sender.is_positive:
                return classify(self.sender, Stage.SENDER)
            refused = self.refusals(envelope)
            if len(refused) == len(envelope.recipients):
                return refused[0].failure
        if isinstance(error, Refused) or not self.in_doubt:
            return failure_of(error, unexpected=Retry.LATER)
        timed_out = isinstance(error, TimeoutError)
        return Failure(
            error_code=ErrorCode.SMTP_TIMEOUT if timed_out else ErrorCode.SMTP_CONNECTION,
            reason=Reason.OUTCOME_UNKNOWN,
            retry=Retry.UNKNOWN,
            detail="the connection broke before the server answered the content",
        )


class Refused(SmtpFailure):
    """A refusal in so many words: whatever had left, it was not taken."""


def with_crlf(content: bytes) -> bytes:
    """Return `content` with every line end as CRLF, the last one included.

    RFC 5321 2.3.8: nothing else ends a line. A bare LF or CR that reaches a server could be read as
    a line end there, and what follows as commands ("SMTP smuggling").
    """
    if content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        return content if content.endswith(b"\r\n") else content + b"\r\n"
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return b"\r\n".join([*lines, b""])


def stuffed(content: bytes) -> bytes:
    """Return CRLF content as DATA carries it: dots doubled at line starts, ended by a lone one."""
    content = content.replace(b"\r\n.", b"\r\n..")
    return (b"." + content if content.startswith(b".") else content) + b".\r\n"


def groups(lines: list[str]) -> tuple[list[list[str]], list[str]]:
    """Return the commands in groups for one write each, the last one apart."""
    groups = [lines[i : i + PIPELINE] for i in range(0, len(lines), PIPELINE)]
    return groups[:-1], groups[-1]


def joined(lines: Sequence[str]) -> bytes:
    """Return the commands as they go over the wire."""
    return "\r\n".join([*lines, ""]).encode("ascii")


def no_bdat(reply: Reply) -> Failure:
    """Return the failure for a server that offers CHUNKING and refuses BDAT."""
    return Failure(
        error_code=ErrorCode.SMTP_CONNECTION,
        reason=Reason.CONNECTION_LOST,
        retry=Retry.LATER,
        reply=reply,
        detail="the server offers CHUNKING and refuses BDAT",
    )


def too_large(size: int, limit: str) -> Failure:
    """Return the failure for a mail over the SIZE that the server names (RFC 1870)."""
    return Failure(
        error_code=ErrorCode.RECIPIENT_REFUSED,
        reason=Reason.MESSAGE_TOO_LARGE,
        retry=Retry.NEVER,
        detail=f"the mail has {size} octets, the server takes {limit}",
    )


def no_reset(reply: Reply) -> Failure:
    """Return the failure of a connection that cannot begin another transaction."""
    return Failure(
        error_code=ErrorCode.SMTP_CONNECTION,
        reason=Reason.CONNECTION_LOST,
        retry=Retry.LATER,
        reply=reply,
        detail="the server refused RSET",
    )
