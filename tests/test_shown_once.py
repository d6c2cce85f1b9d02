"""What a command says of a secret that it shows once, wherever its output leads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import BaseCommand, OutputWrapper
from pytest_django.fixtures import Settings

from django_authmail.management.shown_once import show_once

pytestmark = pytest.mark.django_db(transaction=True)

CREATE = {
    "key": ("authmail_key", "create", "--name", "shop"),
    "secret": ("authmail_webhook", "create", "http://127.0.0.1:9/hook"),
}


@pytest.fixture
def log() -> Iterator[logging.StreamHandler[StringIO]]:
    """A handler of the package's log that a test leads to its file."""
    logger = logging.getLogger("django_authmail")
    handler = logging.StreamHandler(StringIO())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.parametrize("what", CREATE)
def test_a_secret_and_what_is_said_of_it_are_one_block(
    what: str, log: logging.StreamHandler[StringIO], settings: Settings, tmp_path: Path
) -> None:
    settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
    path = tmp_path / "output"
    # As two streams of a process that lead to one pipe: that of stdout has a buffer.
    with path.open("a") as out, path.open("a", buffering=1) as err:
        log.setStream(err)  # type: ignore[arg-type] # a stream as good as its own
        call_command(*CREATE[what], stdout=out, stderr=err)
    logged, secret, about, *_ = path.read_text().splitlines()
    assert "created" in logged or "issued" in logged
    assert secret.startswith(("am_live_", "whsec_"))
    assert "It is not shown again." in about


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_what_is_no_error_is_not_in_the_colour_of_one() -> None:
    command = BaseCommand()
    terminal = Terminal()
    command.stdout = command.stderr = OutputWrapper(terminal)
    command.stderr.style_func = str.upper
    show_once(command, "s3cret", "It is not shown again.")
    assert terminal.getvalue().endswith("\nIt is not shown again.\n")
