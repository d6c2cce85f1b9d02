"""Send a test mail and show, step by step, how far it came."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from contextlib import nullcontext
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.base import BaseEmailBackend
from django.core.management.base import CommandError
from django.utils import translation
from django.utils.translation import gettext as _

from django_authmail import mailers
from django_authmail.conf import conf
from django_authmail.exceptions import AuthmailError
from django_authmail.hints import hint
from django_authmail.management.database import DatabaseCommand
from django_authmail.message import AuthMessage
from django_authmail.notifiers import registry
from django_authmail.notifiers.languages import LOCALES, choose_locale
from django_authmail.outcomes import ErrorCode, Failure, Reason, SendResult
from django_authmail.previews.samples import made_up_links
from django_authmail.smtp import EmailBackend
from django_authmail.smtp.carrier import deliver
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.dialogue import Connection, open_connection
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.wire import Deadline

#: A mail without any template: text, and nothing else that could be wrong.
PLAIN = "plain"

_TLS_STEPS = {"STARTTLS", "TLS handshake"}
_TLS_REASONS = {Reason.TLS_ERROR, Reason.CERTIFICATE_INVALID, Reason.STARTTLS_UNSUPPORTED}


class Command(DatabaseCommand):
    help = (
        "Send a test mail at once, past the queue, and show how far it came: connection, TLS, "
        "login, and the server's answer. Ends with 1 if any mail was not accepted."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", nargs="*", help="who gets it; one mail for each")
        parser.add_argument("--to", action="append", default=[], help="the same, as an option")
        parser.add_argument("--using", default="", help="mailer; default: AUTHMAIL_DELIVER_USING")
        parser.add_argument(
            "--kind",
            choices=(*registry.kinds(), PLAIN),
            default="otp",
            help="which mail, with sample values: a kind of this project, or plain text",
        )
        parser.add_argument(
            "--locale", choices=LOCALES, help="language of the mail and of this report"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        addresses = [*options["address"], *options["to"]]
        if not addresses:
            raise CommandError("Name at least one address: manage.py sendtestmail you@example.com")
        locale = options["locale"]
        with translation.override(locale) if locale else nullcontext():
            failed = 0
            for address in addresses:
                failed += not self._send(address, options["using"], options["kind"])
            if failed:
                counts = {"failed": failed, "all": len(addresses)}
                raise CommandError(_("%(failed)d of %(all)d not accepted") % counts)

    def _send(self, address: str, using: str, kind: str) -> bool:
        try:
            message = _message(kind, address)
            backend = mailers.carrier(using)
        except (AuthmailError, ImproperlyConfigured) as error:
            code = getattr(error, "code", "configuration")
            self.stderr.write(f"{code}: {error}")
            return False
        self._line(_("Mail"), f"{kind} -> {address}")
        if problem := made_up_links(message):
            self.stdout.write(self.style.WARNING(f"  {problem}"))
        self._line(_("From"), message.from_email)
        self._line(_("Mailer"), f"{using or conf.deliver_using[0]} ({_path(backend)})")
        started = time.monotonic()
        if isinstance(backend, EmailBackend) and not backend.config.capture_dir:
            result = self._step_by_step(message, backend.config)
        else:
            # No dialogue to show: a folder of captured mails, or another's backend.
            result = deliver(
                backend,
                message.envelope,
                message.as_bytes(),
                message.message_id,
                deadline_seconds=conf.send_deadline.total_seconds(),
            )
        self._conclude(result, backend, time.monotonic() - started)
        return result.sent and not result.refused

    def _step_by_step(self, message: AuthMessage, config: SmtpConfig) -> SendResult:
        where = f"{config.host}:{config.port}"
        deadline = Deadline(config.deadline)
        try:
            connection = open_connection(config, deadline)
        except SmtpFailure as error:
            self._connected_up_to(error.failure, config, where)
            return SendResult(message_id=message.message_id, failure=error.failure)
        self._connected(connection, config, where)
        try:
            result = connection.transact(
                message.envelope, message.as_bytes(), message.message_id, deadline
            )
        except SmtpFailure as error:
            result = SendResult(message_id=message.message_id, failure=error.failure)
        finally:
            connection.close()
        self._line(_("Answer"), str(result.reply or ""), ok=result.sent)
        return result

    def _connected(self, connection: Connection, config: SmtpConfig, where: str) -> None:
        self._line(_("Connect"), where, ok=True)
        tls = connection.tls_version
        self._line(
            _("TLS"), f"{_mode(config)}, {tls}" if tls else _("none"), ok=True if tls else None
        )
        method = connection.logged_in_with
        self._line(
            _("Login"),
            f"{config.user} ({method})" if method else _("none"),
            ok=True if method else None,
        )

    def _connected_up_to(self, failure: Failure, config: SmtpConfig, where: str) -> None:
        """Show the steps of a connection that failed, as far as its failure tells them apart."""
        step = failure.where.rpartition(", ")[2]
        at_login = (
            step == "login"  # of which a server may also say nothing
            or failure.error_code is ErrorCode.SMTP_AUTH_FAILED
            or failure.reason is Reason.AUTH_TEMPORARY
        )
        at_tls = not at_login and (step in _TLS_STEPS or failure.reason in _TLS_REASONS)
        self._line(_("Connect"), where, ok=at_login or at_tls)
        if at_tls or (at_login and (config.use_tls or config.use_ssl)):
            self._line(_("TLS"), _mode(config), ok=at_login)
        if at_login:
            self._line(_("Login"), config.user, ok=False)

    def _conclude(self, result: SendResult, backend: BaseEmailBackend, seconds: float) -> None:
        self._line(_("Time"), f"{seconds:.2f} s")
        self._line("Message-ID", result.message_id)
        if result.sent and not result.refused:
            if isinstance(backend, EmailBackend) and backend.config.capture_dir:
                said = _("Written into %(folder)s; no server was asked.")
                text = said % {"folder": backend.config.capture_dir}
            elif isinstance(backend, EmailBackend):
                self._line(_("Server's id"), result.provider_id)
                text = _("The server took the mail over. Only the inbox shows whether it arrives.")
            else:
                text = _("The backend took the mail over and says no more.")
            self.stdout.write(self.style.SUCCESS(text))
            return
        failure = result.failure or result.refused[0].failure
        said_by_server = str(failure.reply) if failure.reply else failure.detail
        if failure.where:
            self.stderr.write(_("Where: %(place)s") % {"place": failure.where})
        self.stderr.write(f"error_code: {failure.error_code}")
        self.stderr.write(f"reason: {failure.reason}")
        if said_by_server:
            self.stderr.write(_("Details: %(text)s") % {"text": said_by_server})
        self.stderr.write(_("What to do: %(hint)s") % {"hint": hint(failure.reason)})

    def _line(self, label: str, text: str, *, ok: bool | None = None) -> None:
        mark = {True: "ok", False: _("failed"), None: ""}[ok]
        self.stdout.write(f"  {label}: {' '.join(part for part in (mark, text) if part)}")


def _message(kind: str, address: str) -> AuthMessage:
    if kind == PLAIN:
        return AuthMessage(
            to=(address,),
            subject=_("Test mail"),
            text_body=_("This is a test. If you read it, the mail settings work.") + "\n",
            from_email=conf.default_from_email,
            kind="test",
            locale=translation.get_language() or "",
        )
    notifier, locale = registry.get(kind), choose_locale(None)
    sample = next(iter(notifier.samples(locale).values()), {})
    return notifier.for_samples().build(address, **sample, locale=locale)


def _path(backend: BaseEmailBackend) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"


def _mode(config: SmtpConfig) -> str:
    return "TLS" if config.use_ssl else "STARTTLS"
