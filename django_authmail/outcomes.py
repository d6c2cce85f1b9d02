"""The words and values for what became of a hand-over to a mail server.

`ErrorCode` has the eight coarse words that callers of the API rely on; `Reason` is the finer word.
The table that maps server replies to both is `smtp.replies`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ErrorCode(StrEnum):
    """Why a message or recipient was not accepted, coarsely (contract, section 6)."""

    CRLF_IN_HEADER = "crlf_in_header"
    SMTP_AUTH_FAILED = "smtp_auth_failed"
    SMTP_CONNECTION = "smtp_connection"
    SMTP_TIMEOUT = "smtp_timeout"
    SMTP_TRANSIENT = "smtp_transient"
    RECIPIENT_REFUSED = "recipient_refused"
    STARTTLS_UNSUPPORTED = "starttls_unsupported"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why, finely (contract, section 6)."""

    CRLF_IN_HEADER = "crlf_in_header"
    DNS_ERROR = "dns_error"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_LOST = "connection_lost"
    TLS_ERROR = "tls_error"
    CERTIFICATE_INVALID = "certificate_invalid"
    STARTTLS_UNSUPPORTED = "starttls_unsupported"
    AUTH_FAILED = "auth_failed"
    APP_PASSWORD_REQUIRED = "app_password_required"  # noqa: S105 - the name of a reason
    AUTH_REQUIRED = "auth_required"
    BASIC_AUTH_DISABLED = "basic_auth_disabled"
    AUTH_TEMPORARY = "auth_temporary"
    SMTP_TIMEOUT = "smtp_timeout"
    OUTCOME_UNKNOWN = "outcome_unknown"
    SERVER_BUSY = "server_busy"
    GREYLISTED = "greylisted"
    RATE_LIMITED_BY_SERVER = "rate_limited_by_server"
    TOO_MANY_RECIPIENTS = "too_many_recipients"
    MAILBOX_FULL = "mailbox_full"
    QUOTA_EXCEEDED = "quota_exceeded"
    BAD_RECIPIENT = "bad_recipient"
    MAILBOX_DISABLED = "mailbox_disabled"
    BAD_SENDER = "bad_sender"
    MESSAGE_TOO_LARGE = "message_too_large"
    POLICY_REJECTED = "policy_rejected"
    SENDER_AUTHENTICATION_FAILED = "sender_authentication_failed"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNKNOWN = "unknown"
    # Reasons that no server gives: what this package found out itself.
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    ERASED = "erased"
    SEAL_BROKEN = "seal_broken"
    ROW_BROKEN = "row_broken"
    MAILER_UNUSABLE = "mailer_unusable"
    MAILER_UNAVAILABLE = "mailer_unavailable"
    PAUSED = "paused"


class Retry(StrEnum):
    """What a failure says about trying again later (in the background)."""

    #: The same hand-over may succeed later.
    LATER = "later"
    #: It will not: the server has decided, or the input is wrong.
    NEVER = "never"
    #: The carrier is misconfigured, not the message: it waits, and no attempt is counted.
    CARRIER = "carrier"
    #: The server may have taken it. Whether to send again is the notifier's policy.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A server's reply: code (RFC 5321 4.2), enhanced code (RFC 3463, may be empty) and text."""

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def is_positive(self) -> bool:
        return 200 <= self.code < 300

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something was not accepted, and what that means for trying again."""

    error_code: ErrorCode
    reason: Reason
    retry: Retry
    reply: Reply | None = None
    #: Human detail for operators; holds no address, code or password.
    detail: str = ""
    #: Server and step, such as `smtp.example.com:587, login`; empty where no server was asked.
    where: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One recipient that the server refused."""

    address: str = field(repr=False)
    failure: Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What is answered to who sends or queues a message."""

    message_id: str
    #: Why it was not sent, or will not be; None when it was, or waits to be.
    failure: Failure | None = None

    @property
    def error_code(self) -> str:
        """One of the eight codes; empty without a failure."""
        return str(self.failure.error_code) if self.failure else ""

    @property
    def reason(self) -> str:
        """The finer word; empty without a failure."""
        return str(self.failure.reason) if self.failure else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResult(_Answer):
    """What became of one hand-over. True when at least one recipient was accepted.

    `accepted` means that the next server took responsibility (250 after the content). It is no
    promise of delivery.
    """

    #: Envelope addresses that the server took responsibility for.
    accepted: tuple[str, ...] = field(default=(), repr=False)
    refused: tuple[Refusal, ...] = ()
    #: The server's reply to the content.
    reply: Reply | None = None
    #: What the server said after its final 250: the queue id that its support asks for.
    provider_id: str = ""
    attempts: int = 1
    duration_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not self.accepted and self.failure is None:
            raise ValueError("a message that nobody took needs a failure that says why")

    def __bool__(self) -> bool:
        return self.sent

    @property
    def sent(self) -> bool:
        return bool(self.accepted)

    @property
    def unknown(self) -> bool:
        """Whether the server may have taken the message without being able to say so."""
        return self.failure is not None and self.failure.retry is Retry.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued(_Answer):
    """What a door that queues answers: the message is recorded. True when it will be sent.

    It is not where nobody is left to send it to: all its recipients are suppressed.
    """

    id: str

    def __bool__(self) -> bool:
        return self.failure is None
