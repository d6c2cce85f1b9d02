"""Commands, while the database does not answer: one line says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError

from django_authmail.management.database import told
from django_authmail.models import Carrier
from tests import smtp_server as servers

_PASSWORD = "a-password-of-the-database"

#: All side by side, in one process: some go on trying for twelve seconds.
_COMMANDS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import django
django.setup()
from django.core.management import call_command

def end(argv):
    try:
        call_command(*argv)
    except BaseException as error:
        return [type(error).__name__, str(error)]

commands = json.loads(sys.argv[1])
with ThreadPoolExecutor(len(commands)) as pool:
    print(json.dumps(list(pool.map(end, commands))))
"""

COMMANDS = [
    ["authmail_find", "hong@example.com"],
    ["authmail_erase", "hong@example.com"],
    ["authmail_key", "list"],
    ["authmail_key", "create", "--name=x"],
    ["authmail_webhook", "list"],
    ["authmail_purge"],
    ["authmail_purge", "--dry-run"],
    ["authmail_reseal"],
    ["authmail_pause"],
    ["authmail_resume"],
    ["authmail_dispatch", "--once"],
]


def run(*argv: str, port: int) -> subprocess.CompletedProcess[str]:
    url = f"postgres://nobody:{_PASSWORD}@127.0.0.1:{port}/none"
    return subprocess.run(
        [sys.executable, *argv],
        env=os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_command_says_that_the_database_does_not_answer() -> None:
    port = servers.free_port()
    result = run("-c", _COMMANDS, json.dumps(COMMANDS), port=port)
    assert result.returncode == 0, result.stderr
    for argv, [name, text] in zip(COMMANDS, json.loads(result.stdout), strict=True):
        assert (name, argv) == ("CommandError", argv), text
        assert text.startswith("The database does not answer: ")
        assert f'"127.0.0.1", port {port} failed: Connection refused' in text
        assert len(text.splitlines()) == 1
    assert _PASSWORD not in result.stdout + result.stderr
    # The one that goes on trying has said so meanwhile.
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Trying again")]
    assert re.match(r"Trying again, for \d+ s at most\. The database does not answer: ", line)


def test_whoever_types_it_sees_one_line() -> None:
    result = run("-m", "django", "authmail_find", "hong@example.com", port=servers.free_port())
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("CommandError: The database does not answer: ")


def test_every_command_of_the_package_says_it_in_one_place() -> None:
    folder = Path(__file__).parent.parent / "django_authmail/management/commands"
    for path in folder.glob("[a-z]*.py"):
        assert "class Command(DatabaseCommand):" in path.read_text(), path.name


@pytest.mark.django_db
def test_an_error_of_a_statement_is_no_database_that_does_not_answer() -> None:
    Carrier.objects.create(name="hong@example.com")
    with pytest.raises(IntegrityError) as caught:
        Carrier.objects.create(name="hong@example.com")
    assert told(caught.value).startswith("The database failed: ")
    assert "hong" not in told(caught.value)


def test_an_error_that_no_driver_raised_is_named_without_its_text() -> None:
    assert told(OperationalError("secret")) == "The database failed: OperationalError"
