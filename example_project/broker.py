"""Celery's broker in a folder, whose files appear whole.

Kombu's own opens a file before it writes it. Who reads in between finds nothing that could be
parsed: a worker ends by that, and the task is lost.
"""

from __future__ import annotations

import fcntl
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps

from example_project.files import write_atomically


class Channel(filesystem.Channel):
    """Kombu's, which reads messages and tables of bindings by itself."""

    def _put(  # type: ignore[override] # as its base does
        self, queue: str, payload: dict[str, Any], **kwargs: Any
    ) -> None:
        # They are read in the order of their names, and the queue begins at the first dot.
        name = f"{time.monotonic_ns():020}_{uuid.uuid4()}.{queue}.msg"
        write_atomically(Path(self.data_folder_out) / name, dumps(payload).encode())

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        with self._alone():
            super()._queue_bind(exchange, routing_key, pattern, queue)

    def get_table(  # type: ignore[override] # as its base does
        self, exchange: str
    ) -> list[filesystem.exchange_queue_t]:
        with self._alone():
            return super().get_table(exchange)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from the tables; the kernel lets them in where this one ends."""
        self.control_folder.mkdir(exist_ok=True)
        with (self.control_folder / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


class Transport(filesystem.Transport):
    """What `broker_transport` names."""

    Channel = Channel
