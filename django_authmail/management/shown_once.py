"""How a command shows a secret: alone on stdout, and beside it what a person is told."""

from __future__ import annotations

from django.core.management.base import BaseCommand
from django.views.decorators.debug import sensitive_variables


@sensitive_variables()
def show_once(command: BaseCommand, secret: str, about: str) -> None:
    """Print `secret` alone on stdout, and then on stderr what it is."""
    command.stdout.write(secret)
    # Where both go to one pipe or file, a buffer would keep it until after what is said of it.
    command.stdout.flush()
    note(command, about)


def note(command: BaseCommand, text: str) -> None:
    """Tell a person something on stderr that is no error: not in red, as Django writes there."""
    command.stderr.write(text, style_func=str)
