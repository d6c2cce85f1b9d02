"""Does requests in processes of their own, each of which kills itself in the middle of one.

An order comes in for each, as JSON in a line, and the exit code of the process goes out. It is
forked before there is a thread or a connection, so that it begins as any server process does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings

django.setup()

from django_authmail import outbox  # noqa: E402 - these need the apps
from django_authmail.outbox import queue, rows  # noqa: E402
from django_authmail.outbox.handover import HandOver  # noqa: E402
from django_authmail.outbox.idempotency import Entry  # noqa: E402
from tests.api.conftest import Api  # noqa: E402

#: When a process dies: before or after which function.
STEPS: dict[str, tuple[str, Any, str]] = {
    "nothing is written": ("after", Entry, "begin"),
    "the record is written": ("before", rows, "new"),
    "the message is written": ("after", Entry, "point_to"),
    "both are committed": ("before", HandOver, "run"),
    "the server has the mail": ("before", queue, "settle"),
    "the outcome is recorded": ("before", Entry, "remember"),
    "the answer is stored": ("after", Entry, "remember"),
    "the mail is queued": ("after", outbox, "submit"),
}


def die_when(step: str) -> None:
    """Let this process end at `step`, as `kill -9` ends it."""
    when, place, name = STEPS[step]
    real: Callable[..., Any] = getattr(place, name)

    def last(*args: Any, **options: Any) -> None:
        if when == "after":
            real(*args, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(place, name, last)


def send_by(port: int) -> None:
    """Use the mail server of the test that gave the order."""
    if hasattr(settings, "MAILERS"):
        mailers: Any = settings.MAILERS
        mailers["default"]["OPTIONS"]["port"] = port
    else:
        settings.EMAIL_PORT = port


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            send_by(order["port"])
            die_when(order["dies_when"])
            Api(key=order["key"]).post(**order["headers"])
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
