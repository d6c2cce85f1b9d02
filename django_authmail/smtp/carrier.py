"""Hand stored bytes to any backend that sends a message's own bytes: ours, or one of Django's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage as MimeMessage
from typing import Any

from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend

from django_authmail.message import Envelope
from django_authmail.metrics import sending
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from django_authmail.smtp.errors import failure_of, refusals_of
from django_authmail.staging import deliver_as_configured


def deliver(
    backend: BaseEmailBackend,
    envelope: Envelope,
    content: bytes,
    message_id: str,
    *,
    deadline_seconds: float,
) -> SendResult:
    """Hand over `content` and return the result; never raises for what a carrier does.

    Only our own SMTP backend keeps the deadline and knows the reply of each recipient. With one of
    Django's, a message is accepted whole or not at all.
    """
    own: Callable[..., SendResult] | None = getattr(backend, "deliver", None)
    if own is not None:
        return own(envelope, content, message_id, deadline_seconds=deadline_seconds)

    def foreign(envelope: Envelope, content: bytes) -> SendResult:
        return _deliver_by_django(backend, envelope, content, message_id)

    return deliver_as_configured(envelope, content, foreign)


def _deliver_by_django(
    backend: BaseEmailBackend, envelope: Envelope, content: bytes, message_id: str
) -> SendResult:
    started = time.monotonic()
    with sending() as record:
        try:
            sent = backend.send_messages([StoredMessage(envelope, content)])
        except Exception as error:  # a foreign backend may raise anything
            failure = failure_of(error)
            if failure.reason in (Reason.CONNECTION_LOST, Reason.SMTP_TIMEOUT):
                # It does not say whether the content had left, so the safe reading is that it had.
                failure = replace(failure, reason=Reason.OUTCOME_UNKNOWN, retry=Retry.UNKNOWN)
            refused = refusals_of(error)
            result = SendResult(message_id=message_id, failure=failure, refused=refused)
        else:
            result = _taken(envelope, message_id) if sent != 0 else _not_taken(message_id)
        record(result)
    return replace(result, duration_seconds=time.monotonic() - started)


def _taken(envelope: Envelope, message_id: str) -> SendResult:
    return SendResult(message_id=message_id, accepted=envelope.recipients)


def _not_taken(message_id: str) -> SendResult:
    failure = Failure(
        error_code=ErrorCode.UNKNOWN,
        reason=Reason.UNKNOWN,
        retry=Retry.LATER,
        detail="the mailer says that it sent nothing, and not why",
    )
    return SendResult(message_id=message_id, failure=failure)


class StoredMessage(EmailMultiAlternatives):
    """A Django message over stored bytes: `message()` gives them back as they are.

    Subject and bodies are there to be read (by tests, in `mail.outbox`); changing them changes
    nothing that is sent.
    """

    def __init__(self, envelope: Envelope, content: bytes) -> None:
        mime = message_from_bytes(content, _class=_StoredMime, policy=policy.SMTP)
        assert isinstance(mime, _StoredMime)  # noqa: S101 - the parser was told to make one
        mime.content = content
        text = mime.get_body(("plain",))
        html = mime.get_body(("html",))
        super().__init__(
            subject=str(mime["Subject"] or ""),
            body=text.get_content() if text else "",
            # The envelope's, not the header's: Django takes MAIL FROM from here.
            from_email=envelope.sender,
            to=list(envelope.recipients),
        )
        if html is not None:
            self.attach_alternative(html.get_content(), "text/html")
        self._mime = mime
        self._envelope = envelope

    def message(self, **options: Any) -> Any:  # each Django version has its own signature
        return self._mime

    def recipients(self) -> list[str]:
        return list(self._envelope.recipients)


class _StoredMime(MimeMessage):
    content = b""

    def as_bytes(self, *args: Any, **options: Any) -> bytes:
        return self.content
