"""The smallest project that uses every part of the package: for the suite, and for mypy."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core import mail

from example_project.environment import Environment

if TYPE_CHECKING:
    # mypy knows one settings module, this one. These are what the example project reads of its own.
    from example_project.settings import (  # noqa: F401
        AUTHMAIL_API_KEY,
        AUTHMAIL_CELERY,
        DATA_DIR,
        DEMO_INBOX_DIR,
        DEMO_WEBHOOKS_DIR,
        ENVIRONMENT_NOTICES,
        HOST,
        PORT,
    )

BASE_DIR = Path(__file__).resolve().parent.parent

#: One folder for all files of one run. tox gives each environment its own. Without tox one is made;
#: the variable hands it on to the processes that tests start, and who made it removes it.
RUN_DIR = Path(os.environ.get("AUTHMAIL_TEST_DIR") or tempfile.mkdtemp(prefix="authmail-tests-"))
if not os.environ.get("AUTHMAIL_TEST_DIR"):
    os.environ["AUTHMAIL_TEST_DIR"] = str(RUN_DIR)
    atexit.register(shutil.rmtree, RUN_DIR, ignore_errors=True)

SECRET_KEY = "only-the-test-suite-uses-this-key-and-it-protects-nothing"
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
# Django's own costs a second for each user that a test makes.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("ko", "한국어")]
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_authmail",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

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

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **Environment(os.environ).database(
            "DATABASE_URL", default=f"sqlite:///{RUN_DIR / 'db.sqlite3'}"
        ),
        # A thread that keeps its connection would stop the test database from being dropped.
        "CONN_MAX_AGE": 0,
    }
}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, not Django's in-memory database: threads and other processes of a test open it too.
    DATABASES["default"]["TEST"] = {"NAME": str(RUN_DIR / "test.sqlite3")}
elif _environment := os.environ.get("TOX_ENV_NAME"):
    # Several of them use one server at the same time.
    _name = f"test_{DATABASES['default']['NAME']}_{_environment}"
    DATABASES["default"]["TEST"] = {"NAME": _name.replace("-", "_")}
# How else a project may talk to its database; some environments of tox do.
if _zone := os.environ.get("AUTHMAIL_TEST_TIME_ZONE"):
    DATABASES["default"]["TIME_ZONE"] = _zone
    if DATABASES["default"]["ENGINE"] == "django.db.backends.mysql":
        # NOW() is then off too, by as much as on a server that has a zone other than UTC.
        DATABASES["default"]["OPTIONS"]["init_command"] = "SET time_zone = '+09:00'"
if os.environ.get("AUTHMAIL_TEST_SERVER_SIDE_BINDING") == "1":
    DATABASES["default"]["OPTIONS"]["server_side_binding"] = True
if os.environ.get("AUTHMAIL_TEST_PGBOUNCER") == "1":  # which tests/conftest.py starts
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True

DEFAULT_FROM_EMAIL = "Example <no-reply@example.com>"
if hasattr(mail, "mailers"):
    MAILERS = {
        "default": {
            "BACKEND": "django_authmail.smtp.EmailBackend",
            "OPTIONS": {"host": "127.0.0.1"},
        },
    }
else:
    EMAIL_BACKEND = "django_authmail.smtp.EmailBackend"
    EMAIL_HOST = "127.0.0.1"

# Tests send more to one address than anybody gets.
AUTHMAIL_RECIPIENT_LIMITS: list[Any] = []

CELERY_BROKER_URL = "memory://"

# Of dj-rest-auth, which tests/contrib uses. Its views keep what is here when they are imported.
REST_AUTH = {
    "PASSWORD_RESET_SERIALIZER": "django_authmail.contrib.dj_rest_auth.PasswordResetSerializer",
    "TOKEN_MODEL": None,
}
