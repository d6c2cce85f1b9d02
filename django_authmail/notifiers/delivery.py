"""Hand an AuthMessage to any mailer of a project, ours or another's."""

from __future__ import annotations

import time
from email import message_from_bytes
from email.policy import default
from typing import Protocol, runtime_checkable

from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from django_authmail.message import AuthMessage
from django_authmail.notifiers.errors import without_frames
from django_authmail.outcomes import ErrorCode, Failure, Queued, Reason, Retry, SendResult
from django_authmail.staging import HEADER, override_recipients

# What EmailMessage.message() writes itself from its own attributes.
_DJANGO_WRITES = {"from", "to", "cc", "reply-to", "subject", "mime-version"}


@runtime_checkable
class TakesAuthMessages(Protocol):
    """A mailer of this package: it takes the message as it is and says what became of it."""

    def deliver_message(self, message: AuthMessage) -> SendResult | Queued: ...


def hand_over(message: AuthMessage, mailer: BaseEmailBackend) -> SendResult | Queued:
    """Send or queue `message` by `mailer`.

    A mailer that is not of this package is given a Django message with the same headers, and
    says no more than how many it sent; what it raises is passed on.
    """
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
        mail.attach(attachment.filename, attachment.content, attachment.content_type)
    return mail
