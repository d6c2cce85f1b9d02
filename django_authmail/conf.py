"""The settings of this package: one `Setting` per AUTHMAIL_* name, read when it is used.

Nothing else reads `django.conf.settings`, so `override_settings` works everywhere, and the list
below is complete: `checks.py` validates it and reports any other AUTHMAIL_* name. What was read is
kept until other settings are in force: to find that a name is not set costs Django microseconds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, Generic, TypeVar, cast, overload

from django.conf import settings

from django_authmail import ranges
from django_authmail.secret import Secret

T = TypeVar("T")

PREFIX = "AUTHMAIL_"

#: Options of an SMTP account, and what they are called where the project has no MAILERS.
EMAIL_NAMES = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
    "timeout": "EMAIL_TIMEOUT",
    "ssl_certfile": "EMAIL_SSL_CERTFILE",
    "ssl_keyfile": "EMAIL_SSL_KEYFILE",
}


class Setting(Generic[T]):
    """One setting: its type, default and range. `read` is what code behind it gets."""

    def __init__(
        self,
        types: type | tuple[type, ...],
        default: T,
        *,
        read: Callable[[Any], T] | None = None,
        problem: Callable[[Any], str | None] | None = None,
    ) -> None:
        self.types = types if isinstance(types, tuple) else (types,)
        self.default = default
        self._read = read
        self._problem = problem
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = PREFIX + name.upper()

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: Conf, owner: type) -> T: ...
    def __get__(self, instance: Conf | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        values = instance.values_in_force()
        try:
            return cast("T", values[self.name])
        except KeyError:
            value = getattr(settings, self.name, self.default)
            values[self.name] = self._read(value) if self._read is not None else value
            return cast("T", values[self.name])

    def is_given(self) -> bool:
        """Tell whether the project sets it, be it to the default."""
        return hasattr(settings, self.name)

    def problem(self) -> str | None:
        """Say what is wrong with the configured value; None when it is absent or fine."""
        if not hasattr(settings, self.name):
            return None
        value = getattr(settings, self.name)
        # bool is an int to Python, never to the person who wrote the setting.
        if not isinstance(value, self.types) or (bool not in self.types and value is True):
            names = " or ".join(kind.__name__ for kind in self.types)
            return f"must be {names}, not {type(value).__name__}"
        return self._problem(value) if self._problem is not None else None


class Conf:
    """Typed access to the settings; use the instance `conf`."""

    #: One key with all scopes, for teams that come from a single shared key. Empty: none.
    api_key = Setting(str, Secret(""), read=Secret)
    #: Serve /docs, /redoc and /openapi.json.
    api_docs = Setting(bool, True)
    #: Most failed authentications of one client address in a minute. 0: no limit.
    auth_failures_per_minute = Setting(int, 30, problem=ranges.at_least_zero)
    #: The last line of mails with a code, `@domain #code`, names this domain. Empty: no such line.
    autofill_domain = Setting(str, "", problem=ranges.domain)
    #: How mails look as the project's own; see docs/notifiers.md.
    brand: Setting[dict[str, Any]] = Setting(dict, {}, problem=ranges.brand)
    #: Failures of connection or login in a row after which a carrier's breaker opens.
    breaker_failures = Setting(int, 5, problem=ranges.at_least_one)
    #: How long an open breaker keeps mail from a carrier before one message tries it.
    breaker_pause = Setting(timedelta, timedelta(seconds=30), problem=ranges.positive)
    #: Write mails as .eml files into this folder instead of connecting. For tests.
    capture_dir = Setting((str, os.PathLike), "", read=os.fspath)
    #: Hand queued messages to Celery after commit. Without it, run `manage.py authmail_dispatch`.
    celery = Setting(bool, False)
    #: Show the code in the subject too, which phones show on locked screens.
    code_in_subject = Setting(bool, False)
    #: The mailer that queued mail leaves by; or several, each used where those before it cannot.
    deliver_using: Setting[tuple[str, ...]] = Setting(
        (str, list, tuple), ("default",), problem=ranges.mailers, read=ranges.mailer_names
    )
    #: Keys for the hashes of addresses, newest first. Empty: derived from SECRET_KEY and fallbacks.
    hash_keys: Setting[tuple[str, ...]] = Setting(
        (list, tuple), (), problem=ranges.keys, read=tuple
    )
    #: How long a message that may have been taken waits for a person to decide about it.
    hold = Setting(timedelta, timedelta(hours=72), problem=ranges.positive)
    #: Seconds for which a repeat of an API request with an Idempotency-Key is known. 0: never.
    idempotency_ttl_seconds = Setting(int, 86_400, problem=ranges.seconds_of_a_year)
    #: What every link in a mail begins with: https, or http for this machine. Empty: no links.
    link_base_url = Setting(str, "", read=ranges.read_link_base, problem=ranges.base_url)
    #: Paths of links by kind, such as {"magic-link": "/login/{token}"}, in place of the defaults.
    link_paths: Setting[dict[str, str]] = Setting(dict, {}, problem=ranges.paths)
    #: How `django_authmail.logs.Formatter` writes lines.
    log_format = Setting(str, "text", problem=ranges.one_of("text", "json"))
    #: Log `to_hash` as bare SHA-256, as S0 did. Addresses can be guessed from it.
    log_plain_hash = Setting(bool, False)
    #: Hand-overs in the background before a message fails.
    max_attempts = Setting(int, 8, problem=ranges.at_least_one)
    #: Most recipients for each mailer and window, as {"primary": {"day": 2000, "minute": 30}}; 0:
    #: no limit. Without an entry, what the mailer's preset knows.
    quotas: Setting[dict[str, dict[str, int]]] = Setting(dict, {}, problem=ranges.quotas)
    #: Serve /metrics, and read the tables at each scrape of prometheus-client's common registry.
    metrics_enabled = Setting(bool, False)
    #: Ask for an API key at /metrics.
    metrics_require_auth = Setting(bool, False)
    #: Dotted paths of the project's own notifiers, besides those in an app's `authmail` module.
    notifiers: Setting[tuple[str, ...]] = Setting(
        (list, tuple), (), problem=ranges.dotted_paths, read=tuple
    )
    #: Send every mail to these addresses instead of its own. For staging.
    override_recipients: Setting[tuple[str, ...]] = Setting(
        (list, tuple), (), problem=ranges.addresses, read=tuple
    )
    #: Most requests of one API key to POST /send* in a minute. 0: no limit.
    rate_limit_per_minute = Setting(int, 60, problem=ranges.at_least_zero)
    #: Least time between two mails of one kind to one mailbox. Zero: none.
    recipient_gap = Setting(timedelta, timedelta(0), problem=ranges.not_negative)
    #: Most mails of one kind to one mailbox, as pairs of a number and a window. Empty: no limit.
    recipient_limits: Setting[tuple[tuple[int, timedelta], ...]] = Setting(
        (list, tuple),
        ((5, timedelta(minutes=10)), (20, timedelta(days=1))),
        problem=ranges.limits,
        read=tuple,
    )
    #: How long attempts are kept after they were made. Zero: for ever, as are the next two.
    retain_attempts = Setting(timedelta, timedelta(days=30), problem=ranges.not_negative)
    #: How long messages are kept after they became final.
    retain_messages = Setting(timedelta, timedelta(days=90), problem=ranges.not_negative)
    #: Keys that seal bodies at rest, newest first. Empty: derived from SECRET_KEY and fallbacks.
    sealing_keys: Setting[tuple[str, ...]] = Setting(
        (list, tuple), (), problem=ranges.keys, read=tuple
    )
    #: Longest time that one hand-over may take in the background.
    send_deadline = Setting(timedelta, timedelta(seconds=45), problem=ranges.positive)
    #: Log in to a server without TLS. Passwords then cross the network readable.
    smtp_allow_cleartext_auth = Setting(bool, False)
    #: PEM file of the authority that signed the mail server's certificate. Empty: the system's.
    smtp_ca_file = Setting((str, os.PathLike), "", read=os.fspath)
    #: Log the SMTP dialogue, without AUTH lines and content.
    smtp_debug = Setting(bool, False)
    #: Options of our mail backend for the account of EMAIL_*, which has no place for them.
    smtp_options: Setting[dict[str, Any]] = Setting(dict, {})
    #: Keep the whole address of each recipient, and show it in the admin.
    store_addresses = Setting(bool, False)
    #: How long nothing is sent to an address that a server called dead. Zero: it is tried again.
    suppress_for = Setting(timedelta, timedelta(days=30), problem=ranges.not_negative)
    #: Longest time that one hand-over may take while an API caller waits.
    sync_deadline = Setting(timedelta, timedelta(seconds=8), problem=ranges.positive)
    #: Proxies of your own between the internet and this server, each of which adds to
    #: X-Forwarded-For. 0: that header is the client's word, and is ignored.
    trusted_proxies = Setting(int, 0, problem=ranges.at_least_zero)
    #: Hosts that webhooks may reach by http, on any port, at any address: services of one's own.
    webhook_allow_hosts: Setting[tuple[str, ...]] = Setting(
        (list, tuple), (), problem=ranges.hosts, read=ranges.read_hosts
    )
    #: Let webhooks go to every host by http. What they say crosses the network readable.
    webhook_allow_http = Setting(bool, False)
    #: Let webhooks go to loopback and private addresses. For tests.
    webhook_allow_loopback = Setting(bool, False)
    #: Seconds to wait before each further try of a webhook; the last one is followed by none.
    webhook_backoff_seconds: Setting[tuple[float, ...]] = Setting(
        (list, tuple),
        (5, 300, 1800, 7200, 18_000, 36_000, 36_000),
        problem=ranges.waits,
        read=tuple,
    )
    #: PEM file of the authority that signed receivers' certificates. Empty: the system's.
    webhook_ca_file = Setting((str, os.PathLike), "", read=os.fspath)
    #: Ports that webhooks may reach besides 80, 443 and 8443.
    webhook_ports: Setting[tuple[int, ...]] = Setting(
        (list, tuple), (), problem=ranges.ports, read=tuple
    )
    #: Sign the webhooks of requests in S0's first form too, which does not sign the time.
    webhook_signature_v1 = Setting(bool, False)
    #: Longest time that one try of a webhook may take, from looking up the name to the answer.
    webhook_timeout = Setting(timedelta, timedelta(seconds=15), problem=ranges.up_to_a_minute)

    def __init__(self) -> None:
        self._values: tuple[object, dict[str, object]] = (None, {})

    def values_in_force(self) -> dict[str, object]:
        """Return what was read of the settings that are in force: one dict for each of them."""
        # override_settings, settings.configure() and pytest's fixture put another object there.
        in_force = settings._wrapped  # type: ignore[misc] # the stubs know the settings alone
        if self._values[0] is not in_force:
            self._values = (in_force, {})
        return self._values[1]

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what `make` returns: it is called once for the settings that are in force."""
        values = self.values_in_force()
        try:
            return cast("T", values[name])
        except KeyError:
            made = values[name] = make()
            return made

    def all(self) -> Iterator[Setting[Any]]:
        """Yield every setting of the package."""
        for value in vars(type(self)).values():
            if isinstance(value, Setting):
                yield value

    def unknown_names(self) -> list[str]:
        """Return the AUTHMAIL_* names in the project's settings that this package does not have."""
        known = {setting.name for setting in self.all()}
        return sorted(n for n in dir(settings) if n.startswith(PREFIX) and n not in known)

    @property
    def admins(self) -> frozenset[str]:
        """The addresses of ADMINS, in lower case."""
        # Pairs of name and address before Django 6.0, addresses since.
        addresses = (entry if isinstance(entry, str) else entry[1] for entry in settings.ADMINS)
        return frozenset(str(address).lower() for address in addresses)

    @property
    def default_from_email(self) -> str:
        return str(settings.DEFAULT_FROM_EMAIL)

    @property
    def is_configured(self) -> bool:
        """Whether there are settings at all: the SMTP core does without."""
        return bool(settings.configured)

    @property
    def default_charset(self) -> str:
        return str(settings.DEFAULT_CHARSET)

    @property
    def email_use_localtime(self) -> bool:
        return bool(settings.EMAIL_USE_LOCALTIME)

    @property
    def has_proxy(self) -> bool:
        """Whether the project says that a proxy stands before it."""
        return bool(settings.SECURE_PROXY_SSL_HEADER)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(code for code, _ in settings.LANGUAGES)

    @property
    def language_code(self) -> str:
        return str(settings.LANGUAGE_CODE)

    @property
    def use_i18n(self) -> bool:
        return bool(settings.USE_I18N)

    @property
    def limits_cache(self) -> str:
        """The name of the cache that django-ratelimit counts in."""
        return str(getattr(settings, "RATELIMIT_USE_CACHE", "default"))

    @property
    def limits_enabled(self) -> bool:
        """Whether django-ratelimit counts at all."""
        return bool(getattr(settings, "RATELIMIT_ENABLE", True))

    @property
    def password_reset_timeout(self) -> int:
        """Seconds for which Django takes a token of its password reset."""
        return int(settings.PASSWORD_RESET_TIMEOUT)

    @property
    def use_tz(self) -> bool:
        return bool(settings.USE_TZ)

    @property
    def email_backend(self) -> str:
        """EMAIL_BACKEND. Only where the project has no MAILERS: reading it there is an error."""
        return str(settings.EMAIL_BACKEND)

    @property
    def email_options(self) -> dict[str, Any]:
        """The EMAIL_* settings of the SMTP account. Only where the project has no MAILERS."""
        return {
            "host": settings.EMAIL_HOST,
            "port": settings.EMAIL_PORT,
            "user": settings.EMAIL_HOST_USER,
            "password": settings.EMAIL_HOST_PASSWORD,
            "use_tls": bool(settings.EMAIL_USE_TLS),
            "use_ssl": bool(settings.EMAIL_USE_SSL),
        }

    @property
    def email_given(self) -> dict[str, Any]:
        """What the project itself set of EMAIL_*, by the backend's names for it."""
        return {
            option: getattr(settings, name)
            for option, name in EMAIL_NAMES.items()
            if settings.is_overridden(name)  # type: ignore[misc] # the stubs know settings alone
        }

    @property
    def mailers(self) -> dict[str, dict[str, Any]] | None:
        """MAILERS as the project wrote it; None where it has none."""
        value = getattr(settings, "MAILERS", None)
        return dict(value) if value else None

    @property
    def email_backend_given(self) -> bool:
        """Whether the project itself set EMAIL_BACKEND."""
        return bool(settings.is_overridden("EMAIL_BACKEND"))  # type: ignore[misc] # as above

    @property
    def root_urlconf(self) -> str:
        """The module of the project's addresses; empty where it has none."""
        return str(getattr(settings, "ROOT_URLCONF", "") or "")

    @property
    def secret_keys(self) -> tuple[Secret, ...]:
        """SECRET_KEY and its fallbacks, newest first."""
        return self.once(
            "SECRET_KEY and its fallbacks",
            lambda: tuple(map(Secret, (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))),
        )


conf = Conf()
