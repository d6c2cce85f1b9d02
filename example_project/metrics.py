"""One /metrics for all processes of this machine: web server, Celery, `authmail_dispatch`."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from example_project.environment import Environment
from example_project.files import make_folder

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def share_metrics(env: Environment) -> None:
    """Make all processes count into one folder, where METRICS_ENABLED is on.

    To be called before anything imports prometheus_client, which reads the variable then.
    """
    if not env.boolean("METRICS_ENABLED", False):
        return
    # One for each host: containers that share DATA_DIR all have a process 1.
    own = env.folder("DATA_DIR", "var") / "metrics" / socket.gethostname()
    folder = Path(env.text(VARIABLE, str(own)))
    os.environ[VARIABLE] = str(folder)
    make_folder(folder, name=VARIABLE)
    _forget_the_dead(folder)


def _forget_the_dead(folder: Path) -> None:
    """Drop what ended processes had under way; and all counters, where every process ended.

    The counters of one that ended while others run are part of the sum: without them it would go
    down.
    """
    dead = [file for file in folder.glob("*_*.db") if not _runs(file.stem.rpartition("_")[2])]
    others_run = any(file not in dead for file in folder.glob("*_*.db"))
    for file in dead:
        if not others_run or file.name.startswith("gauge_live"):
            file.unlink(missing_ok=True)


def _runs(pid: str) -> bool:
    with suppress(ValueError, ProcessLookupError):
        with suppress(PermissionError):  # somebody else's: it runs
            os.kill(int(pid), 0)
        return True
    return False
