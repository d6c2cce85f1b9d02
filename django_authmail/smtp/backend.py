"""Django's email backend on top of the SMTP core.

Django's own class is subclassed for the resolution of options on every version and for
`isinstance` only; open, close and send_messages go to the core.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend

from django_authmail.conf import conf
from django_authmail.exceptions import MailerUnusable
from django_authmail.guards import envelope_address
from django_authmail.message import AuthMessage, Envelope
from django_authmail.outcomes import SendResult
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.dialogue import Connection, Deadline, open_connection
from django_authmail.smtp.errors import SmtpFailure, exception_for, failure_of
from django_authmail.smtp.sender import SmtpSender, attempt

# What Django's SMTP backend takes, and what this one adds.
_DJANGO_OPTIONS = frozenset(
    "host port username password use_tls use_ssl timeout ssl_keyfile ssl_certfile fail_silently "
    "alias _ignore_unknown_kwargs".split()
)
_OWN_OPTIONS = frozenset(
    "allow_cleartext_auth ca_file capture_dir deadline debug from_addr local_hostname".split()
)


class EmailBackend(DjangoEmailBackend):
    """Sends through one SMTP account: verified TLS, bounded in time, with typed outcomes.

    Takes the options of Django's SMTP backend and, by keyword: `ca_file`, `local_hostname`,
    `deadline` (seconds for a whole hand-over), `allow_cleartext_auth`, `capture_dir`, `debug`,
    `from_addr`. Without an option of its own, the AUTHMAIL_SMTP_* setting counts.

    After `send_messages`, each message has an `authmail_result` (`outcomes.SendResult`).
    """

    alias: str | None = None  # Django before 6.1 knows no alias

    def __init__(self, *, alias: str | None = None, **options: Any) -> None:
        self._refuse_unknown(options, alias)
        own = {name: options.pop(name) for name in _OWN_OPTIONS & options.keys()}
        super().__init__(alias=alias, **options)
        self.alias = alias
        self._own_options = own
        # Replaces the lock and connection of Django's class: ours is not smtplib's.
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self.config = self._build_config()

    def open(self) -> bool | None:
        """Connect, unless connected. True for a new connection, None for a silenced failure."""
        with self._lock:
            if self._connection is not None and self._connection.is_open:
                return False
            if self.config.capture_dir:
                return False
            try:
                self._connection = open_connection(self.config, Deadline(self.config.deadline))
            except SmtpFailure as error:
                if self.fail_silently:
                    return None
                raise exception_for(SendResult(message_id="", failure=failure_of(error))) from error
            return True

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send each message and return how many were accepted by the server.

        A refused message does not stop the others. Raises the first failure at the end
        (`DeliveryFailed`), unless `fail_silently`; the results of all are on the messages.
        """
        messages = [message for message in email_messages if message.recipients()]
        first: SendResult | None = None
        sent = 0
        with self._lock:
            opened_here = bool(messages) and (self._connection is None)
            try:
                for message in messages:
                    result = self._send_one(message)
                    message.authmail_result = result  # type: ignore[attr-defined] # documented addition
                    sent += result.sent
                    if first is None and not result.sent:
                        first = result
            finally:
                if opened_here:
                    self.close()
        if first is not None and not self.fail_silently:
            raise exception_for(first)
        return sent

    def deliver(
        self,
        envelope: Envelope,
        content: bytes,
        message_id: str,
        *,
        deadline_seconds: float | None = None,
    ) -> SendResult:
        """Hand over finished bytes; the result says what the server said. Raises nothing for it."""
        return SmtpSender(self.config).deliver(
            envelope, content, message_id, deadline_seconds=deadline_seconds
        )

    def deliver_message(self, message: AuthMessage) -> SendResult:
        """Hand over one of our own messages now."""
        return self.deliver(message.envelope, message.as_bytes(), message.message_id)

    def _send_one(self, message: EmailMessage) -> SendResult:
        mime = message.message()
        recipients = dict.fromkeys(envelope_address(a, "to") for a in message.recipients())
        envelope = Envelope(
            sender=envelope_address(message.from_email, "from_email"),
            recipients=tuple(recipients),
        )
        content = mime.as_bytes()
        message_id = str(mime["Message-ID"] or "")
        if not self.config.capture_dir and not (self._connection and self._connection.is_open):
            try:
                self._connection = open_connection(self.config, Deadline(self.config.deadline))
            except SmtpFailure as error:
                return SendResult(message_id=message_id, failure=error.failure)
        return attempt(
            self.config, envelope, content, message_id, self.config.deadline, self._connection
        )

    def _build_config(self) -> SmtpConfig:
        own = {
            "ca_file": conf.smtp_ca_file,
            "allow_cleartext_auth": conf.smtp_allow_cleartext_auth,
            "capture_dir": conf.capture_dir,
            "debug": conf.smtp_debug,
            "deadline": conf.send_deadline.total_seconds(),
            **self._own_options,
        }
        try:
            return SmtpConfig(
                host=self.host,
                port=int(self.port),
                user=self.username or "",
                password=self.password or "",
                use_tls=bool(self.use_tls),
                use_ssl=bool(self.use_ssl),
                certfile=str(self.ssl_certfile or ""),
                keyfile=str(self.ssl_keyfile or ""),
                # Django's default is to wait for ever.
                timeout=10.0 if self.timeout is None else float(self.timeout),
                **own,
            )
        except ImproperlyConfigured as error:
            raise MailerUnusable(f"{_where(self.alias)}: {error}") from None

    @staticmethod
    def _refuse_unknown(options: dict[str, Any], alias: str | None) -> None:
        known = _DJANGO_OPTIONS | _OWN_OPTIONS
        for name in options.keys() - known:
            near = get_close_matches(name, known, n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise MailerUnusable(f"{_where(alias)}: unknown option {name!r}{meant}")


def _where(alias: str | None) -> str:
    return f"MAILERS[{alias!r}]" if alias else "EMAIL_*"
