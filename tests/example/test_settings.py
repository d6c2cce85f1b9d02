"""What the environment makes of the settings, and which mistake stops which process, by name."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from example_project.commands import needs_mail_server
from example_project.environment import NAMES

ROOT = Path(__file__).parents[2]
SERVER = ["/usr/bin/gunicorn", "example_project.wsgi"]
KEY = "k" * 40

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Run settings.py anew, as a process with this command line and environment would."""

    def load(argv: list[str] = SERVER, **values: str) -> dict[str, Any]:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"ENV_FILE": "", "DATA_DIR": str(tmp_path / "data"), **values}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", argv)
        # Under another name: the settings of this test run stay what they are.
        path = ROOT / "example_project" / "settings.py"
        spec = importlib.util.spec_from_file_location("settings_under_test", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return vars(module)

    return load


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
        "API_RATE_LIMIT_PER_MINUTE=60\n"
        "API_IDEMPOTENCY_TTL_SECONDS=86400\n"
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
    assert settings["AUTHMAIL_METRICS_ENABLED"] is True
    assert settings["AUTHMAIL_METRICS_REQUIRE_AUTH"] is True
    assert settings["AUTHMAIL_LOG_FORMAT"] == "json"
    assert settings["AUTHMAIL_SMTP_DEBUG"] is False
    assert settings["AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK"] is True
    assert settings["AUTHMAIL_SMTP_ALLOW_CLEARTEXT_AUTH"] is False
    assert settings["AUTHMAIL_CAPTURE_DIR"] == tmp_path / "mails"
    assert (settings["HOST"], settings["PORT"]) == ("0.0.0.0", 8080)
    # Nothing that was set is silently without effect.
    assert notices(settings) == [
        ("W001", f"{name} is set, but has no effect in this version.")
        for name in (
            "API_RATE_LIMIT_PER_MINUTE",
            "API_IDEMPOTENCY_TTL_SECONDS",
            "WEBHOOK_ALLOW_HOSTS",
            "WEBHOOK_ALLOW_LOOPBACK",
            "MAGIC_LINK_BASE_URL",
        )
    ]


def test_defaults(load: Load, tmp_path: Path) -> None:
    settings = load(SMTP_HOST="mail", SMTP_FROM="a@example.com")

    assert mailer(settings)["port"] == 587
    assert mailer(settings)["use_tls"] is True
    assert settings["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]", "email-service"]
    assert (settings["HOST"], settings["PORT"]) == ("127.0.0.1", 8000)
    assert settings["DATABASES"]["default"]["NAME"] == str(tmp_path / "data" / "db.sqlite3")
    assert settings["CACHES"]["default"]["BACKEND"].endswith("LocMemCache")
    assert settings["CELERY_BROKER_URL"].startswith("filesystem://")
    assert settings["CELERY_BROKER_TRANSPORT_OPTIONS"]["polling_interval"] == 0.1
    assert settings["CELERY_BEAT_SCHEDULE"]["sweep"] == {
        "task": "authmail.sweep",
        "schedule": 5.0,
        "options": {"expires": 5.0},
    }
    assert "SECURE_SSL_REDIRECT" not in settings
    assert settings["DEMO_INBOX_DIR"] is None
    assert "SILENCED_SYSTEM_CHECKS" not in settings
    assert notices(settings) == []


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
        ({"WEBHOOK_ALLOW_LOOPBACK": "x"}, "^WEBHOOK_ALLOW_LOOPBACK is 'x'"),
        ({"EMAIL_SERVICE_LOG_FORMAT": "xml"}, "^EMAIL_SERVICE_LOG_FORMAT is 'xml'"),
        ({"API_RATE_LIMIT_PER_MINUTE": "-1"}, "^API_RATE_LIMIT_PER_MINUTE is -1"),
        ({"API_IDEMPOTENCY_TTL_SECONDS": "1d"}, "^API_IDEMPOTENCY_TTL_SECONDS is '1d'"),
        ({"MAGIC_LINK_BASE_URL": "http://app.example.com"}, "^MAGIC_LINK_BASE_URL must be https"),
        ({"DATABASE_URL": "oracle://x/y"}, "^DATABASE_URL must start with"),
        ({"CACHE_URL": "x://"}, "^CACHE_URL must start with"),
    ],
)
def test_a_mistake_stops_the_start_by_name(
    load: Load, values: dict[str, str], message: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=message):
        load(**{"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com", **values})


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
    assert settings["SILENCED_SYSTEM_CHECKS"] == ["authmail.E002", "authmail.E004"]
    assert "SILENCED_SYSTEM_CHECKS" not in load(["manage.py", "check"])


# -- whole processes -------------------------------------------------------------------------------


def run(data: Path, *command: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment's Python with nothing but these values set."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    return subprocess.run(
        [sys.executable, *command],
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
    last_line = result.stderr.strip().splitlines()[-1]
    assert "SMTP_HOST is not set" in last_line


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
    result = run(tmp_path, *command, SMTP_HOST="127.0.0.1", SMTP_FROM="a@example.com")

    assert result.returncode != 0
    assert "API_KEY is not set" in result.stderr
    assert "Run `manage.py migrate`, or set API_KEY" in result.stderr


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


def test_check_reports_names_without_effect(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        *("manage.py", "check"),
        SMTP_HOST="127.0.0.1",
        SMTP_FROM="a@example.com",
        API_RATE_LIMIT_PER_MINUTE="60",
    )

    assert result.returncode == 0, result.stderr
    assert (
        "(example_project.W001) API_RATE_LIMIT_PER_MINUTE is set, but has no effect"
        in result.stderr
    )
