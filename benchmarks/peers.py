"""The environment that the peers run in: made for a run, gone with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import django

#: The newest releases that were measured; both run on each Django that this package supports.
PACKAGES = ("django-post-office==3.12.0", "django-mailer==2.3.2", "psycopg[binary]>=3.2")


def make_environment(folder: Path) -> str:
    """Return a Python of the same version, with the same Django and the peers."""
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("the peers are installed by uv, which is not on PATH")
    place = folder / "peers"
    python = str(place / "bin" / "python")
    same = f"django=={django.get_version()}"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(place)],
        [uv, "pip", "install", "--quiet", "--python", python, same, *PACKAGES],
    ):
        subprocess.run(command, check=True)  # noqa: S603 - uv, and names from here
    return python
