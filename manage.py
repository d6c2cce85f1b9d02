#!/usr/bin/env python
"""The project's command line; `manage.py demo` shows everything at work."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AbstractContextManager, nullcontext


def main() -> None:
    """Run one command. Mistakes in the environment are a line each, not a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from example_project.commands import management_command

    surroundings: AbstractContextManager[None] = nullcontext()
    if management_command(sys.argv) == "demo":
        # Imports the sink, which no other command needs.
        from example_project.demo.surroundings import run_folder

        surroundings = run_folder(sys.argv)
    try:
        with surroundings:
            execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"{sys.argv[0]}: {error}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt as interruption:
        # Before a command could answer to it itself; SIGTERM gives its number, see the demo.
        print("\nStopped; nothing is left running.", file=sys.stderr)
        sys.exit(128 + (interruption.args[0] if interruption.args else signal.SIGINT))
