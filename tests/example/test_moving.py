"""docs/moving-from-hwan-email-service.md, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from django_authmail import conf
from django_authmail.management.commands import sendtestmail
from django_authmail.outcomes import ErrorCode
from example_project.names import NAMES
from tests.example.conftest import Load
from tests.example.test_settings import mailer, notices
from tests.settings import BASE_DIR

PAGE = BASE_DIR / "docs" / "moving-from-hwan-email-service.md"

#: A value of each name that is not what it is by default, and what it becomes.
VALUES: dict[str, tuple[str, Any]] = {
    "SMTP_HOST": ("smtp.gmail.com", "smtp.gmail.com"),
    "SMTP_PORT": ("2525", 2525),
    "SMTP_USER": ("me@example.com", "me@example.com"),
    "SMTP_PASSWORD": ("abcd efgh", "abcd efgh"),
    "SMTP_USE_TLS": ("false", False),
    "SMTP_FROM": ("서비스 <a@example.com>", "서비스 <a@example.com>"),
    "API_KEY": ("k" * 40, "k" * 40),
    "API_RATE_LIMIT_PER_MINUTE": ("7", 7),
    "API_IDEMPOTENCY_TTL_SECONDS": ("77", 77),
    "WEBHOOK_ALLOW_HOSTS": ("hooks.example.com,other", ["hooks.example.com", "other"]),
    "WEBHOOK_ALLOW_LOOPBACK": ("1", True),
    "MAGIC_LINK_BASE_URL": ("https://app.example.com", "https://app.example.com"),
    "METRICS_ENABLED": ("Yes", True),
    "METRICS_REQUIRE_AUTH": ("TRUE", True),
    "EMAIL_SERVICE_LOG_FORMAT": ("json", "json"),
    "EMAIL_SERVICE_DEBUG": ("1", True),
    "EMAIL_TEST_CAPTURE_DIR": ("/mails", Path("/mails")),
    "HOST": ("0.0.0.0", "0.0.0.0"),
    "PORT": ("8080", 8080),
}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the tables below a heading."""
    section = PAGE.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def row_id(row: list[str]) -> str:
    return quoted(row[0])


def quoted(cell: str) -> str:
    """Return the first thing in backticks."""
    return cell.split("`")[1]


@pytest.mark.parametrize("row", [row for row in rows("Imports") if "import" in row[0]], ids=row_id)
def test_what_an_import_becomes_is_there(row: list[str]) -> None:
    before, now = (quoted(cell) for cell in row)
    names: dict[str, Any] = {}
    exec(now, names)  # the project's own documentation
    name = before.rsplit(" ", 1)[1]
    assert name.startswith("ERR_") or isinstance(names[name], type)


def test_the_eight_words_are_strings_of_an_enum() -> None:
    assert {f"ERR_{code.upper()}" for code in ErrorCode} >= {"ERR_SMTP_TIMEOUT", "ERR_UNKNOWN"}
    assert all(isinstance(code, str) for code in ErrorCode)


def test_the_commands_are_there() -> None:
    commands = dict(row for row in rows("Imports") if "import" not in row[0])
    assert list(commands.values()) == [
        "`pip install django-authmail`",
        "`pip install 'django-authmail[client]'`",
        "`gunicorn example_project.wsgi`",
        "`python manage.py sendtestmail you@example.com`",
    ]
    assert sendtestmail.Command().help


def test_every_name_of_s0_is_in_the_table() -> None:
    assert [row_id(row) for row in rows("Environment")] == list(VALUES)


@pytest.mark.parametrize("row", rows("Environment"), ids=row_id)
def test_a_name_of_the_environment_is_read(row: list[str], load: Load) -> None:
    name, setting = row_id(row), quoted(row[1])
    assert name in NAMES
    given, wanted = VALUES[name]
    needed = {"SMTP_HOST": "mail", "SMTP_FROM": "a@example.com", "SMTP_USER": "", name: given}
    if name in ("SMTP_USER", "SMTP_PASSWORD"):
        needed |= {"SMTP_USER": "me@example.com", "SMTP_PASSWORD": "abcd efgh"}
    settings = load(**needed)
    found = {**mailer(settings), **settings}
    if setting in found:
        assert type(found[setting])(found[setting]) == wanted
    else:
        # Not in this version: then it is said, and nobody relies on it.
        [notice] = [text for id, text in notices(settings) if id == "W001"]
        assert name in notice
    if setting.startswith("AUTHMAIL_") and setting in found:
        assert hasattr(conf.conf, setting.removeprefix("AUTHMAIL_").lower())
