"""The suite's settings for the processes of a storm: its database, its server, short times."""

import os
from datetime import timedelta

from tests.settings import *  # noqa: F403 - settings modules are made to be extended so

# What a worker needs: processes are started often here.
INSTALLED_APPS = ["django_authmail"]
# Nothing is served; this module is a URLconf without URLs too.
ROOT_URLCONF = __name__
urlpatterns: list[str] = []

DATABASES["default"] |= {  # noqa: F405
    # As in production: a connection that the database's restart broke is in the worker's hands.
    "CONN_MAX_AGE": 60,
    "CONN_HEALTH_CHECKS": True,
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":  # noqa: F405
    # As the documentation advises for several processes on one file.
    DATABASES["default"]["OPTIONS"] = {  # noqa: F405
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }

_options = {"host": "127.0.0.1", "port": int(os.environ["CHAOS_SMTP_PORT"]), "use_tls": False}
_backend = os.environ.get("CHAOS_EMAIL_BACKEND", "django_authmail.smtp.EmailBackend")
MAILERS = {"default": {"BACKEND": _backend, "OPTIONS": _options}}


def _say_who_connects() -> None:
    # The server's ledger then has the process that handed a mail over.
    _options["local_hostname"] = (
        f"{os.getpid()}.{os.environ.get('CHAOS_NAME', 'agent')}.example.org"
    )


_say_who_connects()
os.register_at_fork(after_in_child=_say_who_connects)

AUTHMAIL_CELERY = bool(os.environ.get("CHAOS_BROKER_URL"))
# The lease of a killed worker's mail ends 15 s after this: the storm waits for that at its end.
AUTHMAIL_SEND_DEADLINE = timedelta(seconds=5)
# A mail server that was restarted is tried again soon.
AUTHMAIL_BREAKER_PAUSE = timedelta(seconds=2)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"lines": {"()": "django_authmail.logs.Formatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
}
# Receivers are threads of the test. A try that fails is soon made again, for as long as it takes.
AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
AUTHMAIL_WEBHOOK_TIMEOUT = timedelta(seconds=2)
AUTHMAIL_WEBHOOK_BACKOFF_SECONDS = (1,) * 50
