"""The mail backend that queues: what a project sends is recorded, and sent by a worker.

It takes the mail of every application (`send_mail`, password reset views, allauth) as Django's
own objects, and that of our notifiers as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error

from django_authmail import mailers
from django_authmail.busy import at_work, working
from django_authmail.conf import conf
from django_authmail.exceptions import MailerUnusable
from django_authmail.extras import require
from django_authmail.logs import describe
from django_authmail.message import AuthMessage, PlainMail, Priority
from django_authmail.notifiers.errors import withholds_values
from django_authmail.outcomes import ErrorCode, Failure, Queued, Reason, Retry
from django_authmail.smtp.plain import built

if TYPE_CHECKING:
    from django_authmail.models import Message

logger = logging.getLogger(__name__)

_OPTIONS = frozenset(("deliver_using", "fail_silently", "priority"))


class OutboxBackend(BaseEmailBackend):
    """Record each mail instead of sending it; a worker sends it.

    Handed over inside of a transaction, a mail leaves after its commit, and never if it is rolled
    back. Afterwards each message has an `authmail_result` (`outcomes.Queued`).

    `deliver_using` names the mailer that the mail leaves by, or several, in the order in which
    they are tried; AUTHMAIL_DELIVER_USING by default. `priority` is "high" or "low", for all mail
    of this mailer; by default a notifier's mail has its own, and any other is "low".

    Raises:
        MailerUnusable: an option that does not exist or cannot be used, or the outbox itself
            cannot: the app is not in INSTALLED_APPS.
        MissingExtra: what the extra `outbox` brings is not installed.
    """

    #: Who hands it a mail needs the database for that mail.
    records_mail = True

    def __init__(
        self,
        *,
        alias: str | None = None,
        # Django before 6.1 hands over these two with every mail, mostly None.
        username: str | None = None,
        password: str | None = None,
        _ignore_unknown_kwargs: Iterable[str] = (),
        **options: Any,  # checked below, by name
    ) -> None:
        super().__init__()
        self.alias = alias
        where = mailers.where(alias)
        if username or password:
            raise MailerUnusable(
                f"{where}: auth_user and auth_password have no effect on mail that is queued; the "
                "mailer that it leaves by has the login"
            )
        mailers.refuse_unknown(self.unknown_options(options), alias)
        self.fail_silently = bool(options.get("fail_silently", False))
        self._deliver_using = _names(options.get("deliver_using", ()), where)
        self._priority = _priority(options.get("priority"), where)
        if not apps.is_installed("django_authmail"):
            raise MailerUnusable(
                f"{where}: {mailers.OUTBOX} records mail in the database; add 'django_authmail' "
                "to INSTALLED_APPS and run: manage.py migrate"
            )
        require("cryptography", extra="outbox", why=mailers.OUTBOX)

    @withholds_values
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Record each message that has recipients, and return how many were.

        A message that cannot be built does not stop the others: its error is raised at the end. If
        the database fails, none is recorded. With `fail_silently` both are logged instead.
        """
        stops = at_work()
        messages = [
            message
            for message in email_messages
            if message.recipients() and not (stops and _is_error_report(message))
        ]
        with working():
            return self._record(messages)

    def deliver_message(self, message: AuthMessage) -> Queued:
        """Record one of our own messages."""
        with working():
            [row] = self._submit([message])
        return _queued(row)

    def _record(self, messages: list[EmailMessage]) -> int:
        unusable: Exception | None = None
        mails: list[tuple[EmailMessage, PlainMail]] = []
        for message in messages:
            try:
                envelope, content, message_id = built(message)
            except Exception as error:  # whatever a class of the project raises in `message()`
                unusable = unusable or error
            else:
                mail = PlainMail(envelope=envelope, content=content, message_id=message_id)
                mails.append((message, mail))
        try:
            rows = self._submit([mail for _, mail in mails])
        except Error as error:
            self._fail(error)
            return 0
        for (message, _), row in zip(mails, rows, strict=True):
            message.authmail_result = _queued(row)  # type: ignore[attr-defined] # documented
        if unusable is not None:
            self._fail(unusable)
        return len(rows)

    def _submit(self, mails: Sequence[AuthMessage | PlainMail]) -> list[Message]:
        from django_authmail.outbox import queue  # needs the app, see __init__

        if self._priority is not None:
            mails = [replace(mail, priority=self._priority) for mail in mails]
        return queue.submit_many(mails, deliver_using=self._deliver_using)

    def _fail(self, error: Exception) -> None:
        if not self.fail_silently:
            raise error
        logger.error("email.not_recorded error=%s", describe(error))

    @staticmethod
    def unknown_options(options: Iterable[str]) -> dict[str, str]:
        """Return the names that are no option, each with the nearest that is one, or nothing."""
        return mailers.unknown_options(options, _OPTIONS)


def _names(given: Any, where: str) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    if not isinstance(names, list | tuple) or not all(isinstance(n, str) and n for n in names):
        raise MailerUnusable(f"{where}: deliver_using is the name of a mailer, or a list of names")
    return tuple(names)


def _priority(given: Any, where: str) -> Priority | None:
    if given is None:
        return None
    try:
        return Priority(given)
    except ValueError:
        words = " or ".join(repr(str(word)) for word in Priority)
        raise MailerUnusable(f"{where}: priority is {words}, not {given!r}") from None


def _queued(row: Message) -> Queued:
    failure = None
    if row.is_final:
        failure = Failure(
            error_code=ErrorCode(row.error_code), reason=Reason(row.reason), retry=Retry.NEVER
        )
    return Queued(id=str(row.id), message_id=row.message_id, failure=failure)


def _is_error_report(message: EmailMessage) -> bool:
    return {str(address).lower() for address in message.recipients()} <= conf.admins
