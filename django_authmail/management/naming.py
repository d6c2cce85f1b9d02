"""How a command is told which mailer it is about."""

from __future__ import annotations

from argparse import ArgumentParser
from difflib import get_close_matches

from django.core.management.base import CommandError

from django_authmail import mailers
from django_authmail.outbox import carriers


def add_carrier_argument(parser: ArgumentParser) -> None:
    """Let a command take the name of a mailer, or none for all of them."""
    parser.add_argument("carrier", nargs="?", default=carriers.ALL, help="a mailer; without, all")


def known_carrier(name: str) -> str:
    """Return `name`; raise CommandError, with the nearest, where no mailer has it."""
    names = mailers.names()
    if name == carriers.ALL or name in names:
        return name
    near = get_close_matches(name, names, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else f"; there is {', '.join(map(repr, names))}"
    raise CommandError(f"there is no mailer {name!r}{meant}")


def resume_by(name: str) -> str:
    """Say which command ends the pause of the carrier, or of all without a name."""
    return f"Resume by: manage.py authmail_resume {name}".rstrip()
