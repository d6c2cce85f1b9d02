"""What CI makes of a test that fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.settings import BASE_DIR

TESTS = """
import os

def test_right():
    pass

def test_cannot_stand_another_worker(worker_id):
    assert worker_id == "master"

def test_wrong():
    assert os.environ["EXPECTED"] == "nothing"
"""


@pytest.mark.parametrize(
    ("expected", "status", "last_words"),
    [
        ("nothing", 0, "=== FLAKY: each of these failed at first, see above"),
        ("more", 1, "1 failed"),
    ],
)
def test_what_failed_is_run_once_more_without_workers(
    expected: str, status: int, last_words: str, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_of_three.py").write_text(TESTS)
    environment = os.environ | {"CI": "1", "EXPECTED": expected}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(BASE_DIR)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.run", "-p", "xdist", "-n2"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stdout
    _, _, again = done.stdout.partition("=== once more, what failed")
    assert "test_right" not in again
    assert "PASSED test_of_three.py::test_cannot_stand_another_worker" in again
    assert last_words in again.strip().splitlines()[-1]
