"""Hand an AuthMessage to any mailer of a project, ours or another's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from email import message_from_bytes
from email.policy import default
from typing import Protocol, runtime_checkable

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends import locmem
from django.core.mail.backends.base import BaseEmailBackend

from django_authmail import mailers
from django_authmail.conf import conf
from django_authmail.hashes import log_hash
from django_authmail.logs import log_line
from django_authmail.message import Attachment, AuthMessage
from django_authmail.notifiers.errors import without_frames
from django_authmail.outcomes import ErrorCode, Failure, Queued, Reason, Retry, SendResult
from django_authmail.plaintext import text_of
from django_authmail.staging import HEADER, override_recipients

logger = logging.getLogger(__name__)

# What EmailMessage.message() writes itself from its own attributes.
_DJANGO_WRITES = {"from", "to", "cc", "reply-to", "subject", "mime-version"}


@runtime_checkable
class TakesAuthMessages(Protocol):
    """A mailer of this package: it takes the message as it is and says what became of it."""

    def deliver_message(self, message: AuthMessage) -> SendResult | Queued: ...


class Sender(Protocol):
    """What a notifier sends by: `SmtpSender`, or the project's mailers."""

    @property
    def from_email(self) -> str:
        """The From of what a notifier builds."""
        ...

    def deliver_message(self, message: AuthMessage) -> SendResult | Queued: ...

    def send(
        self,
        to: str | Iterable[str],
        subject: str,
        html_body: str,
        text_body: str | None = None,
        cc: Iterable[str] | None = None,
        bcc: Iterable[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
    ) -> SendResult | Queued: ...


class ByMailer:
    """The mailer `default` of the project as a sender, looked up for each mail."""

    @property
    def from_email(self) -> str:
        return conf.default_from_email

    def deliver_message(self, message: AuthMessage) -> SendResult | Queued:
        return hand_over(message, mailers.get_mailer())

    def send(
        self,
        to: str | Iterable[str],
        subject: str,
        html_body: str,
        text_body: str | None = None,
        cc: Iterable[str] | None = None,
        bcc: Iterable[str] | None = None,
        attachments: Iterable[Attachment] | None = None,
    ) -> SendResult | Queued:
        """Send one mail. Without `text_body`, a text part is made from the HTML."""
        message = AuthMessage(
            to=(to,) if isinstance(to, str) else tuple(to),
            cc=tuple(cc or ()),
            bcc=tuple(bcc or ()),
            subject=subject,
            text_body=text_of(html_body) if text_body is None else text_body,
            html_body=html_body,
            from_email=self.from_email,
            attachments=tuple(attachments or ()),
        )
        return self.deliver_message(message)


#: What became of a message: its outcome, or what the mailer raised.
Ending = SendResult | Queued | Exception


class Admission(Protocol):
    """Counts a message against limits, or raises; what it returns is told how it ended."""

    def __call__(self, message: AuthMessage, *, is_recorded: bool) -> Callable[[Ending], None]: ...


_admissions: list[Admission] = []


def ask_before_sending(admission: Admission) -> None:
    """Ask `admission` from now on before a mail is handed to a mailer of the project.

    What it knows is in a database, which nothing here needs: the app makes the connection.
    """
    if admission not in _admissions:
        _admissions.append(admission)


def hand_over(message: AuthMessage, mailer: BaseEmailBackend | Sender) -> SendResult | Queued:
    """Send or queue `message` by `mailer`.

    A mailer that is not of this package is given a Django message with the same headers, and
    says no more than how many it sent; what it raises is passed on.

    Raises:
        RecipientCooldown: the app is installed, and the recipient had enough of these for now.
    """
    if not isinstance(mailer, BaseEmailBackend):
        return mailer.deliver_message(message)  # a sender, which is nobody's mailer
    if isinstance(mailer, locmem.EmailBackend):
        return _hand_over(message, mailer)  # a test's: it fills no inbox
    is_recorded = getattr(mailer, "records_mail", False)
    admitted = [admission(message, is_recorded=is_recorded) for admission in _admissions]
    try:
        result = _hand_over(message, mailer)
    except Exception as error:
        for tell in admitted:
            tell(error)
        raise
    for tell in admitted:
        tell(result)
    return result


def log_not_sent(message: AuthMessage, result: SendResult | Queued) -> None:
    """Log why nobody took `message`: a caller that drops the result learns it nowhere else."""
    log_line(
        logger,
        logging.ERROR,
        "notifier.not_sent",
        type=message.kind,
        error_code=result.error_code,
        reason=result.reason,
        message_id=message.message_id,
        to_hash=_hash_of(message.envelope.recipients[0]),
    )


def _hash_of(address: str) -> str:
    """Return the hash for a log line; empty without a key, in a program that is no project."""
    try:
        return log_hash(address)
    except ImproperlyConfigured:  # SECRET_KEY is empty
        return ""


def _hand_over(message: AuthMessage, mailer: BaseEmailBackend) -> SendResult | Queued:
    if isinstance(mailer, TakesAuthMessages):
        return mailer.deliver_message(message)
    started = time.perf_counter()
    try:
        sent = mailer.send_messages([django_message(message)])
    except Exception as error:
        # The frames below, smtplib's among them, hold the content: an error page or tracker that
        # shows their variables would show the code. The error says what happened without them.
        raise without_frames(error) from None
    failure = Failure(
        error_code=ErrorCode.UNKNOWN,
        reason=Reason.UNKNOWN,
        retry=Retry.NEVER,
        detail=f"{type(mailer).__module__}.{type(mailer).__qualname__} reports nothing sent",
    )
    return SendResult(
        message_id=message.message_id,
        accepted=message.envelope.recipients if sent else (),
        failure=None if sent else failure,
        duration_seconds=time.perf_counter() - started,
    )


def django_message(message: AuthMessage) -> EmailMultiAlternatives:
    """Return `message` as Django's own class, with the headers that it would have on the wire."""
    on_the_wire = message_from_bytes(message.as_bytes(), policy=default)
    headers = {
        name: str(value)
        for name, value in on_the_wire.items()
        if name.lower() not in _DJANGO_WRITES and not name.lower().startswith("content-t")
    }
    override = override_recipients()
    if override:
        headers[HEADER] = ", ".join(message.envelope.recipients)
    mail = EmailMultiAlternatives(
        subject=message.subject,
        body=message.text_body,
        from_email=message.from_email,
        to=override or message.to,
        cc=() if override else message.cc,
        bcc=() if override else message.bcc,
        reply_to=message.reply_to,
        headers=headers,
    )
    if message.html_body:
        mail.attach_alternative(message.html_body, "text/html")
    for attachment in message.attachments:
        # One that the HTML shows is beside it instead of under it (multipart/related), which Django
        # has no place for. Mail programs show it all the same.
        mail.attach(mailers.mime_part(attachment.as_part()))
    return mail
