"""The settings, all of them from the environment. `.env.example` lists the names.

What is wrong with a value stops the process at the end of this module: all mistakes at once.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import quote

from django.conf import global_settings
from django.core import mail
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from django_authmail.exceptions import AuthmailError
from django_authmail.extras import installed
from django_authmail.guards import header_address
from django_authmail.schedule import beat_schedule
from django_authmail.secret import Secret
from example_project.commands import management_command, needs_mail_server
from example_project.environment import Environment
from example_project.files import require_folder
from example_project.mistakes import Mistakes
from example_project.names import LINK_PATHS
from example_project.notices import Notice
from example_project.requirements import NO_BROKER, broker, require_driver, require_service

require_service()
mistakes = Mistakes()
env = Environment.load(mistakes=mistakes)
misspelt = env.misspelt()
notices: list[Notice] = [
    Notice(
        id="W004",
        text=f"{name} is set, and there is no such name: it has no effect.",
        hint=f"Did you mean {meant}?" if meant else ".env.example lists the names that there are.",
    )
    for name, meant in misspelt.items()
]

# -- This machine -------------------------------------------------------------------------------

#: What this process keeps: database, key, broker folders. It holds secrets, so nobody else reads.
DATA_DIR = env.folder("DATA_DIR", "var")
#: Made when the apps are loaded.
OWN_FOLDERS = [DATA_DIR]


def _keeps_here() -> bool:
    """Whether this process writes to DATA_DIR; if not, it may be on a file system that is not."""
    # `os.path`: in a folder that this user may not enter, pathlib raises.
    own_key = not env.given("SECRET_KEY") and not os.path.lexists(DATA_DIR / "secret_key")
    own_database = not env.given("DATABASE_URL")
    own_broker = env.text("CELERY_BROKER_URL", "filesystem").lower().startswith("filesystem")
    return env.is_whole and (own_key or own_database or own_broker)


if env.is_whole or env.given("DATA_DIR"):
    with mistakes:
        require_folder(DATA_DIR, name="DATA_DIR", to_write=_keeps_here())

# Lazy, because the key that is made when there is none is written to a file.
SECRET_KEY = SimpleLazyObject(lambda: env.secret_key(DATA_DIR))
HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, least=1, most=65535)
# `email-service` is what S0's callers name the service in a compose file.
ALLOWED_HOSTS = env.csv("ALLOWED_HOSTS", ("localhost", "127.0.0.1", "[::1]", "email-service"))

DATABASES = {
    "default": env.database(
        "DATABASE_URL", default=f"sqlite:///{quote(str(DATA_DIR / 'db.sqlite3'))}"
    )
}
CACHES = {"default": env.cache("CACHE_URL")}
with mistakes:
    require_driver("DATABASE_URL", DATABASES["default"]["ENGINE"])
with mistakes:
    require_driver("CACHE_URL", CACHES["default"]["BACKEND"])

# -- Django --------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # First, so that its runserver is the one that runs.
    "example_project",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "example_project.wording.ServiceMailConfig",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "example_project.static.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
if installed("django_prometheus"):
    INSTALLED_APPS.append("django_prometheus")
    MIDDLEWARE = [
        "django_prometheus.middleware.PrometheusBeforeMiddleware",
        *MIDDLEWARE,
        "django_prometheus.middleware.PrometheusAfterMiddleware",
    ]

ROOT_URLCONF = "example_project.urls"
WSGI_APPLICATION = "example_project.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("MinimumLengthValidator", "CommonPasswordValidator", "NumericPasswordValidator")
]

LANGUAGE_CODE = env.choice("LANGUAGE_CODE", "ko", choices=("ko", "en"))
LANGUAGES = [("ko", _("Korean")), ("en", _("English"))]
TIME_ZONE = env.time_zone("TIME_ZONE", "Asia/Seoul")
USE_TZ = True

STATIC_URL = "static/"
# Served from where the apps keep them: no collectstatic before the first start.
WHITENOISE_USE_FINDERS = True

# -- Mail ----------------------------------------------------------------------------------------


# W110 is about PROMETHEUS_MULTIPROC_DIR, which `metrics.share_metrics` sets where it counts.
SILENCED_SYSTEM_CHECKS = ["authmail.W110"]
# The ids of this project's own message, and of the package's for the same.
_MISSING = {"SMTP_HOST": ("E001", "authmail.E004"), "SMTP_FROM": ("E002", "authmail.E002")}


def missing(name: str, problem: str) -> None:
    """Stop a process that may send mail; `check` reports it, the other commands do not need it."""
    wrong = next((f" ({w} is set. A typing error?)" for w, m in misspelt.items() if m == name), "")
    if needs_mail_server(sys.argv) and env.is_whole:
        mistakes.append(problem + wrong)
    if management_command(sys.argv) == "check":
        notices.append(Notice(id=_MISSING[name][0], text=problem + wrong))
    # The same in the words of settings that the operator of this project never wrote.
    SILENCED_SYSTEM_CHECKS.append(_MISSING[name][1])


def sender() -> str:
    """Return the From address: SMTP_FROM, SMTP_USER if it is an address, DEFAULT_FROM_EMAIL."""
    for name in ("SMTP_FROM", "SMTP_USER", "DEFAULT_FROM_EMAIL"):
        address = env.text(name)
        if not address or (name == "SMTP_USER" and "@" not in address):
            continue
        try:
            header_address(address, name)
        except AuthmailError as error:
            mistakes.append(f"{error}.")
            return ""
        return address
    missing(
        "SMTP_FROM",
        "SMTP_FROM is not set, and neither is DEFAULT_FROM_EMAIL, nor is SMTP_USER an address:"
        " there is nothing to put into From. Set SMTP_FROM.",
    )
    return ""


def smtp_options() -> dict[str, object]:
    """Return the options of the `smtp` carrier."""
    host = env.mail_host("SMTP_HOST")
    if not env.text("SMTP_HOST").strip():
        missing(
            "SMTP_HOST",
            "SMTP_HOST is not set. Name the mail server in the environment or in .env;"
            " `manage.py demo` runs without one.",
        )
    port = env.integer("SMTP_PORT", 587, least=1, most=65535)
    # Port 465 speaks TLS from the first byte (RFC 8314, 3.3); STARTTLS would wait for ever.
    use_ssl = env.boolean("SMTP_USE_SSL", port == 465 and not env.given("SMTP_USE_TLS"))
    use_tls = env.boolean("SMTP_USE_TLS", not use_ssl)
    if use_ssl and use_tls:
        mistakes.append(
            "SMTP_USE_TLS (STARTTLS, port 587) and SMTP_USE_SSL (TLS at once, port 465) are both"
            " on. Choose one."
        )
    user, password = env.text("SMTP_USER"), Secret(env.text("SMTP_PASSWORD"))
    if user and not password:
        notices.append(
            Notice(
                id="W002",
                text="SMTP_USER is set and SMTP_PASSWORD is empty: mail is sent without AUTH.",
                hint="Set SMTP_PASSWORD, or remove SMTP_USER.",
            )
        )
        user = ""
    if user and not (use_tls or use_ssl):
        notices.append(
            Notice(
                id="W003",
                text="SMTP_USE_TLS is off: SMTP_PASSWORD crosses the network readable.",
                hint="Set SMTP_USE_TLS=true, or SMTP_USE_SSL=true for port 465.",
            )
        )
        # The same; a notice is in the log of servers too.
        SILENCED_SYSTEM_CHECKS.append("authmail.W003")
    return {
        "host": host,
        "port": port,
        "username": user,
        "password": password,
        "use_tls": use_tls,
        "use_ssl": use_ssl,
    }


_options = smtp_options()
DEFAULT_FROM_EMAIL = sender() or global_settings.DEFAULT_FROM_EMAIL
SERVER_EMAIL = DEFAULT_FROM_EMAIL
if hasattr(mail, "mailers"):
    MAILERS = {
        "default": {"BACKEND": "django_authmail.smtp.EmailBackend", "OPTIONS": _options},
    }
else:
    EMAIL_BACKEND = "django_authmail.smtp.EmailBackend"
    EMAIL_HOST = _options["host"]
    EMAIL_PORT = _options["port"]
    EMAIL_HOST_USER = _options["username"]
    EMAIL_HOST_PASSWORD = _options["password"]
    EMAIL_USE_TLS = _options["use_tls"]
    EMAIL_USE_SSL = _options["use_ssl"]

# -- django_authmail -----------------------------------------------------------------------------

AUTHMAIL_API_DOCS = env.boolean("API_DOCS", True)
AUTHMAIL_API_KEY = Secret(env.text("API_KEY"))
AUTHMAIL_CAPTURE_DIR = env.path("EMAIL_TEST_CAPTURE_DIR") or ""
AUTHMAIL_CELERY = env.text("CELERY_BROKER_URL").lower() != NO_BROKER
AUTHMAIL_IDEMPOTENCY_TTL_SECONDS = env.integer(
    "API_IDEMPOTENCY_TTL_SECONDS", 86_400, most=31_536_000
)
AUTHMAIL_LINK_BASE_URL = env.base_url("MAGIC_LINK_BASE_URL")
AUTHMAIL_LINK_PATHS = {
    kind: path for kind, name in LINK_PATHS.items() if (path := env.link_path(name))
}
AUTHMAIL_LOG_FORMAT = env.choice("EMAIL_SERVICE_LOG_FORMAT", "text", choices=("text", "json"))
AUTHMAIL_METRICS_ENABLED = env.boolean("METRICS_ENABLED", False)
AUTHMAIL_METRICS_REQUIRE_AUTH = env.boolean("METRICS_REQUIRE_AUTH", False)
AUTHMAIL_RATE_LIMIT_PER_MINUTE = env.integer("API_RATE_LIMIT_PER_MINUTE", 60)
AUTHMAIL_SMTP_ALLOW_CLEARTEXT_AUTH = not (_options["use_tls"] or _options["use_ssl"])
AUTHMAIL_SMTP_CA_FILE = env.file("SMTP_CA_FILE") or ""
AUTHMAIL_SMTP_DEBUG = env.boolean("EMAIL_SERVICE_DEBUG", False)
AUTHMAIL_TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 0)
AUTHMAIL_WEBHOOK_ALLOW_HOSTS = env.hosts("WEBHOOK_ALLOW_HOSTS")
AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = env.boolean("WEBHOOK_ALLOW_LOOPBACK", False)
AUTHMAIL_WEBHOOK_CA_FILE = env.file("WEBHOOK_CA_FILE") or ""
# Receivers that were written for S0 may verify the first form alone. Its single key tells them.
AUTHMAIL_WEBHOOK_SIGNATURE_V1 = env.boolean("WEBHOOK_SIGNATURE_V1", env.given("API_KEY"))

#: The folder whose mails /inbox/ shows to anybody who can reach it. Only the demo sets it.
DEMO_INBOX_DIR = env.path("DEMO_INBOX_DIR")
#: The folder whose webhooks /webhooks/ shows, in the same way.
DEMO_WEBHOOKS_DIR = env.path("DEMO_WEBHOOKS_DIR")

# -- Celery --------------------------------------------------------------------------------------

CELERY_BROKER_URL = ""
with mistakes:
    if AUTHMAIL_CELERY:
        CELERY_BROKER_URL = broker(
            "CELERY_BROKER_URL", env.text("CELERY_BROKER_URL", "filesystem://")
        )
if CELERY_BROKER_URL.startswith("filesystem:"):
    # The host means nothing there, but kombu warns of one that is missing.
    CELERY_BROKER_URL = "filesystem://localhost//"
    CELERY_BROKER_TRANSPORT = "example_project.broker:Transport"
    _queue, _control = DATA_DIR / "broker" / "queue", DATA_DIR / "broker" / "control"
    OWN_FOLDERS += [_queue, _control]
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_queue),
        "data_folder_out": str(_queue),
        "control_folder": str(_control),
        "polling_interval": 0.1,
    }
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_SERIALIZER = "json"
CELERY_TASK_IGNORE_RESULT = True
# Above AUTHMAIL_SEND_DEADLINE (45 s) and under the lease of a row (60 s).
CELERY_TASK_SOFT_TIME_LIMIT = 50
CELERY_TASK_TIME_LIMIT = 55
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULE_FILENAME = str(DATA_DIR / "beat-schedule")
# Picks up what a lost task or a dead worker left behind. A sweep that nobody ran in time is
# dropped: the next one finds the same rows.
CELERY_BEAT_SCHEDULE = beat_schedule()

# -- Logs ----------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "django_authmail.logs.Formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {
        "celery": {"level": "INFO"},
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django_authmail": {"level": "INFO"},
        "django_authmail.smtp": {"level": "DEBUG" if AUTHMAIL_SMTP_DEBUG else "INFO"},
        "example_project": {"level": "INFO"},
    },
}

ENVIRONMENT_NOTICES = tuple(notices)

mistakes.stop_if_any()
