"""Runs pytest; in CI, what failed is run once more, by itself.

CI runs two environments with two workers each on two slow cores, and a landing is lost with one
test that cannot stand that. What passes the second time, with nothing of its environment beside it,
is printed as FLAKY: it has to be repaired, but stops nobody.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Failures of the second run after which it ends: these are no accident.
MOST_REPEATED = 10
#: Without workers, and with the reason of each.
ONCE_MORE = ["-n0", "--last-failed", f"--maxfail={MOST_REPEATED}", "-rA"]


def main(arguments: list[str]) -> int:
    """Return the exit status of pytest with these arguments, or of its second run."""
    status = _pytest(arguments)
    if status != pytest.ExitCode.TESTS_FAILED or "CI" not in os.environ:
        return status
    print("\n=== once more, what failed", flush=True)
    status = _pytest([*arguments, *ONCE_MORE])
    if status == pytest.ExitCode.OK:
        print("=== FLAKY: each of these failed at first, see above", flush=True)
    return status


def _pytest(arguments: list[str]) -> int:
    options = [part for option in sys.warnoptions for part in ("-W", option)]
    return subprocess.run([sys.executable, *options, "-m", "pytest", *arguments]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
