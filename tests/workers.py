"""Worker processes on a test's own database, broker and SMTP server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from celery import Celery
from django.db import connections

from django_authmail.models import Message
from tests.smtp_server import SmtpServer

UseBroker = Callable[..., Celery]


class Broker(NamedTuple):
    """A broker as Celery is told of it."""

    url: str
    options: dict[str, Any]
    transport: str

    @property
    def folder(self) -> Path:
        return Path(self.options["data_folder_in"])


def worker_environment(server: SmtpServer) -> dict[str, str]:
    """Return the environment of a process that shall see what the test sees."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
        "WORKER_DATABASE_NAME": str(connections["default"].settings_dict["NAME"]),
        "WORKER_SMTP_PORT": str(server.port),
        "WORKER_SMTP_CA": str(server.certificate.ca_file),
    }


@contextmanager
def worker(app: Celery, server: SmtpServer, **variables: str) -> Iterator[None]:
    """Run a worker process on the app's broker and the test's database while the block runs.

    Its environment has these variables, too.
    """
    environment = worker_environment(server) | {
        "WORKER_BROKER_URL": app.conf.broker_url,
        "WORKER_BROKER_OPTIONS": json.dumps(app.conf.broker_transport_options),
        "WORKER_BROKER_TRANSPORT": app.conf.broker_transport or "",
        "WORKER_QUEUE": app.conf.task_default_queue,
        **variables,
    }
    command = "worker -P solo --without-gossip --without-mingle --without-heartbeat -l WARNING"
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "tests.worker_app", *command.split()],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        # A worker on RabbitMQ takes ten seconds to end by itself. Once every row is settled, it has
        # nothing left to do, and can be ended at once.
        deadline = time.monotonic() + 30
        while Message.objects.filter(due_at__isnull=False).exists():
            assert time.monotonic() < deadline, "the worker left a message open"
            assert process.poll() is None, "the worker ended by itself"
            time.sleep(0.02)
        process.kill()
        process.wait(30)
