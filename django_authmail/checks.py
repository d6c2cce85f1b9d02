"""What `manage.py check` says about a project's settings before the first mail fails.

Ids are public: never reused, each with one test. No check opens a connection or runs a query.

    E001  a setting of the wrong type or range      W001  an AUTHMAIL_* name that does not exist
    E002  no usable From address                    W002  a short API key
    E003  a line break in the From address          W003  a password without TLS, allowed by name
    E004  a mailer without a host                   W004  a port that does not fit the TLS mode
    E005  both TLS modes                            W005  metrics without prometheus-client
    E006  a password without TLS                    W006  no beat entry for the sweep
    E007  a user without a password, or the reverse
    E008  a carrier that cannot carry queued mail
    E009  AUTHMAIL_CELERY without celery, or without what its broker needs
    E010  USE_TZ = False
    E011  AUTHMAIL_CELERY without a broker
    E012  a certificate file that cannot be read
    E013  an option of a mailer that does not exist
    E014  a preset that does not exist

With --deploy:

    E101  a short API key                           W102  metrics for everybody
    E104  mails go to a folder, not to a server     W103  the SMTP dialogue is logged
    E105  webhooks may reach this machine           W106  the API's docs are open
    E108  a broker that loses tasks                 W107  a cache of each process's own
                                                    W109  SQLite without transaction_mode IMMEDIATE
"""

from __future__ import annotations

import inspect
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.core.cache import DEFAULT_CACHE_ALIAS, caches
from django.core.exceptions import ImproperlyConfigured
from django.core.mail.backends.smtp import EmailBackend as DjangoSMTP
from django.db import connections, router
from django.utils.module_loading import import_string

from django_authmail import mailers, tasks
from django_authmail.conf import PREFIX, Conf, conf
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.extras import installed, require
from django_authmail.guards import envelope_address, safe_header
from django_authmail.models import Message
from django_authmail.smtp import EmailBackend
from django_authmail.smtp.presets import preset

TAG = "authmail"

#: Contract, section 4. 32 characters of hex are 128 bits.
MIN_KEY_LENGTH = 32

Apps = Sequence[AppConfig] | None
Found = list[checks.CheckMessage]

# Django's default, which no mail server on the internet accepts.
_DJANGO_FROM = "webmaster@localhost"
_OWN_CACHES = (
    "django.core.cache.backends.locmem.LocMemCache",
    "django.core.cache.backends.dummy.DummyCache",
)


def register() -> None:
    """Register every check with Django."""
    for check in (
        check_settings,
        check_sender,
        check_mailers,
        check_files,
        check_carrier,
        check_celery,
        check_requirements,
    ):
        checks.register(check, TAG)
    for check in (check_deployed_settings, check_deployed_services):
        checks.register(check, TAG, checks.Tags.security, deploy=True)


def check_settings(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at each AUTHMAIL_* setting by itself, and at USE_TZ."""
    found: Found = []
    known = [setting.name for setting in conf.all()]
    for name in conf.unknown_names():
        # Compared without the prefix, which would make any two names look alike.
        near = get_close_matches(
            name.removeprefix(PREFIX), [n.removeprefix(PREFIX) for n in known], n=1
        )
        meant = f"Did you mean {PREFIX}{near[0]}?" if near else "Remove it."
        found.append(_warning("W001", f"There is no setting {name}; it has no effect.", meant))
    for setting in conf.all():
        if problem := setting.problem():
            hint = f"Correct it, or remove it to get the default, {setting.default!r}."
            found.append(_error("E001", f"{setting.name} {problem}.", hint))
    if _short_key():
        found.append(_warning("W002", _SHORT_KEY, _SHORT_KEY_HINT))
    if not conf.use_tz:
        found.append(
            _error(
                "E010",
                "USE_TZ is False: due times and leases would be compared with local times.",
                "Set USE_TZ = True. Pages may still show local time, by TIME_ZONE.",
            )
        )
    return found


def check_sender(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at DEFAULT_FROM_EMAIL, which every mail of this package is from."""
    hint = 'Set DEFAULT_FROM_EMAIL = "Your service <no-reply@your-domain.example>".'
    address = conf.default_from_email
    try:
        safe_header(address, "DEFAULT_FROM_EMAIL")
    except UnsafeHeader as error:
        return [_error("E003", f"{error}.", f"It is one line. {hint}")]
    if address == _DJANGO_FROM:
        problem = f"DEFAULT_FROM_EMAIL is not set: mails would be from {_DJANGO_FROM}."
        return [_error("E002", problem, hint)]
    try:
        envelope_address(address, "DEFAULT_FROM_EMAIL")
    except InvalidAddress as error:
        return [_error("E002", f"{error}.", hint)]
    return []


def check_mailers(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at the options of each SMTP account that this package sends by."""
    return [message for alias, given in _smtp_mailers() for message in _mailer(alias, given)]


def check_files(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look whether the certificate files that the settings name can be read."""
    found: Found = []
    for where, path, is_authority in _certificate_files():
        if problem := _file_problem(path, is_authority=is_authority):
            found.append(
                _error(
                    "E012",
                    f"{where} is {path!r}, {problem}.",
                    "Correct the path; the user that this process runs as must be able to read "
                    "the file. A relative path counts from where the process was started.",
                )
            )
    return found


def check_carrier(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether queued mail can leave by the mailer that AUTHMAIL_DELIVER_USING names."""
    if Conf.deliver_using.problem():
        return []  # E001 says so
    problem = mailers.carrier_problem(conf.deliver_using)
    if problem is None:
        return []
    hint = (
        "AUTHMAIL_DELIVER_USING names the mailer that queued mail leaves by; give it one with the "
        f"backend {mailers.OUR_SMTP}."
    )
    # It may end in a question: "did you mean …?"
    return [_error("E008", problem if problem.endswith("?") else f"{problem}.", hint)]


def check_celery(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether a task would reach a worker, as far as that can be known without connecting."""
    if Conf.celery.problem() or not conf.celery:
        return []
    if not installed("celery"):
        problem = "AUTHMAIL_CELERY is True and celery is not installed."
        hint = f"Run: pip install 'django-authmail[celery]'. {_WITHOUT_BROKER}"
        return [_error("E009", problem, hint)]
    app = require("celery", extra="celery", why="AUTHMAIL_CELERY").current_app
    if app.conf.task_always_eager:
        return []
    url = tasks.broker_url()
    if not url:
        is_project = type(app.loader).__module__ != _FALLBACK_LOADER
        problem = (
            "AUTHMAIL_CELERY is True and the project's Celery app has no broker_url"
            if is_project
            else "AUTHMAIL_CELERY is True and no Celery app of the project is loaded"
        )
        return [
            _error(
                "E011",
                f"{problem}: tasks would go to amqp://guest@localhost, Celery's default.",
                f"Set CELERY_BROKER_URL. {_WITHOUT_BROKER}"
                if is_project
                else "Make one in celery.py and import it in the __init__.py beside it, as "
                f"Celery's guide for Django and the README say. {_WITHOUT_BROKER}",
            )
        ]
    found: Found = []
    if cause := _transport_problem(app):
        # The rest of the URL may hold a password.
        scheme = url.partition("://")[0]
        extra = "django-authmail[redis]" if scheme in _REDIS else f"celery[{scheme}]"
        found.append(
            _error(
                "E009",
                f"The Celery broker is {scheme}://, which cannot be used: {cause}.",
                f"Run: pip install '{extra}'. {_WITHOUT_BROKER}",
            )
        )
    entries = (app.conf.beat_schedule or {}).values()
    if app.conf.beat_scheduler == _SETTINGS_SCHEDULER and not any(
        entry.get("task") == tasks.SWEEP for entry in entries
    ):
        found.append(
            _warning(
                "W006",
                f"No entry of CELERY_BEAT_SCHEDULE names the task {tasks.SWEEP!r}: mail that is "
                "tried again, or whose task was lost, is not sent.",
                f'Add "authmail-sweep": {{"task": "{tasks.SWEEP}", "schedule": 5.0}} and run '
                "`celery beat`, or run `manage.py authmail_dispatch` beside the workers and "
                "silence this check.",
            )
        )
    return found


def check_requirements(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether what the settings switch on is installed."""
    found: Found = []
    if conf.metrics_enabled and not installed("prometheus_client"):
        found.append(
            _warning(
                "W005",
                "AUTHMAIL_METRICS_ENABLED is True and prometheus-client is not installed: "
                "/metrics answers 404.",
                "Run: pip install 'django-authmail[metrics]'.",
            )
        )
    return found


def check_deployed_settings(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look for settings that are for development and tests."""
    found: Found = []
    if _short_key():
        found.append(_error("E101", _SHORT_KEY, _SHORT_KEY_HINT))
    if conf.metrics_enabled and not conf.metrics_require_auth:
        found.append(
            _warning(
                "W102",
                "/metrics answers everybody: volumes and failures are readable without a key.",
                "Set AUTHMAIL_METRICS_REQUIRE_AUTH = True, or keep the path off the internet.",
            )
        )
    for where in _where_set("smtp_debug", "debug"):
        found.append(
            _warning(
                "W103",
                f"{where} is on: the SMTP dialogue, with the addresses in it, goes to the logs.",
                f"Set {where} to False.",
            )
        )
    for where in _where_set("capture_dir", "capture_dir"):
        found.append(
            _error(
                "E104",
                f"{where} is set: mails are written into a folder, and none is sent.",
                f"Remove {where}; it is for tests.",
            )
        )
    if conf.webhook_allow_loopback:
        found.append(
            _error(
                "E105",
                "AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK is True: whoever has an API key can make this "
                "server send requests to itself and to its private network.",
                "Remove AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK; it is for tests.",
            )
        )
    if conf.api_docs:
        found.append(
            _warning(
                "W106",
                "/docs and /openapi.json are open to everybody.",
                "Set AUTHMAIL_API_DOCS = False if the API is reachable from the internet; silence "
                "this check if the docs are meant to be public.",
            )
        )
    return found


def check_deployed_services(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at the cache, the broker and the database that the project names."""
    found: Found = []
    backend = caches.settings.get(DEFAULT_CACHE_ALIAS, {}).get("BACKEND", "")
    if backend in _OWN_CACHES:
        found.append(
            _warning(
                "W107",
                f"The default cache is {backend.rpartition('.')[2]}, which each process has for "
                "itself: limits count once for every process.",
                "Use a cache that processes share: Redis or Memcached.",
            )
        )
    # The rest of the URL may hold a password.
    scheme = (tasks.broker_url() or "").partition("://")[0] if conf.celery else ""
    if scheme in ("filesystem", "memory"):
        found.append(
            _error(
                "E108",
                f"The Celery broker is {scheme}://, which loses tasks when a worker stops, or "
                "never passes them to another process.",
                f"Use Redis or RabbitMQ. {_WITHOUT_BROKER}",
            )
        )
    alias = router.db_for_write(Message)
    database = connections[alias]
    mode = str(database.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED").upper()
    if database.vendor == "sqlite" and mode == "DEFERRED":
        found.append(
            _warning(
                "W109",
                f"The database {alias!r} is SQLite without transaction_mode IMMEDIATE: two workers "
                'that write at once get "database is locked".',
                f'Set DATABASES[{alias!r}]["OPTIONS"]["transaction_mode"] = "IMMEDIATE".',
            )
        )
    return found


_WITHOUT_BROKER = (
    "Or set AUTHMAIL_CELERY = False and run `manage.py authmail_dispatch`, which needs no broker."
)
# The app that Celery makes when a project has none.
_FALLBACK_LOADER = "celery.loaders.default"
# Celery's default. Others, as django-celery-beat, keep their entries elsewhere.
_SETTINGS_SCHEDULER = "celery.beat:PersistentScheduler"
_REDIS = ("redis", "rediss", "sentinel")

_SHORT_KEY = f"AUTHMAIL_API_KEY has less than {MIN_KEY_LENGTH} characters: it can be guessed."
_SHORT_KEY_HINT = (
    "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'. Or leave it empty "
    "and use keys of `manage.py authmail_key create`."
)


def _short_key() -> bool:
    return not Conf.api_key.problem() and 0 < len(conf.api_key) < MIN_KEY_LENGTH


def _smtp_mailers() -> Iterator[tuple[str, mailers.MailerOptions]]:
    """Yield the SMTP accounts that this package sends by: ours, and those that settings name."""
    for alias in mailers.names():
        given = mailers.options(alias)
        # Where there is only EMAIL_*, an outbox delivers by the account that EMAIL_* names.
        ours = given.backend == mailers.OUR_SMTP or (
            given.backend == mailers.OUTBOX and conf.mailers is None
        )
        named = alias in ("default", conf.deliver_using)
        if ours or (named and _is_smtp(given.backend)):
            yield alias, given


def _is_smtp(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False  # E008 or Django itself says so
    return inspect.isclass(backend) and issubclass(backend, DjangoSMTP)


def _transport_problem(app: Any) -> str | None:
    """Say why Celery cannot talk to its broker; None when it can. Opens no connection."""
    try:
        with app.connection_for_write() as connection:
            # A property: reading it imports and makes the transport.
            connection.transport  # noqa: B018
    except ImportError as error:
        return str(error)
    except KeyError as error:  # kombu's answer to an unknown scheme
        return str(error.args[0])
    except Exception as error:
        # What a transport does without its library. (Redis: AttributeError.)
        return f"its library is missing or does not fit ({type(error).__name__})"
    return None


def _certificate_files() -> Iterator[tuple[str, str, bool]]:
    """Yield where each file is named, its path, and whether it holds authorities."""
    if not Conf.smtp_ca_file.problem() and conf.smtp_ca_file:
        yield Conf.smtp_ca_file.name, conf.smtp_ca_file, True
    for alias, given in _smtp_mailers():
        for option in ("ca_file", "ssl_certfile", "ssl_keyfile"):
            if path := given.options.get(option):
                yield f'MAILERS[{alias!r}]["OPTIONS"]["{option}"]', str(path), option == "ca_file"


def _file_problem(path: str, *, is_authority: bool) -> str | None:
    try:
        with open(path, "rb"):
            pass
        if is_authority:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError:
        return "which holds no certificate in PEM form"
    except OSError as error:
        return f"which cannot be read: {error.strerror}"
    return None


def _mailer(alias: str, given: mailers.MailerOptions) -> Iterator[checks.CheckMessage]:
    if _is_ours(given.backend):
        for name, near in EmailBackend.unknown_options(given.options).items():
            where = f'MAILERS[{alias!r}]["OPTIONS"]["{name}"]'
            meant = f"Did you mean {near!r}?" if near else "Remove it."
            yield _error("E013", f"{where} is no option of {mailers.OUR_SMTP}.", meant)
        try:
            given = _with_preset(given)
        except ImproperlyConfigured as error:
            where = f'MAILERS[{alias!r}]["OPTIONS"]["preset"]'
            yield _error("E014", f"{where}: {error}.", "docs/smtp-presets.md describes them.")
            return
    yield from _account(alias, given)


def _is_ours(path: str) -> bool:
    try:
        backend = import_string(path)
    except ImportError:
        return False
    return inspect.isclass(backend) and issubclass(backend, EmailBackend)


def _with_preset(given: mailers.MailerOptions) -> mailers.MailerOptions:
    """Return the options with what their preset fills in."""
    name = given.options.get("preset")
    if not name:
        return given
    filled = preset(str(name)).options(given.options)
    return replace(
        given,
        host=filled["host"] or "",
        port=filled["port"],
        user=given.user or filled.get("user", ""),
        use_tls=bool(filled["use_tls"]),
        use_ssl=bool(filled["use_ssl"]),
    )


def _account(alias: str, given: mailers.MailerOptions) -> Iterator[checks.CheckMessage]:
    host, user, password = (_place(alias, o) for o in ("host", "username", "password"))
    use_tls, use_ssl = (_place(alias, o) for o in ("use_tls", "use_ssl"))
    modes = f"{use_tls} (STARTTLS, port 587) or {use_ssl} (TLS from the start, port 465)"
    if not given.host:
        yield _error("E004", f"{host} is empty: there is no server to send by.", f"Set {host}.")
    if given.use_tls and given.use_ssl:
        yield _error(
            "E005", f"{use_tls} and {use_ssl} exclude each other.", f"Set one of them: {modes}."
        )
    by_token = bool(given.options.get("oauth")) and bool(given.user)
    if bool(given.user) != bool(given.password) and not by_token:
        there, missing = (user, password) if given.user else (password, user)
        yield _error(
            "E007",
            f"{there} is set and {missing} is not: nobody can log in with that.",
            f"Set {missing}, or remove {there} to send without login.",
        )
    elif given.user and not (given.use_tls or given.use_ssl):
        allowed = given.options.get("allow_cleartext_auth", conf.smtp_allow_cleartext_auth)
        problem = f"{password} would cross the network readable: neither TLS mode is on."
        if allowed:
            hint = f"Set {modes}, unless the whole way to the server is your own."
            yield _warning("W003", problem, hint)
        else:
            yield _error("E006", problem, f"Set {modes}.")
    other = {465: use_ssl, 587: use_tls}.get(given.port or 0)
    fits = {465: not given.use_tls, 587: not given.use_ssl}.get(given.port or 0, True)
    if not fits:
        port = _place(alias, "port")
        yield _warning(
            "W004",
            f"{port} is {given.port}, which does not fit the TLS mode: connecting would hang or "
            "fail.",
            f"With port {given.port}, set {other}.",
        )


_EMAIL_NAMES = {
    "host": "EMAIL_HOST",
    "port": "EMAIL_PORT",
    "username": "EMAIL_HOST_USER",
    "password": "EMAIL_HOST_PASSWORD",
    "use_tls": "EMAIL_USE_TLS",
    "use_ssl": "EMAIL_USE_SSL",
}


def _place(alias: str, option: str) -> str:
    """Return what the person who fixes it has to look for."""
    if conf.mailers is None:
        return _EMAIL_NAMES[option]
    return f'MAILERS[{alias!r}]["OPTIONS"]["{option}"]'


def _where_set(setting: str, option: str) -> Iterator[str]:
    """Yield the places where an option of our SMTP backend is on: the setting, then MAILERS."""
    if getattr(conf, setting):
        yield getattr(Conf, setting).name
    for alias, given in _smtp_mailers():
        if given.options.get(option):
            yield f'MAILERS[{alias!r}]["OPTIONS"]["{option}"]'


def _error(number: str, problem: str, hint: str) -> checks.Error:
    return checks.Error(problem, hint=hint, id=f"{TAG}.{number}")


def _warning(number: str, problem: str, hint: str) -> checks.Warning:
    return checks.Warning(problem, hint=hint, id=f"{TAG}.{number}")
