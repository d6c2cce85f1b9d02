"""The examples of docs/client.md and README are run as they stand, against the live service."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail import client
from tests.services import require_program
from tests.settings import BASE_DIR
from tests.smtp_server import SmtpServer

KEY = "k" * 40
PAGE = BASE_DIR / "docs" / "client.md"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def examples() -> Iterator[Any]:
    pages = (PAGE, BASE_DIR / "README.md", BASE_DIR / "README.ko.md")
    for page in pages:
        for language in ("python", "sh", "js"):
            for number, source in enumerate(blocks(page, language), 1):
                if "AUTHMAIL_URL" in source:
                    yield pytest.param(language, source, id=f"{page.name}:{language}{number}")


def command(language: str, source: str, folder: Path) -> list[str]:
    if language == "python":
        return [sys.executable, "-c", source]
    if language == "sh":
        require_program("curl", variable="CURL")
        return ["sh", "-euc", source]
    node = require_program("node", variable="NODE")
    script = folder / "example.mjs"
    script.write_text(source)
    return [node, str(script)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("language", "source"), list(examples()))
def test_an_example_sends_its_mail(
    live_server: LiveServer,
    smtp_server: SmtpServer,
    settings: Settings,
    tmp_path: Path,
    language: str,
    source: str,
) -> None:
    settings.AUTHMAIL_API_KEY = KEY
    ran = subprocess.run(
        command(language, source, tmp_path),
        env={**os.environ, "AUTHMAIL_URL": live_server.url, "AUTHMAIL_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    if "respond_async" in source:
        assert ran.stdout == "queued None\n"
        return
    assert [mail.recipients for mail in smtp_server.mails] == [["user@example.com"]], ran.stdout
    assert "482901" in smtp_server.mails[0].html


def test_there_is_an_example_for_each() -> None:
    assert {parameter.values[0] for parameter in examples()} == {"python", "sh", "js"}
    assert len(blocks(PAGE, "powershell")) == 1


def test_the_page_names_what_there_is() -> None:
    text = PAGE.read_text()
    errors = {name for name in client.__all__ if _is_error(name)} - {
        "EmailServiceError",  # another name
        "ProblemError",
    }
    assert {name for name in errors if f"`{name}`" not in text} == set()
    methods = {name for name in vars(client.AuthmailClient.__mro__[1]) if not name.startswith("_")}
    assert {name for name in methods if f"| `{name}(" not in text} == set()
    options = client.SendOptions.__annotations__
    assert {name for name in options if f"`{name}`" not in text} == set()


def _is_error(name: str) -> bool:
    value = getattr(client, name)
    return isinstance(value, type) and issubclass(value, Exception)
