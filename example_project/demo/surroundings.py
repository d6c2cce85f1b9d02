"""The run folder of one demo, and the environment that its processes see instead of the user's."""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from example_project.environment import BASE_DIR
from example_project.names import NAMES, OWN_PREFIXES
from example_project.requirements import require_demo

if TYPE_CHECKING:
    from example_project.sink import SinkAddress

#: Read by the programs that the demo starts. The user's own values are meant for other services.
_OTHERS = (
    "CELERY_",
    "FORWARDED_ALLOW_IPS",
    "GUNICORN_",
    "PROMETHEUS_",
    "UVICORN_",
    "WEB_CONCURRENCY",
)

_LOCK = "running"
_ORPHAN_SECONDS = 60


@contextmanager
def run_folder(argv: Sequence[str]) -> Iterator[None]:
    """Give this process a run folder of its own, and no configuration but the demo's.

    The folder is gone at the end, unless the command line says `--keep`; what a killed demo left
    behind, the next one removes. SIGTERM and a closed
    terminal are made to unwind like Ctrl-C, so that this holds for them too.
    """
    require_demo()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    runs = BASE_DIR / "var"
    _remove_orphans(runs)
    folder = runs / f"demo-{stamp}-{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True)
        _configure(folder)
        with (folder / _LOCK).open("wb") as lock:
            # The kernel ends it with this process, even after `kill -9`.
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        if "--keep" in argv:
            (folder / _LOCK).unlink(missing_ok=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _configure(folder: Path) -> None:
    theirs = (*OWN_PREFIXES, *_OTHERS)
    for name in [name for name in os.environ if name in NAMES or name.startswith(theirs)]:
        del os.environ[name]
    os.environ.update(
        DJANGO_SETTINGS_MODULE="example_project.settings",
        ENV_FILE="",
        DATA_DIR=str(folder),
        SECRET_KEY=secrets.token_urlsafe(64),
    )


def _remove_orphans(runs: Path) -> None:
    """Remove the folders of demos that were killed: those with a lock that nobody holds."""
    for path in runs.glob(f"demo-*/{_LOCK}"):
        with suppress(OSError), path.open("rb") as lock:
            # A younger one may be about to take it.
            if time.time() - path.stat().st_mtime > _ORPHAN_SECONDS:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path.parent, ignore_errors=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)


@contextmanager
def own_log(folder: Path) -> Iterator[None]:
    """Log what this process does beside the logs of those that it starts, not between its steps."""
    with (folder / "logs" / "demo.log").open("w", encoding="utf-8") as log:
        replaced = [
            (handler, handler.setStream(log))
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler)
        ]
        try:
            yield
        finally:
            for handler, stream in replaced:
                handler.setStream(stream)


def for_children(folder: Path, sink: SinkAddress) -> dict[str, str]:
    """Return the environment of the processes that send: this one's, and the sink for a server."""
    # Imported when called: `require_demo` comes first.
    from example_project.sink import MAILS_FOLDER
    from example_project.webhook_sink import WEBHOOKS_FOLDER

    return {
        **os.environ,
        "SMTP_HOST": sink.host,
        "SMTP_PORT": str(sink.port),
        "SMTP_USER": sink.user,
        "SMTP_PASSWORD": sink.password,
        "SMTP_CA_FILE": sink.ca_file,
        "SMTP_FROM": "Example <no-reply@example.com>",
        "METRICS_ENABLED": "true",
        "DEMO_INBOX_DIR": str(folder / MAILS_FOLDER),
        "DEMO_WEBHOOKS_DIR": str(folder / WEBHOOKS_FOLDER),
        # Its receiver is on this machine; no other place of it may be sent to.
        "WEBHOOK_ALLOW_HOSTS": "127.0.0.1",
    }
