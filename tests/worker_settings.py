"""The suite's settings, for a worker process on the database that a test made."""

import os
from typing import Any

from tests.settings import *  # noqa: F403 - settings modules are made to be extended so

DATABASES["default"]["NAME"] = os.environ["WORKER_DATABASE_NAME"]  # noqa: F405

_OPTIONS: dict[str, Any] = {
    "host": "localhost",
    "port": int(os.environ["WORKER_SMTP_PORT"]),
    "username": "sender@example.com",
    "password": "a-password-for-tests",
    "use_tls": True,
}
if "MAILERS" in globals():
    MAILERS["default"]["OPTIONS"] = _OPTIONS  # noqa: F405
else:
    EMAIL_HOST = _OPTIONS["host"]
    EMAIL_PORT = _OPTIONS["port"]
    EMAIL_HOST_USER = _OPTIONS["username"]
    EMAIL_HOST_PASSWORD = _OPTIONS["password"]
    EMAIL_USE_TLS = True
AUTHMAIL_SMTP_CA_FILE = os.environ["WORKER_SMTP_CA"]
# Of a Celery worker, and of no other process.
AUTHMAIL_CELERY = "WORKER_BROKER_URL" in os.environ
# Receivers of webhooks are threads of the test.
AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
