"""Run a benchmark by name: `uv run benchmarks/run.py smtp [--quick]`, `outbox`, `api`, `chaos`."""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# Python put this file's folder there; the benchmarks are imported from the one above, so that
# they are the same modules here and in the processes that they start.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

BENCHMARKS = {
    "smtp": "one mail, many mails and many threads: this package and Django's backend",
    "outbox": "queued mail: this one, django-post-office, django-mailer and a loop of send_mail",
    "api": "requests: sent now, in the background, and what a project would write instead",
    "chaos": "workers killed, servers restarted: what is lost, what comes twice, ours and theirs",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark and return the exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    named = parser.add_subparsers(title="benchmarks", metavar="NAME", required=True)
    for name, about in BENCHMARKS.items():
        one = named.add_parser(name, help=about, description=about)
        if name in given[:1]:
            # Only the one that is asked for: the others need the developers' tools.
            benchmark = importlib.import_module(f"benchmarks.{name}.command")
            benchmark.add_arguments(one)
            one.set_defaults(run=benchmark.run)
    options = parser.parse_args(given)
    # As an exception, so that what was started is ended and what was written is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
