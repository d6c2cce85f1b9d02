"""What the environment makes of the settings, and which mistake stops which process, by name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import DataError
from pytest_django.fixtures import Settings

from django_authmail.notifiers import registry
from django_authmail.notifiers.links import LinkNotifier
from example_project import web
from example_project.certificates import ServerCertificate
from example_project.commands import needs_mail_server
from example_project.names import LINK_PATHS, NAMES
from tests import smtp_server as servers
from tests.example.conftest import Load

ROOT = Path(__file__).parents[2]
KEY = "k" * 40

NotInstalled = Callable[..., None]


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> NotInstalled:
    """Make packages look as if they were not installed; None is Python's own mark of it."""

    def hide(*modules: str) -> None:
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return hide


def mailer(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the carrier, from either way to write them."""
    if "MAILERS" in settings:
        assert settings["MAILERS"]["default"]["BACKEND"] == "django_authmail.smtp.EmailBackend"
        options: dict[str, Any] = settings["MAILERS"]["default"]["OPTIONS"]
        return options
    assert settings["EMAIL_BACKEND"] == "django_authmail.smtp.EmailBackend"
    names = {"host": "HOST", "port": "PORT", "username": "HOST_USER"}
    names |= {"password": "HOST_PASSWORD", "use_tls": "USE_TLS", "use_ssl": "USE_SSL"}
    return {option: settings[f"EMAIL_{name}"] for option, name in names.items()}


def notices(settings: dict[str, Any]) -> list[tuple[str, str]]:
    return [(notice.id, notice.text) for notice in settings["ENVIRONMENT_NOTICES"]]


def test_an_s0_environment_starts_it_unchanged(load: Load, tmp_path: Path) -> None:
    """Every name of S0, with the values of its documentation."""
    env_file = tmp_path / "s0.env"
    env_file.write_text(
        "SMTP_HOST=smtp.gmail.com\n"
        "SMTP_PORT=587\n"
        "SMTP_USER=mailer@example.com\n"
        "SMTP_PASSWORD=abcd efgh ijkl mnop\n"
        "SMTP_FROM=서비스 <no-reply@example.com>\n"
        "SMTP_USE_TLS=true\n"
        f"API_KEY={KEY}\n"
        "API_RATE_LIMIT_PER_MINUTE=120\n"
        "API_IDEMPOTENCY_TTL_SECONDS=3600\n"
        "WEBHOOK_ALLOW_HOSTS=hooks.example.com,localhost\n"
        "WEBHOOK_ALLOW_LOOPBACK=1\n"
        "EMAIL_SERVICE_DEBUG=0\n"
        "MAGIC_LINK_BASE_URL=https://app.example.com\n"
        "METRICS_ENABLED=Yes\n"
        "METRICS_REQUIRE_AUTH=TRUE\n"
        "EMAIL_SERVICE_LOG_FORMAT=json\n"
        f"EMAIL_TEST_CAPTURE_DIR={tmp_path}/mails\n"
        "HOST=0.0.0.0\n"
        "PORT=8080\n"
    )

    settings = load(ENV_FILE=str(env_file))

    assert mailer(settings) == {
        "host": "smtp.gmail.com",
        "port": 587,
        "username": "mailer@example.com",
        "password": "abcd efgh ijkl mnop",
        "use_tls": True,
        "use_ssl": False,
    }
    assert settings["DEFAULT_FROM_EMAIL"] == "서비스 <no-reply@example.com>"
    assert settings["AUTHMAIL_API_KEY"] == KEY
    assert settings["AUTHMAIL_RATE_LIMIT_PER_MINUTE"] == 120
    assert settings["AUTHMAIL_METRICS_ENABLED"] is True
    assert settings["AUTHMAIL_METRICS_REQUIRE_AUTH"] is True
    assert settings["AUTHMAIL_IDEMPOTENCY_TTL_SECONDS"] == 3600
    assert settings["AUTHMAIL_LINK_BASE_URL"] == "https://app.example.com"
    assert settings["AUTHMAIL_LOG_FORMAT"] == "json"
    assert settings["AUTHMAIL_SMTP_DEBUG"] is False
    assert settings["AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK"] is True
    assert settings["AUTHMAIL_SMTP_ALLOW_CLEARTEXT_AUTH"] is False
    assert settings["AUTHMAIL_CAPTURE_DIR"] == tmp_path / "mails"
    assert (settings["HOST"], settings["PORT"]) == ("0.0.0.0", 8080)
    assert settings["AUTHMAIL_WEBHOOK_ALLOW_HOSTS"] == ["hooks.example.com", "localhost"]
    # What S0's receivers may verify alone.
    assert settings["AUTHMAIL_WEBHOOK_SIGNATURE_V1"] is True
    assert notices(settings) == []


def test_defaults(load: Load, tmp_path: Path) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com")

    assert mailer(settings)["port"] == 587
    assert mailer(settings)["use_tls"] is True
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]", "email-service"]
    assert (settings["HOST"], settings["PORT"]) == ("127.0.0.1", 8000)
    assert settings["DATABASES"]["default"]["NAME"] == str(tmp_path / "data" / "db.sqlite3")
    assert settings["CACHES"]["default"]["BACKEND"].endswith("LocMemCache")
    assert settings["CELERY_BROKER_URL"].startswith("filesystem://")
    assert settings["CELERY_BROKER_TRANSPORT"] == "example_project.broker:Transport"
    assert settings["CELERY_BROKER_TRANSPORT_OPTIONS"]["polling_interval"] == 0.1
    assert settings["CELERY_BEAT_SCHEDULE"]["authmail-sweep"] == {
        "task": "authmail.sweep",
        "schedule": 5.0,
        "options": {"expires": 600.0},
    }
    assert "SECURE_SSL_REDIRECT" not in settings
    assert settings["DEMO_INBOX_DIR"] is None
    assert settings["DEMO_WEBHOOKS_DIR"] is None
    assert settings["AUTHMAIL_WEBHOOK_SIGNATURE_V1"] is False
    assert settings["AUTHMAIL_RATE_LIMIT_PER_MINUTE"] == 60
    assert settings["AUTHMAIL_TRUSTED_PROXIES"] == 0
    assert settings["SILENCED_SYSTEM_CHECKS"] == ["authmail.W110"]
    assert (settings["LANGUAGE_CODE"], settings["TIME_ZONE"]) == ("ko", "Asia/Seoul")
    assert settings["LOGGING"]["loggers"]["django_authmail.smtp"] == {"level": "INFO"}
    assert settings["AUTHMAIL_IDEMPOTENCY_TTL_SECONDS"] == 86_400
    assert notices(settings) == []


def test_limits_that_are_off_are_no_notice(load: Load) -> None:
    values = {"API_RATE_LIMIT_PER_MINUTE": "0", "API_IDEMPOTENCY_TTL_SECONDS": "0"}
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", **values)

    assert settings["AUTHMAIL_IDEMPOTENCY_TTL_SECONDS"] == 0
    assert notices(settings) == []


def test_importing_the_settings_leaves_no_file(load: Load, tmp_path: Path) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com")

    assert list(tmp_path.iterdir()) == []
    assert len(settings["SECRET_KEY"]) >= 50  # now it is made, and kept
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["secret_key"]


def test_language_and_time_zone(load: Load) -> None:
    values = {"LANGUAGE_CODE": "en", "TIME_ZONE": "Europe/Berlin"}
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", **values)

    assert (settings["LANGUAGE_CODE"], settings["TIME_ZONE"]) == ("en", "Europe/Berlin")
    assert settings["CELERY_TIMEZONE"] == "Europe/Berlin"


def test_a_mistyped_name_is_a_notice(load: Load) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", SMTP_PASS="x")

    [notice] = settings["ENVIRONMENT_NOTICES"]
    assert notice.id == "W004"
    assert notice.text == "SMTP_PASS is set, and there is no such name: it has no effect."
    assert notice.hint == "Did you mean SMTP_PASSWORD?"


def test_a_name_of_the_package_in_the_file_is_a_notice(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("AUTHMAIL_LINK_BASE_URL=https://app.example.com\nAUTHMAIL_BRAND=x\n")
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", ENV_FILE=str(file))

    assert [(n.id, n.text.partition(" ")[0], n.hint) for n in settings["ENVIRONMENT_NOTICES"]] == [
        ("W004", "AUTHMAIL_BRAND", ".env.example lists the names that there are."),
        ("W004", "AUTHMAIL_LINK_BASE_URL", "Did you mean MAGIC_LINK_BASE_URL?"),
    ]


def test_a_mistyped_name_that_was_needed_is_named(
    load: Load,
) -> None:
    with pytest.raises(ImproperlyConfigured, match="^SMTP_HOST is not set.*SMTP_HSOT is set"):
        load(SMTP_HSOT="mail", SMTP_FROM="a@example.com")


@pytest.mark.parametrize(
    ("name", "url", "module", "extra"),
    [
        ("DATABASE_URL", "postgres://u:pa55@h/d", "psycopg", "postgres"),
        ("DATABASE_URL", "mysql://u:pa55@h/d", "MySQLdb", "mysql"),
        ("CACHE_URL", "redis://:pa55@h/1", "redis", "redis"),
        ("CELERY_BROKER_URL", "redis://:pa55@h/0", "redis", "redis"),
    ],
)
def test_a_library_that_is_missing_stops_the_start_by_extra(
    load: Load, not_installed: NotInstalled, name: str, url: str, module: str, extra: str
) -> None:
    not_installed(module, "psycopg2")

    with pytest.raises(ImproperlyConfigured, match=rf"^{name} needs {module},") as caught:
        load(SMTP_HOST="mail", SMTP_FROM="a@example.com", **{name: url})

    assert f"run: pip install '.[{extra}]'" in str(caught.value)
    assert "pa55" not in str(caught.value)


def test_the_service_was_not_installed(load: Load, not_installed: NotInstalled) -> None:
    not_installed("whitenoise", "rest_framework")

    with pytest.raises(
        ImproperlyConfigured,
        match=r"needs rest_framework, whitenoise, which are not installed.*'\.\[service\]'$",
    ):
        load(SMTP_HOST="mail", SMTP_FROM="a@example.com")


@pytest.mark.parametrize(
    "url",
    ["redis://h/0", "redis+socket:///run/redis.sock", "amqp://a;amqp://b", "memory://", "sqs://"],
)
def test_broker(load: Load, url: str) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", CELERY_BROKER_URL=url)

    assert settings["CELERY_BROKER_URL"] == url


def test_no_broker(load: Load) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", CELERY_BROKER_URL="none")

    assert settings["AUTHMAIL_CELERY"] is False
    assert len(settings["OWN_FOLDERS"]) == 1


@pytest.mark.parametrize("program", ["worker", "beat"])
def test_celery_without_a_broker_stops_and_says_what_to_run(tmp_path: Path, program: str) -> None:
    values = {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com", "CELERY_BROKER_URL": "none"}
    result = run(tmp_path, "-m", "celery", "-A", "example_project", program, **values)

    assert result.returncode == 1
    assert "CELERY_BROKER_URL is none: run `manage.py authmail_dispatch`" in result.stderr


@pytest.mark.parametrize(
    ("values", "sender"),
    [
        ({"SMTP_FROM": "a@x.kr", "SMTP_USER": "b@x.kr", "DEFAULT_FROM_EMAIL": "c@x.kr"}, "a@x.kr"),
        ({"SMTP_USER": "b@x.kr", "DEFAULT_FROM_EMAIL": "c@x.kr"}, "b@x.kr"),
        ({"SMTP_USER": "apikey", "DEFAULT_FROM_EMAIL": "c@x.kr"}, "c@x.kr"),
        ({"SMTP_FROM": "", "DEFAULT_FROM_EMAIL": "c@x.kr"}, "c@x.kr"),
    ],
)
def test_sender(load: Load, values: dict[str, str], sender: str) -> None:
    settings = load(SMTP_HOST="mail", SMTP_PASSWORD="p", **values)

    assert settings["DEFAULT_FROM_EMAIL"] == sender
    assert settings["SERVER_EMAIL"] == sender


@pytest.mark.parametrize(
    ("values", "port", "use_tls", "use_ssl"),
    [
        ({}, 587, True, False),
        ({"SMTP_PORT": "465"}, 465, False, True),
        ({"SMTP_PORT": "465", "SMTP_USE_TLS": "true"}, 465, True, False),
        ({"SMTP_USE_SSL": "yes", "SMTP_PORT": "10465"}, 10465, False, True),
        ({"SMTP_USE_TLS": "no", "SMTP_PORT": "25"}, 25, False, False),
        ({"SMTP_USE_TLS": "0", "SMTP_USE_SSL": "0"}, 587, False, False),
    ],
)
def test_tls_mode(
    load: Load, values: dict[str, str], port: int, use_tls: bool, use_ssl: bool
) -> None:
    options = mailer(load(SMTP_HOST="mail", SMTP_FROM="a@example.com", **values))

    assert (options["port"], options["use_tls"], options["use_ssl"]) == (port, use_tls, use_ssl)


def test_credentials_without_tls_work_with_a_warning(load: Load) -> None:
    settings = load(
        SMTP_HOST="mail", SMTP_USER="a@example.com", SMTP_PASSWORD="p", SMTP_USE_TLS="false"
    )

    assert settings["AUTHMAIL_SMTP_ALLOW_CLEARTEXT_AUTH"] is True
    assert [id for id, _ in notices(settings)] == ["W003"]


def test_credentials_without_tls_are_one_warning(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        "manage.py",
        "check",
        SMTP_HOST="mail",
        SMTP_USER="a@example.com",
        SMTP_PASSWORD="p",
        SMTP_USE_TLS="false",
        SMTP_FROM="a@example.com",
    )

    assert result.returncode == 0
    assert re.findall(r"\((\w+\.W\d+)\)", result.stderr) == ["example_project.W003"]
    assert result.stderr.count("network readable") == 1


def test_an_empty_password_means_no_login_with_a_warning(load: Load) -> None:
    settings = load(SMTP_HOST="mail", SMTP_USER="a@example.com", SMTP_PASSWORD="")

    assert mailer(settings)["username"] == ""
    assert settings["DEFAULT_FROM_EMAIL"] == "a@example.com"
    assert [id for id, _ in notices(settings)] == ["W002"]


def test_secrets_do_not_show_in_a_dump_of_the_settings(load: Load) -> None:
    settings = load(
        SMTP_HOST="mail", SMTP_USER="a@example.com", SMTP_PASSWORD="pa55word", API_KEY=KEY
    )

    assert "pa55word" not in repr(mailer(settings))
    assert KEY not in repr(settings["AUTHMAIL_API_KEY"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"SMTP_HOST": ""}, "^SMTP_HOST is not set"),
        ({"SMTP_FROM": ""}, "^SMTP_FROM is not set, and neither is DEFAULT_FROM_EMAIL"),
        ({"SMTP_FROM": "", "SMTP_USER": "apikey"}, "^SMTP_FROM is not set"),
        ({"SMTP_USE_TLS": "1", "SMTP_USE_SSL": "1"}, "^SMTP_USE_TLS .* and SMTP_USE_SSL"),
        ({"SMTP_USE_TLS": "on"}, "^SMTP_USE_TLS is 'on'; it must be"),
        ({"SMTP_USE_SSL": "x"}, "^SMTP_USE_SSL is 'x'"),
        ({"SMTP_PORT": "smtp"}, "^SMTP_PORT is 'smtp'"),
        ({"PORT": "70000"}, "^PORT is 70000"),
        ({"METRICS_ENABLED": "on"}, "^METRICS_ENABLED is 'on'"),
        ({"METRICS_REQUIRE_AUTH": "2"}, "^METRICS_REQUIRE_AUTH is '2'"),
        ({"EMAIL_SERVICE_DEBUG": "debug"}, "^EMAIL_SERVICE_DEBUG is 'debug'"),
        ({"WEBHOOK_ALLOW_HOSTS": "a.example,http://b.example"}, "^WEBHOOK_ALLOW_HOSTS must hold"),
        ({"WEBHOOK_ALLOW_LOOPBACK": "x"}, "^WEBHOOK_ALLOW_LOOPBACK is 'x'"),
        ({"EMAIL_SERVICE_LOG_FORMAT": "xml"}, "^EMAIL_SERVICE_LOG_FORMAT is 'xml'"),
        ({"API_RATE_LIMIT_PER_MINUTE": "-1"}, "^API_RATE_LIMIT_PER_MINUTE is -1"),
        ({"API_IDEMPOTENCY_TTL_SECONDS": "1d"}, "^API_IDEMPOTENCY_TTL_SECONDS is '1d'"),
        ({"MAGIC_LINK_BASE_URL": "http://app.example.com"}, "^MAGIC_LINK_BASE_URL must be https"),
        ({"DATABASE_URL": "oracle://x/y"}, "^DATABASE_URL must start with"),
        ({"CACHE_URL": "x://"}, "^CACHE_URL must start with"),
        ({"CELERY_BROKER_URL": "reddis://h"}, "^CELERY_BROKER_URL is 'reddis://h'; it must start"),
        ({"CELERY_BROKER_URL": "localhost:6379"}, "^CELERY_BROKER_URL must be a URL"),
        ({"CELERY_BROKER_URL": "amqp://a;x://b"}, "^CELERY_BROKER_URL is 'x://b'; it must start"),
        ({"CELERY_BROKER_URL": "amqp://h:99999"}, "^CELERY_BROKER_URL is 'amqp://h:99999'; behind"),
        ({"CELERY_BROKER_URL": "redis://h/x"}, "^CELERY_BROKER_URL is 'redis://h/x'; its database"),
        ({"SMTP_HOST": "mail:587"}, "^SMTP_HOST must not hold a port"),
        ({"SMTP_HOST": "smtp://mail"}, "^SMTP_HOST must be the name or address of a server alone"),
        ({"SMTP_FROM": "Example"}, "^SMTP_FROM is not a usable email address"),
        ({"SMTP_FROM": "a@example.com\nBcc: b@example.com"}, "^SMTP_FROM contains a line break"),
        ({"SMTP_FROM": "", "SMTP_USER": "a@b@c"}, "^SMTP_USER is not a usable email address"),
        ({"SMTP_CA_FILE": "/nonexistent/ca.pem"}, "^SMTP_CA_FILE: .* cannot be read: No such"),
        ({"LANGUAGE_CODE": "fr"}, "^LANGUAGE_CODE is 'fr'; it must be ko or en"),
        ({"TIME_ZONE": "Asia/Soul"}, "^TIME_ZONE is 'Asia/Soul'; it must be the name of a time"),
        ({"TIME_ZONE": "../x"}, "^TIME_ZONE is '../x'; it must be the name of a time zone"),
    ],
)
def test_a_mistake_stops_the_start_by_name(
    load: Load, values: dict[str, str], message: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        load(**{"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com", **values})


WRONG = {
    "ENV_FILE": "/nonexistent/prod.env",
    "DATA_DIR": "/dev/null/data",
    "SMTP_HOST": "mail:587",
    "SMTP_PORT": "smtp",
    "SMTP_FROM": "Example",
    "PORT": "70000",
    "METRICS_ENABLED": "on",
    "DATABASE_URL": "oracle://u:pa55@h/x",
    "CACHE_URL": "redis://:pa55@[::1",
    "CELERY_BROKER_URL": "reddis://:pa55@h",
    "WEBHOOK_ALLOW_HOSTS": "http://b.example",
    "WEBHOOK_CA_FILE": "/nonexistent/ca.pem",
    "MAGIC_LINK_BASE_URL": "app.example.com",
    "MAGIC_LINK_PATH": "login",
    "TIME_ZONE": "Asia/Soul",
}


def test_all_mistakes_are_told_at_once(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load(**WRONG, SMTP_USE_TLS="yes", SMTP_USE_SSL="yes")

    first, *lines = str(caught.value).splitlines()
    assert first == "16 mistakes in the environment:"
    assert {line.split()[0].rstrip(":") for line in lines} == {*WRONG, "SMTP_USE_TLS"}
    assert len(lines) == 16
    assert "  SMTP_PORT is 'smtp'; it must be a whole number, from 1 to 65535." in lines
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("reddis://:pa55@h:6379/0", "reddis://***@h:6379/0"),
        ("reddis://me:pa55@[::1]/0", "reddis://***@[::1]/0"),
        ("reddis://h/0?password=pa55", "reddis://h/0?***"),
        ("amqp://h;reddis://:pa55@h", "reddis://***@h"),
        # What ends the host early, as in a password that was not quoted: no part can be told apart.
        ("redis://:pa55/w@h/0", "redis://***"),
        ("amqp://me:pa55#w@h", "amqp://***"),
        ("amqp://me:pa55?w@h", "amqp://***"),
        ("reddis://h/0?password=pa55@w", "reddis://***"),
        ("redis://:pa55@[::1", "redis://***"),
        ("redis://me:pa55", "redis://***"),
        ("redis://me:550055", "redis://***"),
    ],
)
def test_a_wrong_broker_is_shown_without_its_password(load: Load, url: str, shown: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load(SMTP_HOST="mail", SMTP_FROM="a@example.com", CELERY_BROKER_URL=url)

    assert str(caught.value).startswith(f"CELERY_BROKER_URL is {shown!r}; ")
    assert "pa55" not in str(caught.value)
    assert "550055" not in str(caught.value)


@pytest.mark.parametrize("url", ["me:pa55@h", "redis://me:pa;55@h", "pa55"])
def test_a_broker_without_a_scheme_is_not_shown(load: Load, url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^CELERY_BROKER_URL must be a URL") as caught:
        load(SMTP_HOST="mail", SMTP_FROM="a@example.com", CELERY_BROKER_URL=url)

    assert "pa" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["redis://:p%2Fw@h:6379/1", "redis+socket:///run/redis.sock", "rediss://h", "amqp://a//"]
)
def test_brokers(load: Load, url: str) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com", CELERY_BROKER_URL=url)
    assert settings["CELERY_BROKER_URL"] == url


def test_what_an_env_file_says_behind_a_wrong_line_counts(load: Load, tmp_path: Path) -> None:
    file = tmp_path / "prod.env"
    file.write_text("SMTP_HOST=mail\nAPI_KEY pa55\nSMTP_FROM=a@example.com\n'\nPORT=70000\n")
    with pytest.raises(ImproperlyConfigured) as caught:
        load(ENV_FILE=str(file))

    assert str(caught.value).splitlines()[1:] == [
        f"  ENV_FILE: {file}, lines 2 and 4: expected NAME=value, and a quote that is closed.",
        "  PORT is 70000; it must be from 1 to 65535.",
    ]


def test_what_an_env_file_may_say_is_not_missing_where_it_cannot_be_read(
    load: Load, tmp_path: Path
) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load(ENV_FILE=str(tmp_path), PORT="70000")

    assert str(caught.value).splitlines()[1:] == [
        f"  ENV_FILE: {tmp_path} cannot be read: Is a directory.",
        "  PORT is 70000; it must be from 1 to 65535.",
    ]


def test_what_is_missing_is_told_with_the_mistakes(load: Load) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        load(PORT="70000")

    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == ["3", "PORT", "SMTP_HOST", "SMTP_FROM"]


def test_libraries_that_are_missing_are_told_with_the_mistakes(
    load: Load, not_installed: NotInstalled
) -> None:
    not_installed("redis", "psycopg", "psycopg2")
    urls = {"DATABASE_URL": "postgres://h/d", "CACHE_URL": "redis://h/1"}
    with pytest.raises(ImproperlyConfigured) as caught:
        load(SMTP_HOST="mail", SMTP_FROM="x", CELERY_BROKER_URL="redis://h/0", **urls)

    lines = str(caught.value).splitlines()
    assert [" ".join(line.split()[:2]) for line in lines] == [
        "4 mistakes",
        "DATABASE_URL needs",
        "CACHE_URL needs",
        "SMTP_FROM is",
        "CELERY_BROKER_URL needs",
    ]


def test_paths_of_links(load: Load) -> None:
    settings = load(
        SMTP_HOST="mail",
        SMTP_FROM="a@example.com",
        MAGIC_LINK_PATH="/login/{token}",
        PASSWORD_RESET_PATH="/reset",
        WELCOME_PATH="",
    )
    assert settings["AUTHMAIL_LINK_PATHS"] == {
        "magic-link": "/login/{token}",
        "password-reset": "/reset",
    }


def test_each_kind_with_a_link_has_a_name_for_its_path() -> None:
    kinds = (registry.get(kind) for kind in registry.kinds())
    assert {kind.kind for kind in kinds if issubclass(kind, LinkNotifier)} == {*LINK_PATHS}


@pytest.mark.parametrize(
    ("argv", "needs"),
    [
        (["manage.py", "demo"], False),
        (["./manage.py", "check", "--deploy"], False),
        (["manage.py"], False),
        (["manage.py", "--version"], False),
        (["manage.py", "runserver", "--help"], False),
        (["manage.py", "migrate"], False),
        (["manage.py", "authmail_key", "create"], False),
        (["manage.py", "runserver"], True),
        (["manage.py", "authmail_dispatch"], True),
        (["manage.py", "sendtestmail", "a@example.com"], True),
        (["manage.py", "somebody_elses_command"], True),
        (["/venv/bin/gunicorn", "example_project.wsgi"], True),
        (["/venv/bin/celery", "-A", "example_project", "worker"], True),
        ([""], True),
        ([], True),
    ],
)
def test_which_processes_need_the_mail_server(argv: list[str], needs: bool) -> None:
    assert needs_mail_server(argv) is needs


def test_commands_that_send_nothing_run_without_a_mail_server(load: Load) -> None:
    settings = load(["manage.py", "migrate"])

    assert mailer(settings)["host"] == ""
    # Its own message for each would stop them; `check` is asked for these messages.
    silenced = set(settings["SILENCED_SYSTEM_CHECKS"]) - {"authmail.W110"}  # never asked here
    assert silenced == {"authmail.E002", "authmail.E004"}
    assert notices(settings) == []
    settings = load(["manage.py", "check"])
    assert [id for id, _ in notices(settings)] == ["E001", "E002"]


# -- whole processes -------------------------------------------------------------------------------


def run(data: Path, *command: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment's Python with nothing but these values set."""
    return _run([sys.executable, *command], data, values)


def run_as_a_user(data: Path, *command: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run it where modes count: they do not for root, but for root without two capabilities."""
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--"]
    return _run([*(bound if os.geteuid() == 0 else []), sys.executable, *command], data, values)


def _run(
    command: Sequence[str], data: Path, values: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**kept, "ENV_FILE": "", "DATA_DIR": str(data), **values},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "authmail_dispatch", "--once"),
        ("-m", "celery", "-A", "example_project", "worker", "-P", "solo"),
        ("-m", "uvicorn", "example_project.asgi:application", "--port", "0"),
    ],
)
def test_every_process_stops_without_smtp_host(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(tmp_path, *command)

    assert result.returncode != 0
    *_, smtp_host, smtp_from = result.stderr.strip().splitlines()
    assert smtp_host.startswith("  SMTP_HOST is not set")
    assert smtp_from.startswith("  SMTP_FROM is not set")


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "migrate"),
        ("-m", "gunicorn", "example_project.wsgi", "--workers", "1"),
        ("-m", "uvicorn", "example_project.asgi:application", "--port", "0"),
    ],
)
def test_every_process_tells_all_mistakes(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(tmp_path, *command, **WRONG)

    assert result.returncode != 0
    told = [line.split()[0].rstrip(":") for line in result.stderr.splitlines() if line[:2] == "  "]
    assert {*WRONG} <= {*told}


@pytest.mark.parametrize(
    "command",
    [
        ("manage.py", "runserver", "--noreload", "0"),
        ("-m", "uvicorn", "example_project.asgi:application", "--port", "0"),
        ("-m", "gunicorn", "example_project.wsgi", "--bind", "127.0.0.1:0", "--workers", "1"),
    ],
)
def test_web_servers_stop_without_a_key_and_say_what_to_do(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    values = {"SMTP_HOST": "127.0.0.1", "SMTP_FROM": "a@example.com"}
    unmigrated = run(tmp_path, *command, **values, API_KEY=KEY)
    assert run(tmp_path, "manage.py", "migrate", "-v0").returncode == 0
    result = run(tmp_path, *command, **values)

    assert unmigrated.returncode != 0
    assert "has no table authmail_" in unmigrated.stderr
    assert "Run `manage.py migrate`." in unmigrated.stderr
    assert result.returncode != 0
    assert "API_KEY is not set" in result.stderr
    assert "`manage.py authmail_key create --name NAME`, or set API_KEY" in result.stderr


def test_a_database_that_is_down_does_not_stop_a_server_that_has_its_key(tmp_path: Path) -> None:
    values = {"SMTP_HOST": "127.0.0.1", "SMTP_FROM": "a@example.com"}
    port = servers.free_port()
    values["DATABASE_URL"] = f"postgres://nobody:a-password@127.0.0.1:{port}/none"
    start = ("-c", "import example_project.wsgi")

    started = run(tmp_path, *start, **values, API_KEY=KEY)
    refused = run(tmp_path, *start, **values)

    assert started.returncode == 0, started.stderr
    assert refused.returncode != 0
    assert "DATABASE_URL leads to no database" in refused.stderr
    for result in (started, refused):
        # One line, which ends so; Python 3.13 shows `import` of the command in its traceback, too.
        [line] = [line for line in result.stderr.splitlines() if f"port {port}" in line]
        assert "The database does not answer: " in line
        assert line.endswith("failed: Connection refused")


@pytest.mark.parametrize("key", ["", KEY])
def test_of_a_statement_that_fails_no_value_is_shown(
    key: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> list[str]:
        raise DataError("not a number: hong@example.com")

    settings.AUTHMAIL_API_KEY = key
    monkeypatch.setattr(web, "missing_tables", fail)
    told = ""
    try:
        web.require_ready()
    except ImproperlyConfigured as error:
        told = str(error)
    said = told + caplog.text
    assert "The database failed: DataError" in said
    assert "hong" not in said


@pytest.mark.parametrize(
    "command",
    [
        ("authmail_key", "create", "--name", "x"),
        ("authmail_key", "list"),
        ("authmail_dispatch",),
        ("authmail_dispatch", "--once"),
    ],
    ids=" ".join,
)
def test_a_command_before_migrate_says_so(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = run(tmp_path, "manage.py", *command, SMTP_HOST="mail", SMTP_FROM="a@example.com")

    assert result.returncode == 1
    last_line = result.stderr.strip().splitlines()[-1]
    assert re.fullmatch(
        r"CommandError: The database has no table authmail_\w+; run: manage\.py migrate", last_line
    )


@pytest.mark.parametrize("command", [("--help",), ("migrate", "--help"), ("--version",), ()])
def test_help_leaves_no_file(tmp_path: Path, command: tuple[str, ...]) -> None:
    assert run(tmp_path / "data", "manage.py", *command).returncode == 0

    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("folder", ["file", "file/data"])
def test_a_data_folder_that_is_a_file_is_told_with_the_mistakes(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("")
    result = run(tmp_path / folder, "manage.py", "migrate", PORT="x")

    assert result.returncode == 1
    data, file = tmp_path / folder, tmp_path / "file"
    assert result.stderr.splitlines() == [
        "manage.py: 2 mistakes in the environment:",
        f"  DATA_DIR is '{data}'; it must be a folder, and {file} is none.",
        "  PORT is 'x'; it must be a whole number, from 1 to 65535.",
    ]


@pytest.mark.parametrize("folder", ["kept", "kept/data"])
def test_a_data_folder_that_cannot_be_written_is_told_with_the_mistakes(
    tmp_path: Path, folder: str
) -> None:
    (tmp_path / "kept").mkdir(mode=0o500)
    result = run_as_a_user(tmp_path / folder, "manage.py", "migrate", PORT="x")

    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "manage.py: 2 mistakes in the environment:",
        f"  DATA_DIR is '{tmp_path / folder}'; it must be a folder that this user (number"
        f" {os.geteuid()}) can write to, and {tmp_path / 'kept'} is none.",
        "  PORT is 'x'; it must be a whole number, from 1 to 65535.",
    ]


def test_a_data_folder_in_which_nothing_is_kept_need_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir(mode=0o500)
    elsewhere = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3",
        "SECRET_KEY": "s" * 50,
        "CELERY_BROKER_URL": "none",
    }
    result = run_as_a_user(tmp_path / "kept", "manage.py", "migrate", "-v0", **elsewhere)

    assert (result.returncode, result.stderr) == (0, "")


def test_the_dialogue_is_on_stderr(certificate: ServerCertificate, tmp_path: Path) -> None:
    with servers.running(certificate) as server:
        values = {
            "SMTP_HOST": "localhost",
            "SMTP_PORT": str(server.port),
            "SMTP_USER": servers.USER,
            "SMTP_PASSWORD": servers.PASSWORD,
            "SMTP_CA_FILE": str(certificate.ca_file),
            "SMTP_FROM": "a@example.com",
        }
        command = ("manage.py", "sendtestmail", "hong@example.org")
        quiet = run(tmp_path, *command, **values)
        shown = run(tmp_path, *command, **values, EMAIL_SERVICE_DEBUG="1")

    assert quiet.returncode == shown.returncode == 0, shown.stderr
    assert "MAIL FROM" not in quiet.stderr
    assert "MAIL FROM" in shown.stderr
    assert "S: 250" in shown.stderr
    assert servers.PASSWORD not in shown.stderr


def test_the_root_leads_to_the_docs(tmp_path: Path) -> None:
    script = (
        "import django; django.setup()\n"
        "from django.test import Client\n"
        "answer = Client().get('/', headers={'host': 'localhost'})\n"
        "print(answer.status_code, answer.headers['Location'])"
    )
    environment = {"DJANGO_SETTINGS_MODULE": "example_project.settings"}
    values = {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com"}
    result = run(tmp_path, "-c", script, **environment, **values)

    assert result.stdout == "302 /docs\n", result.stderr


def test_a_key_in_the_database_is_enough(tmp_path: Path) -> None:
    start = ("-c", "import example_project.wsgi")
    values = {"SMTP_HOST": "127.0.0.1", "SMTP_FROM": "a@example.com"}

    # Neither needs a mail server.
    assert run(tmp_path, "manage.py", "migrate", "-v0").returncode == 0
    refused = run(tmp_path, *start, **values)
    assert run(tmp_path, "manage.py", "authmail_key", "create", "--name", "x").returncode == 0
    started = run(tmp_path, *start, **values)

    assert "`manage.py authmail_key create --name NAME`" in refused.stderr
    assert started.returncode == 0, started.stderr


def test_check_names_what_the_operator_has_to_write(tmp_path: Path) -> None:
    result = run(tmp_path, "manage.py", "check")

    assert result.returncode == 1
    assert "(example_project.E001) SMTP_HOST is not set." in result.stderr
    assert "(example_project.E002) SMTP_FROM is not set" in result.stderr
    assert "MAILERS" not in result.stderr
    assert "EMAIL_HOST" not in result.stderr


def test_the_description_of_the_api_is_no_warning_in_a_project_that_makes_its_own(
    tmp_path: Path,
) -> None:
    result = run(
        tmp_path,
        *("manage.py", "check", "--deploy"),
        SMTP_HOST="127.0.0.1",
        SMTP_FROM="a@example.com",
    )

    assert "(security.W012)" in result.stderr
    assert "drf_spectacular" not in result.stderr


def test_checks_speak_of_the_environment(tmp_path: Path) -> None:
    """Nobody who runs the service can write a setting."""
    result = run(
        tmp_path,
        *("manage.py", "check", "--deploy", "--tag", "authmail"),
        SMTP_HOST="127.0.0.1",
        SMTP_FROM="a@example.com",
        SMTP_USER="a",
        SMTP_PASSWORD="pa55",
        SMTP_PORT="465",
        SMTP_USE_TLS="yes",
        API_KEY="short",
        METRICS_ENABLED="yes",
        EMAIL_SERVICE_DEBUG="yes",
        EMAIL_TEST_CAPTURE_DIR=str(tmp_path),
        WEBHOOK_ALLOW_LOOPBACK="yes",
    )

    assert result.returncode == 1
    for name in (
        "API_DOCS=false",
        "API_KEY has less than",
        "CACHE_URL to one that",
        "CELERY_BROKER_URL=none",
        "EMAIL_SERVICE_DEBUG to false",
        "Remove EMAIL_TEST_CAPTURE_DIR",
        "METRICS_REQUIRE_AUTH=true",
        "SMTP_PORT is 465",
        "set SMTP_USE_SSL",
        "Remove WEBHOOK_ALLOW_LOOPBACK",
        "WEBHOOK_SIGNATURE_V1 is on",
        "Set WEBHOOK_SIGNATURE_V1=false",
    ):
        assert name in result.stderr, result.stderr
    assert not re.search("AUTHMAIL_|MAILERS|EMAIL_(HOST|PORT|USE)", result.stderr), result.stderr
    assert "W110" not in result.stderr
