"""Which mailer a message goes in by (its door) and which it leaves by (its carrier).

Django 6.1 names mailers in MAILERS; 5.2 and 6.0 have one, in EMAIL_*. This module is the only one
that knows the difference. On the older versions a MAILERS setting works too, for everything that
goes through this package.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from email import message_from_bytes, policy
from email.mime.base import MIMEBase
from typing import Any

from django.core import mail
from django.core.mail.backends import console, dummy, filebased, locmem, smtp
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.module_loading import import_string

from django_authmail.conf import conf
from django_authmail.exceptions import MailerUnusable

OUR_SMTP = "django_authmail.smtp.EmailBackend"
OUTBOX = "django_authmail.backends.OutboxBackend"
_DJANGO_SMTP = "django.core.mail.backends.smtp.EmailBackend"
_LOCMEM = "django.core.mail.backends.locmem.EmailBackend"

#: Paths that a project may have meant by one that is not there.
BACKENDS = (
    OUR_SMTP,
    OUTBOX,
    _DJANGO_SMTP,
    _LOCMEM,
    *(f"{module.__name__}.EmailBackend" for module in (console, dummy, filebased)),
)

# A carrier sends what `message()` returns, byte by byte. These and their subclasses do; a backend
# that reads subject and body instead (an HTTP API's) would send an empty mail.
_CARRYING = (
    smtp.EmailBackend,
    console.EmailBackend,
    filebased.EmailBackend,
    locmem.EmailBackend,
    dummy.EmailBackend,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailerOptions:
    """What the settings say about one mailer, read without constructing it."""

    backend: str
    host: str = ""
    port: int | None = None
    user: str = ""
    password: str = field(default="", repr=False)
    use_tls: bool = False
    use_ssl: bool = False
    #: Options as written. With EMAIL_*, of our own backend: what is set of it, and
    #: AUTHMAIL_SMTP_OPTIONS.
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def get_mailer(using: str = "default") -> BaseEmailBackend:
    """Return a new backend object for the mailer `using`.

    Raises:
        MailerUnusable: there is no mailer of this name.
    """
    configured = conf.mailers
    if configured is None:
        if using != "default":
            raise MailerUnusable(
                f"There is no mailer {using!r}: the project has no MAILERS setting, only EMAIL_*, "
                "which is the mailer 'default'"
            )
        return _only_mailer()
    if using not in configured:
        near = get_close_matches(using, configured, n=1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise MailerUnusable(
            f"There is no mailer {using!r}; MAILERS has {', '.join(map(repr, configured))}{meant}"
        )
    if hasattr(mail, "mailers"):
        return mail.mailers[using]
    if _testing():
        # Django before 6.1 replaces EMAIL_BACKEND alone in tests. A test suite must never reach a
        # real server, so the replacement holds for MAILERS too, as it does on 6.1.
        return _construct(_LOCMEM, {}, using)
    entry = configured[using]
    return _construct(entry.get("BACKEND", _DJANGO_SMTP), entry.get("OPTIONS", {}), using)


def carrier(using: str = "") -> BaseEmailBackend:
    """Return the backend object that queued mail leaves by; the first of them by default.

    Each of Django's is a new one. Ours has nothing that belongs to one thread or one mail, so it is
    made once for the settings that are in force.

    Raises:
        MailerUnusable: there is no such mailer, or it cannot carry stored mail.
    """
    using = using or conf.deliver_using[0]
    ours = conf.once(f"carrier {using}", lambda: _ours(using))
    return ours if ours is not None else _new_carrier(using)


def _ours(using: str) -> BaseEmailBackend | None:
    backend = _new_carrier(using)
    return backend if hasattr(backend, "deliver") else None


def _new_carrier(using: str) -> BaseEmailBackend:
    if problem := carrier_problem(using):
        raise MailerUnusable(problem)
    if conf.mailers is None and conf.email_backend in (_DJANGO_SMTP, OUTBOX):
        # EMAIL_* has one mailer only. Where it queues, the same settings name the server.
        return _construct(OUR_SMTP, {}, None)
    return get_mailer(using)


def carrier_problem(using: str = "") -> str | None:
    """Say why the mailer cannot carry queued mail; None when it can. Opens no connection."""
    using = using or conf.deliver_using[0]
    try:
        path = options(using).backend
    except MailerUnusable as error:
        return str(error)
    try:
        backend = import_string(path)
    except ImportError as error:
        return f"The backend {path!r} of the mailer {using!r} cannot be imported: {error}"
    if path == OUTBOX:
        if conf.mailers is None:
            return None
        return (
            f"The mailer {using!r} queues mail, so it cannot be what queued mail leaves by; set "
            "AUTHMAIL_DELIVER_USING to the name of an SMTP mailer"
        )
    if not (inspect.isclass(backend) and issubclass(backend, _CARRYING)):
        return (
            f"The mailer {using!r} uses {path}, which does not send a message's own bytes; queued "
            f"mail needs {OUR_SMTP} or one of Django's backends"
        )
    return None


def options(using: str = "default") -> MailerOptions:
    """Return what the settings say about the mailer `using`.

    Raises:
        MailerUnusable: there is no mailer of this name.
    """
    configured = conf.mailers
    if configured is None:
        if using != "default":
            get_mailer(using)  # raises with the reason
        backend = conf.email_backend
        # An outbox delivers by the same account.
        ours = backend in (OUR_SMTP, OUTBOX)
        given = {**conf.smtp_options, **conf.email_given} if ours else {}
        return MailerOptions(backend=backend, options=given, **conf.email_options)
    if using not in configured:
        get_mailer(using)
    entry = configured[using]
    given = entry.get("OPTIONS", {})
    return MailerOptions(
        backend=entry.get("BACKEND", _DJANGO_SMTP),
        host=given.get("host") or "",
        port=given.get("port"),
        user=given.get("username") or "",
        password=given.get("password") or "",
        use_tls=bool(given.get("use_tls")),
        use_ssl=bool(given.get("use_ssl")),
        options=given,
    )


def unknown_options(given: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Return the names that are no option, each with the nearest that is one, or nothing."""
    unknown = sorted(set(given) - set(known))
    return {name: "".join(get_close_matches(name, known, n=1)) for name in unknown}


def refuse_unknown(unknown: Mapping[str, str], alias: str | None) -> None:
    """Raise MailerUnusable for the first of the names that are no option, with what it stands for.

    Django before 6.1 ignores it; a mistyped option must not go unnoticed on any version.
    """
    for name, near in unknown.items():
        meant = f"; did you mean {near!r}?" if near else ""
        raise MailerUnusable(f"{where(alias)}: unknown option {name!r}{meant}")


def where(alias: str | None) -> str:
    """Return where a mailer's options are, for the person who has to mend them."""
    return f"MAILERS[{alias!r}]" if alias else "EMAIL_*"


def backend_place(using: str) -> str:
    """Return where the class of a mailer is named, for the person who has to mend it."""
    return "EMAIL_BACKEND" if conf.mailers is None else f'{where(using)}["BACKEND"]'


def mime_part(octets: bytes) -> Any:
    """Return a written MIME part in the form that `EmailMessage.attach` takes and leaves alone.

    A text file that is attached by its name is decoded and encoded, by each version in its own way.

    Any, because Django 6.0 takes a MIMEPart and before it a MIMEBase, and each refuses the other.
    """
    if "policy" in inspect.signature(mail.EmailMessage.message).parameters:
        return message_from_bytes(octets, policy=policy.default)
    written = message_from_bytes(octets)
    part = MIMEBase(written.get_content_maintype(), written.get_content_subtype())
    del part["Content-Type"], part["MIME-Version"]  # its own
    for name, value in written.items():
        part[name] = value
    part.set_payload(written.get_payload())
    return part


def unread() -> bool:
    """Tell whether the project wrote MAILERS alone, for a Django (before 6.1) that has none."""
    given = conf.email_backend_given or conf.email_given
    return conf.mailers is not None and not hasattr(mail, "mailers") and not given


def names() -> list[str]:
    """Return the names of the project's mailers."""
    configured = conf.mailers
    return ["default"] if configured is None else list(configured)


def _testing() -> bool:
    # Both: whoever looks at a locmem mailer makes an outbox, test run or not.
    return hasattr(mail, "outbox") and conf.email_backend == _LOCMEM


def _only_mailer() -> BaseEmailBackend:
    # By path, not by get_connection(), which 6.1 deprecates.
    return _construct(conf.email_backend, {}, None)


def _construct(path: str, given: Mapping[str, Any], alias: str | None) -> BaseEmailBackend:
    backend: type[BaseEmailBackend] = import_string(path)
    if hasattr(mail, "mailers"):
        # `alias` says that this is no deprecated direct construction; None means EMAIL_*.
        return backend(alias=alias, **given)
    if path in (OUR_SMTP, OUTBOX):
        return backend(alias=alias, **given)
    return backend(**given)
