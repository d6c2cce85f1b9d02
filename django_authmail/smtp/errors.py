"""Failures as exceptions: for the dialogue inside, and for callers of Django's mail API.

Django's `send_mail` documents smtplib's exceptions, so what the backend raises derives from the
smtplib class that its callers catch, and from AuthmailError. `exception_for` chooses it.
"""

from __future__ import annotations

import smtplib
import socket
import ssl

from django.utils import translation

from django_authmail.exceptions import AuthmailError
from django_authmail.hints import hint
from django_authmail.outcomes import ErrorCode, Failure, Reason, Refusal, Reply, Retry, SendResult
from django_authmail.smtp.replies import Stage, classify

# No connection, or a server that said no.
_NOT_SENT = (
    ConnectionRefusedError,
    socket.gaierror,
    ssl.SSLCertVerificationError,
    smtplib.SMTPNotSupportedError,
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPResponseException,
)


class SmtpFailure(AuthmailError):
    """Raised inside the SMTP core when a hand-over ends; becomes a `SendResult` at its edge."""

    def __init__(self, failure: Failure, *, refused: tuple[Refusal, ...] = ()) -> None:
        self.failure = failure
        #: Recipients that were refused before it ended.
        self.refused = refused
        self.code = str(failure.error_code)
        super().__init__(failure.detail or str(failure.reason))


class DeliveryFailed(AuthmailError, smtplib.SMTPException):
    """Raised by the email backend when a message was not accepted; `result` says why.

    Its text ends with what to do.
    """

    def __init__(self, result: SendResult) -> None:
        self.result = result
        self.code = result.error_code
        # Not super(): smtplib's classes further up take a code and a message each.
        Exception.__init__(self, _text(result))

    def __str__(self) -> str:
        return _text(self.result)


class LoginFailed(DeliveryFailed, smtplib.SMTPAuthenticationError):
    """Raised when the server refuses the account."""

    def __init__(self, result: SendResult) -> None:
        DeliveryFailed.__init__(self, result)
        _set_reply(self, result)


class RecipientsRefused(DeliveryFailed, smtplib.SMTPRecipientsRefused):
    """Raised when the server refuses every recipient."""

    def __init__(self, result: SendResult) -> None:
        DeliveryFailed.__init__(self, result)
        self.recipients = {
            refusal.address: (reply.code, str(reply).encode())
            for refusal in result.refused
            if (reply := refusal.failure.reply)
        }


class MessageRefused(DeliveryFailed, smtplib.SMTPDataError):
    """Raised when the server refuses the sender or the content."""

    def __init__(self, result: SendResult) -> None:
        DeliveryFailed.__init__(self, result)
        _set_reply(self, result)


class ConnectionFailed(DeliveryFailed, smtplib.SMTPServerDisconnected):
    """Raised when the server cannot be reached, or the connection breaks."""


class TimedOut(DeliveryFailed, TimeoutError):
    """Raised when the server does not answer in time."""


class UnsafeMessage(DeliveryFailed, ValueError):
    """Raised when a header or an address of the message cannot be sent safely."""


class TlsFailed(DeliveryFailed, smtplib.SMTPNotSupportedError):
    """Raised when the connection cannot be made safe: no STARTTLS, or a bad certificate."""


def exception_for(result: SendResult) -> DeliveryFailed:
    """Return the exception that says what `result` says."""
    failure = result.failure
    if failure is None:
        raise ValueError("the message was accepted, there is nothing to raise")
    if failure.error_code is ErrorCode.SMTP_AUTH_FAILED:
        return LoginFailed(result)
    if failure.error_code is ErrorCode.SMTP_TIMEOUT:
        return TimedOut(result)
    if failure.error_code is ErrorCode.STARTTLS_UNSUPPORTED or failure.reason in (
        Reason.CERTIFICATE_INVALID,
        Reason.TLS_ERROR,
    ):
        return TlsFailed(result)
    if failure.error_code is ErrorCode.SMTP_CONNECTION:
        return ConnectionFailed(result)
    if failure.reason is Reason.CRLF_IN_HEADER or (
        failure.reply is None and failure.reason is Reason.BAD_RECIPIENT
    ):
        return UnsafeMessage(result)
    if result.refused:
        return RecipientsRefused(result)
    if failure.reply is not None:
        return MessageRefused(result)
    return DeliveryFailed(result)


def failure_of(error: BaseException, *, unexpected: Retry = Retry.NEVER) -> Failure:
    """Say what an exception of the socket, of TLS or of a foreign carrier means.

    Only for errors before the content left: after that the outcome is unknown, whatever the error.
    `unexpected` is what an error that no table has means for trying again.
    """
    match error:
        case SmtpFailure():
            return error.failure
        case DeliveryFailed(result=SendResult(failure=Failure() as failure)):
            return failure
        case smtplib.SMTPAuthenticationError():
            return classify(_reply(error), Stage.AUTH)
        case smtplib.SMTPRecipientsRefused() if error.recipients:
            # The last: smtplib asks no further where a 421 ends the connection.
            return refusals_of(error)[-1].failure
        case smtplib.SMTPSenderRefused():
            return classify(_reply(error), Stage.SENDER)
        case smtplib.SMTPDataError():
            return classify(_reply(error), Stage.CONTENT)
        case smtplib.SMTPResponseException():
            return classify(_reply(error), Stage.CONNECT)
        case smtplib.SMTPNotSupportedError():
            return _failure(ErrorCode.STARTTLS_UNSUPPORTED, Reason.STARTTLS_UNSUPPORTED, error)
        case ssl.SSLCertVerificationError():
            return _failure(
                ErrorCode.SMTP_CONNECTION, Reason.CERTIFICATE_INVALID, error, Retry.CARRIER
            )
        case TimeoutError():
            return _failure(ErrorCode.SMTP_TIMEOUT, Reason.SMTP_TIMEOUT, error, Retry.LATER)
        case ssl.SSLError():
            return _failure(ErrorCode.SMTP_CONNECTION, Reason.TLS_ERROR, error, Retry.LATER)
        case socket.gaierror():
            return _failure(ErrorCode.SMTP_CONNECTION, Reason.DNS_ERROR, error, Retry.LATER)
        case smtplib.SMTPServerDisconnected() | ConnectionResetError() | BrokenPipeError():
            return _failure(ErrorCode.SMTP_CONNECTION, Reason.CONNECTION_LOST, error, Retry.LATER)
        # After every smtplib class: each of them is an OSError too.
        case OSError() if not isinstance(error, smtplib.SMTPException):
            return _failure(
                ErrorCode.SMTP_CONNECTION, Reason.CONNECTION_REFUSED, error, Retry.LATER
            )
        case _:
            return Failure(
                error_code=ErrorCode.UNKNOWN,
                reason=Reason.UNKNOWN,
                retry=unexpected,
                # Only the class: the text of a foreign error may hold an address or the content.
                detail=type(error).__name__,
            )


def is_surely_not_sent(error: BaseException) -> bool:
    """Say whether a mailer that raised `error` handed over nothing; in doubt, it did.

    A connection that breaks, a time-out and what no table has may come after the content.
    """
    return isinstance(error, _NOT_SENT)


def refusals_of(error: BaseException) -> tuple[Refusal, ...]:
    """Return what a foreign carrier's exception says of each recipient; empty if it does not."""
    if not isinstance(error, smtplib.SMTPRecipientsRefused):
        return ()
    return tuple(
        Refusal(
            address=address,
            failure=classify(Reply(code=code, text=_decode(text)), Stage.RECIPIENT),
        )
        for address, (code, text) in error.recipients.items()
    )


def _failure(
    error_code: ErrorCode, reason: Reason, error: BaseException, retry: Retry = Retry.CARRIER
) -> Failure:
    return Failure(error_code=error_code, reason=reason, retry=retry, detail=str(error))


def _reply(error: smtplib.SMTPResponseException) -> Reply:
    return Reply(code=error.smtp_code, text=_decode(error.smtp_error))


def _decode(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _set_reply(error: smtplib.SMTPResponseException, result: SendResult) -> None:
    reply = result.failure.reply if result.failure else None
    error.smtp_code = reply.code if reply else -1
    error.smtp_error = str(reply).encode() if reply else b""


def _text(result: SendResult) -> str:
    failure = result.failure
    if failure is None:
        return "accepted"
    where = f": {failure.where}" if failure.where else ""
    said = f": the server said {str(failure.reply)!r}" if failure.reply else ""
    detail = f": {failure.detail}" if failure.detail and not failure.reply else ""
    # In English, as all of it: whoever reads it is not the visitor whose language is active.
    with translation.override("en"):
        advice = hint(failure.reason)
        return f"{failure.error_code} ({failure.reason}){where}{said}{detail}. {advice}"
