"""gunicorn reads this by itself when it is started beside manage.py."""

from __future__ import annotations

import os
from runpy import run_module
from typing import Any

from example_project.metrics import VARIABLE, share_metrics

# All of them, so that all mistakes are told at once. Not imported: the workers of a reload read the
# environment anew.
_settings = run_module("example_project.settings")
# Workers find it in their environment, and so does `child_exit`.
share_metrics(_settings["env"])
_host, _port = _settings["HOST"], _settings["PORT"]

bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"
# A request waits for the mail server (8 s at most), not for the processor: threads, not processes.
worker_class = "gthread"
workers = int(os.environ.get("WEB_CONCURRENCY") or 2)
threads = 8
# Above the deadline of a request that sends, so that a restart cuts none off.
graceful_timeout = 15
timeout = 30
# Heartbeats on a slow disk stall workers.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
# It would be one socket in the home folder for all servers of this user.
control_socket_disable = True


def child_exit(server: Any, worker: Any) -> None:
    """Tell the metrics of all processes that one is gone."""
    if os.environ.get(VARIABLE):
        # An optional extra.
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # untyped there
