"""Django's email backend on top of the SMTP core.

Django's own class is subclassed for the resolution of options on every version and for
`isinstance` only; open, close and send_messages go to the core.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend
from django.views.decorators.debug import sensitive_variables

from django_authmail import mailers
from django_authmail.conf import EMAIL_NAMES, conf
from django_authmail.exceptions import InvalidAddress, MailerUnusable, UnsafeHeader
from django_authmail.message import AuthMessage, Envelope
from django_authmail.outcomes import ErrorCode, Reason, SendResult
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import SmtpFailure, exception_for
from django_authmail.smtp.oauth import provider_from
from django_authmail.smtp.plain import built
from django_authmail.smtp.pools import pool_for
from django_authmail.smtp.presets import preset
from django_authmail.smtp.sender import SmtpSender, refused_here
from django_authmail.smtp.spelling import option_meant
from django_authmail.smtp.wire import Deadline

# What Django's SMTP backend takes, and what this one adds.
_DJANGO_OPTIONS = frozenset(
    "host port username password use_tls use_ssl timeout ssl_keyfile ssl_certfile fail_silently "
    "alias _ignore_unknown_kwargs".split()
)
_OWN_FIELDS = frozenset(
    "allow_cleartext_auth ca_file capture_dir chunking ciphers deadline debug envelope_sender "
    "from_addr headers local_hostname max_age max_idle max_mails min_tls opportunistic pool_size "
    "source_address".split()
)
_OWN_OPTIONS = _OWN_FIELDS | {"oauth", "preset"}
_OPTIONS = _DJANGO_OPTIONS | _OWN_OPTIONS
# Those of one word (host, headers) are words of the sentence too.
_OPTION_IN_TEXT = re.compile(rf"\b(?:{'|'.join(sorted(n for n in _OPTIONS if '_' in n))})\b")
# Names that Django has for what the SMTP core calls otherwise.
_CORE_NAMES: dict[str, str] = {
    "username": "user",
    "ssl_certfile": "certfile",
    "ssl_keyfile": "keyfile",
}
_DJANGO_NAMES = {core: django for django, core in _CORE_NAMES.items()}

# Why a server could not be reached or entered, whatever the message.
_UNREACHABLE = frozenset(
    (
        Reason.APP_PASSWORD_REQUIRED,
        Reason.AUTH_FAILED,
        Reason.AUTH_REQUIRED,
        Reason.BASIC_AUTH_DISABLED,
        Reason.CERTIFICATE_INVALID,
        Reason.CONNECTION_REFUSED,
        Reason.DNS_ERROR,
        Reason.SMTP_TIMEOUT,
        Reason.STARTTLS_UNSUPPORTED,
    )
)


class EmailBackend(DjangoEmailBackend):
    """Sends through one SMTP account: verified TLS, bounded in time, with typed outcomes.

    Takes the options of Django's SMTP backend and, by keyword, those of `SmtpConfig`, `preset` and
    `oauth`. Where the account is in EMAIL_*, AUTHMAIL_SMTP_OPTIONS holds them. Without an option of
    its own, the AUTHMAIL_SMTP_* setting counts.

    After `send_messages`, each message has an `authmail_result` (`outcomes.SendResult`).
    """

    alias: str | None = None  # Django before 6.1 knows no alias

    @sensitive_variables()
    def __init__(self, *, alias: str | None = None, **options: Any) -> None:
        mailers.refuse_unknown(self.unknown_options(options), alias)
        options = {name: value for name, value in options.items() if value is not None}
        if alias is None and conf.mailers is None:
            options = _with_setting(options)
        if named := options.pop("preset", ""):
            options = _with_preset(named, options, alias)
        own = {name: options.pop(name) for name in _OWN_FIELDS & options.keys()}
        oauth = options.pop("oauth", None)
        super().__init__(alias=alias, **options)
        self.alias = alias
        self._own_options = own
        self._oauth = oauth
        self.config = self._build_config()
        self._is_open = False

    def open(self) -> bool | None:
        """See that the server can be reached. True when it was not known to be; None: silenced.

        Connections belong to the pool of the process, which keeps them warm whether or not a
        backend is open.
        """
        with self._lock:
            if self._is_open:
                return False
            if not self.config.capture_dir:
                try:
                    pool = pool_for(self.config)
                    pool.give_back(pool.borrow(Deadline(self.config.deadline)))
                except SmtpFailure as error:
                    if self.fail_silently:
                        return None
                    failed = SendResult(message_id="", failure=error.failure)
                    raise exception_for(failed) from None
            self._is_open = True
            return True

    def close(self) -> None:
        """Forget that the server could be reached."""
        with self._lock:
            self._is_open = False

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Send each message and return how many were accepted by the server.

        A refused message does not stop the others. Raises the first failure at the end
        (`DeliveryFailed`), unless `fail_silently`; the results of all are on the messages.
        """
        first: SendResult | None = None
        unexpected: Exception | None = None
        unreachable: SendResult | None = None
        sent = 0
        for message in email_messages:
            if not message.recipients():
                continue
            try:
                result = unreachable or self._send_one(message)
            except Exception as error:
                # A message that cannot be built: the others are sent, then its error is raised.
                unexpected = unexpected or error
                detail = f"the message cannot be built: {type(error).__name__}"
                result = refused_here(ErrorCode.UNKNOWN, Reason.UNKNOWN, detail)
            if result.failure is not None and result.failure.reason in _UNREACHABLE:
                # The server would not be reached for the next one either, after another timeout.
                unreachable = replace(result, message_id="")
            message.authmail_result = result  # type: ignore[attr-defined] # documented addition
            sent += result.sent
            if first is None and not result.sent:
                first = result
        if unexpected is not None and not self.fail_silently:
            raise unexpected
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
        """Hand over one of our own messages now, if it is done while its content is of use."""
        return SmtpSender(self.config).deliver_message(message)

    def _send_one(self, message: EmailMessage) -> SendResult:
        try:
            envelope, content, message_id = built(message)
        except InvalidAddress as error:
            return refused_here(ErrorCode.RECIPIENT_REFUSED, Reason.BAD_RECIPIENT, str(error))
        except ValueError as error:
            # Django's own guard (BadHeaderError before 6.1), or ours. Only ours is known to show
            # nothing of the value.
            ours = isinstance(error, UnsafeHeader)
            detail = str(error) if ours else "Django refuses a header of the message"
            return refused_here(ErrorCode.CRLF_IN_HEADER, Reason.CRLF_IN_HEADER, detail)
        return self.deliver(envelope, content, message_id)

    def _build_config(self) -> SmtpConfig:
        own = {
            "ca_file": conf.smtp_ca_file,
            "allow_cleartext_auth": conf.smtp_allow_cleartext_auth,
            "capture_dir": conf.capture_dir,
            "debug": conf.smtp_debug,
            "deadline": conf.send_deadline.total_seconds(),
            **self._own_options,
        }
        if "headers" in own:
            own["headers"] = _pairs(own["headers"])
        try:
            return _config(
                token_provider=cast("Hashable", provider_from(self._oauth)),
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
        except (ImproperlyConfigured, TypeError, ValueError) as error:
            problem = _as_written(str(error), self.alias)
            raise MailerUnusable(f"{mailers.where(self.alias)}: {problem}") from None

    @staticmethod
    def unknown_options(options: Iterable[str]) -> dict[str, str]:
        """Return the names that are no option, each with the one that was meant, or nothing."""
        unknown = sorted(set(options) - _OPTIONS)
        return {name: option_meant(name, _OPTIONS) for name in unknown}

    @staticmethod
    def misplaced_options() -> dict[str, str]:
        """Return what AUTHMAIL_SMTP_OPTIONS must not hold, each with what is meant, or nothing.

        One value has one place: what has a setting of Django's belongs there.
        """
        known = _OWN_OPTIONS | EMAIL_NAMES.keys()
        found = {
            name: option_meant(name, known)
            for name in sorted(conf.smtp_options.keys() - _OWN_OPTIONS)
        }
        return {name: EMAIL_NAMES.get(option, option) for name, option in found.items()}


def _as_written(problem: str, alias: str | None) -> str:
    """Return a problem of options, in the names that a project without MAILERS has for them."""
    if alias is not None:
        return problem
    return _OPTION_IN_TEXT.sub(
        lambda found: EMAIL_NAMES.get(found[0]) or f'AUTHMAIL_SMTP_OPTIONS["{found[0]}"]', problem
    )


def _with_setting(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options with those of AUTHMAIL_SMTP_OPTIONS."""
    for name, place in EmailBackend.misplaced_options().items():
        meant = f"; did you mean {place!r}?" if place else ""
        raise MailerUnusable(f"AUTHMAIL_SMTP_OPTIONS: unknown option {name!r}{meant}")
    options = {**conf.smtp_options, **given}
    if options.get("preset"):
        # What the project has set wins over the preset; what Django has by default does not.
        options = {**conf.email_given, **options}
    return options


def _with_preset(named: str, given: dict[str, Any], alias: str | None) -> dict[str, Any]:
    """Return the options with what the preset knows and the project left out."""
    try:
        known = preset(named)
    except ImproperlyConfigured as error:
        raise MailerUnusable(f"{mailers.where(alias)}: {error}") from None
    core = {_CORE_NAMES.get(name, name): value for name, value in given.items()}
    filled = {"headers": tuple(known.headers.items())} | known.options(core)
    return {str(_DJANGO_NAMES.get(name, name)): value for name, value in filled.items()}


def _pairs(headers: Mapping[str, str] | Iterable[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return tuple((str(name), str(value)) for name, value in pairs)


@lru_cache(maxsize=64)
def _config(**fields: Any) -> SmtpConfig:
    # mailers[alias] makes a backend for each look-up; the checks need not be made for each.
    return SmtpConfig(**fields)
