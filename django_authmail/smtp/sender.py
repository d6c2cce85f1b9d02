"""Send mail through one SMTP account, with neither Django settings nor a database.

>>> from django_authmail import SmtpConfig, SmtpSender
>>> SmtpConfig(host="smtp.example.com", user="team@example.com", password="app-password").sender
'team@example.com'
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.message import Attachment, AuthMessage, Envelope
from django_authmail.metrics import sending
from django_authmail.outcomes import ErrorCode, Failure, Reason, Reply, Retry, SendResult
from django_authmail.plaintext import text_of
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.pools import pool_for
from django_authmail.smtp.wire import Deadline
from django_authmail.staging import deliver_as_configured


class SmtpSender:
    """Sends through `config`'s account, over the warm connections of its process. Thread-safe.

    `max_retries` further attempts are made, with the same Message-ID, where the server surely
    did not take the message and may do so later; before the n-th, `backoff_seconds[n]` seconds
    (the last one from then on). The default is none: retries over time belong to the outbox.
    """

    def __init__(
        self,
        config: SmtpConfig,
        max_retries: int = 0,
        backoff_seconds: Sequence[float] = (1, 5, 25),
    ) -> None:
        if max_retries < 0 or (max_retries and not backoff_seconds):
            raise ImproperlyConfigured("max_retries must be 0 or more, with a backoff_seconds each")
        self.config = config
        self.max_retries = max_retries
        self.backoff_seconds = tuple(backoff_seconds)

    def send(
        self,
        to: str | Iterable[str],
        subject: str,
        html_body: str,
        text_body: str | None = None,
        cc: Iterable[str] | None = None,
        bcc: Iterable[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
    ) -> SendResult:
        """Send one mail and return its result, which is true when it was accepted.

        Without `text_body`, a text part is made from the HTML; an empty `html_body` makes a mail of
        text only. Refusals, failures and unsafe
        values are results; only a sender without a From address raises (ImproperlyConfigured).
        """
        if not self.config.sender:
            raise ImproperlyConfigured(
                "SmtpConfig has no From address: give from_addr, or a user that is an address"
            )
        try:
            message = AuthMessage(
                to=(to,) if isinstance(to, str) else tuple(to),
                cc=tuple(cc or ()),
                bcc=tuple(bcc or ()),
                subject=subject,
                text_body=text_of(html_body) if text_body is None else text_body,
                html_body=html_body,
                from_email=self.config.sender,
                attachments=tuple(attachments or ()),
            )
        except UnsafeHeader as error:
            return refused_here(ErrorCode.CRLF_IN_HEADER, Reason.CRLF_IN_HEADER, str(error))
        except InvalidAddress as error:
            return refused_here(ErrorCode.RECIPIENT_REFUSED, Reason.BAD_RECIPIENT, str(error))
        return self.deliver(message.envelope, message.as_bytes(), message.message_id)

    @property
    def from_email(self) -> str:
        """The From of mails that name none; see `SmtpConfig`."""
        return self.config.sender

    def deliver_message(self, message: AuthMessage) -> SendResult:
        """Hand over one of our own messages now, if it is done while its content is of use."""
        seconds = self.config.deadline
        if message.expires_in is not None:
            seconds = min(seconds, message.expires_in.total_seconds())
        return self.deliver(
            message.envelope, message.as_bytes(), message.message_id, deadline_seconds=seconds
        )

    def deliver(
        self,
        envelope: Envelope,
        content: bytes,
        message_id: str,
        *,
        deadline_seconds: float | None = None,
    ) -> SendResult:
        """Hand over finished bytes and return the result; never raises for what a server does.

        `deadline_seconds` bounds each attempt, whatever the server does; by default the
        configuration's.
        """
        seconds = self.config.deadline if deadline_seconds is None else deadline_seconds

        def deliver(envelope: Envelope, content: bytes) -> SendResult:
            return self._deliver(envelope, content, message_id, seconds)

        return deliver_as_configured(envelope, content, deliver)

    def _deliver(
        self, envelope: Envelope, content: bytes, message_id: str, seconds: float
    ) -> SendResult:
        number = 1
        while True:
            result = attempt(self.config, envelope, content, message_id, seconds)
            if number > 1:
                result = replace(result, attempts=number)
            failure = result.failure
            if failure is None or failure.retry is not Retry.LATER or number > self.max_retries:
                return result
            time.sleep(self.backoff_seconds[min(number, len(self.backoff_seconds)) - 1])
            number += 1


def attempt(
    config: SmtpConfig,
    envelope: Envelope,
    content: bytes,
    message_id: str,
    deadline_seconds: float,
) -> SendResult:
    """Make one counted and timed attempt on a connection of the pool."""
    started = time.monotonic()
    with sending() as record:
        content = config.header_lines + content
        if config.capture_dir:
            result = _capture(config.capture_dir, envelope, content, message_id)
        else:
            result = _hand_over(config, envelope, content, message_id, Deadline(deadline_seconds))
        record(result)
    return replace(result, duration_seconds=time.monotonic() - started)


def _hand_over(
    config: SmtpConfig, envelope: Envelope, content: bytes, message_id: str, deadline: Deadline
) -> SendResult:
    pool = pool_for(config)
    may_replace = True
    while True:
        try:
            connection = pool.borrow(deadline)
        except SmtpFailure as error:
            return SendResult(message_id=message_id, failure=error.failure)
        was_used = connection.was_idle
        try:
            result = connection.transact(envelope, content, message_id, deadline)
        except SmtpFailure as error:
            pool.discard(connection, error.failure)
            if may_replace and _is_of_the_connection(error.failure, was_used):
                may_replace = False
                continue
            failure = replace(error.failure, where=config.server)
            return SendResult(message_id=message_id, failure=failure, refused=error.refused)
        except BaseException:
            pool.discard(connection)  # a time limit of gevent, or Ctrl-C: no place may be lost
            raise
        pool.give_back(connection)
        return result


def _is_of_the_connection(failure: Failure, was_used: bool) -> bool:
    """Whether another connection may do at once what this one surely did not.

    A warm connection may have been ended by the server, or be one that it wants to end (421). One
    that was just opened has no such excuse, but for a server that offers BDAT and cannot do it.
    """
    if failure.retry is not Retry.LATER:
        return False
    refused_bdat = failure.reason is Reason.CONNECTION_LOST and failure.reply is not None
    return was_used or refused_bdat


def _capture(folder: str, envelope: Envelope, content: bytes, message_id: str) -> SendResult:
    # A Message-ID may come from a caller: only what cannot leave the folder becomes its name.
    name = "".join(c if c.isalnum() or c in "-_.@" else "_" for c in message_id.strip("<>"))
    # Both are readable for this user alone: the mails have codes.
    path = Path(folder) / f"{name.lstrip('.')[:200] or 'message'}.eml"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
    except OSError as error:
        failure = Failure(
            error_code=ErrorCode.UNKNOWN,
            reason=Reason.UNKNOWN,
            retry=Retry.CARRIER,
            detail=f"capture_dir: {error}",
        )
        return SendResult(message_id=message_id, failure=failure)
    return SendResult(
        message_id=message_id,
        accepted=envelope.recipients,
        reply=Reply(code=250, text="captured"),
        provider_id="captured",
    )


def refused_here(error_code: ErrorCode, reason: Reason, detail: str) -> SendResult:
    """Return the result of a message that cannot be sent, and that no server was asked about."""
    failure = Failure(error_code=error_code, reason=reason, retry=Retry.NEVER, detail=detail)
    return SendResult(message_id="", failure=failure)
