"""Run a benchmark by name: `uv run benchmarks/run.py smtp [--quick]`, `outbox`, `chaos`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

# Python put this file's folder there; the benchmarks are imported from the one above, so that
# they are the same modules here and in the processes that they start.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.chaos import command as chaos  # noqa: E402
from benchmarks.outbox import command as outbox  # noqa: E402
from benchmarks.smtp import command as smtp  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one benchmark and return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    named = parser.add_subparsers(title="benchmarks", metavar="NAME", required=True)
    for name, benchmark in (("smtp", smtp), ("outbox", outbox), ("chaos", chaos)):
        one = named.add_parser(name, help=benchmark.HELP, description=benchmark.HELP)
        benchmark.add_arguments(one)
        one.set_defaults(run=benchmark.run)
    options = parser.parse_args(arguments)
    # As an exception, so that what was started is ended and what was written is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
