"""Starts the demo's processes, watches them, and ends them all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn, TypeVar

from example_project.environment import BASE_DIR

T = TypeVar("T")

POLL_SECONDS = 0.05
WATCH_SECONDS = 0.2
# A Celery worker takes up to 5 s to notice that it should stop. The demo has nothing that is lost
# by killing it: what it worked on is in the run folder, and both mails have arrived.
STOP_SECONDS = 1.0


class DemoFailed(Exception):
    """Something that had to happen did not; the log shows why, if a process is to blame."""

    def __init__(self, problem: str, *, process: Process | None = None) -> None:
        super().__init__(problem)
        self.process = process


class Process:
    """One process of the demo, and the file that it writes to."""

    def __init__(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        *,
        logs: Path,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(  # noqa: S603 - a module of this project or a dependency
                [sys.executable, "-m", "example_project.demo.child", module, *arguments],
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(pass_fds),
                # Ctrl-C in a terminal goes to a whole group; the demo ends its processes in order.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ended(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._popen.poll()

    def tail(self, lines: int = 25) -> list[str]:
        """Return the last lines that it wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]

    def ask_to_stop(self) -> None:
        self._popen.terminate()
        if self._popen.stdin is not None:
            with suppress(OSError):
                self._popen.stdin.close()

    def stop(self, *, until: float) -> None:
        """Wait for its end until a point of the monotonic clock, then kill it."""
        try:
            self._popen.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


class Processes:
    """All processes of one demo. Leaving the `with` block ends them."""

    def __init__(self, folder: Path) -> None:
        self._logs = folder / "logs"
        self._logs.mkdir(exist_ok=True)
        self._all: list[Process] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # A second Ctrl-C would cut this short. It has an end: STOP_SECONDS.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.stop()

    def start(
        self,
        name: str,
        module: str,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start a module as a process that cannot outlive this one."""
        process = Process(
            name, module, arguments, logs=self._logs, environment=environment, pass_fds=pass_fds
        )
        self._all.append(process)
        return process

    def log_lines(self, containing: str) -> list[str]:
        """Return the lines of all logs that contain a text, in the order of their times."""
        found = [
            (line, process.name)
            for process in self._all
            for line in process.tail(100_000)
            if containing in line
        ]
        return [f"{name}.log: {line}" for line, name in sorted(found)]

    def death(self) -> DemoFailed | None:
        """Return the failure of the first process that ended: none should before it is told to."""
        for process in self._all:
            status = process.ended()
            if status is not None:
                how = f"was killed by signal {-status}" if status < 0 else f"exited with {status}"
                return DemoFailed(f"the process {process.name} {how}", process=process)
        return None

    def check(self) -> None:
        """Raise DemoFailed if a process has ended."""
        if (death := self.death()) is not None:
            raise death

    def wait_for(
        self, condition: Callable[[], T | None], *, what: str, seconds: float, blame: Process
    ) -> T:
        """Return what the condition returns once that is not None; raise DemoFailed past a time."""
        deadline = time.monotonic() + seconds
        while (found := condition()) is None:
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"no {what} within {seconds:.0f} s", process=blame)
            time.sleep(POLL_SECONDS)
        return found

    def watch(self) -> NoReturn:
        """Stay until interrupted; raise DemoFailed when a process ends before that."""
        while True:
            self.check()
            time.sleep(WATCH_SECONDS)

    def stop(self) -> None:
        """End all processes, at once and in parallel; kill what does not."""
        until = time.monotonic() + STOP_SECONDS
        for process in reversed(self._all):
            process.ask_to_stop()
        for process in self._all:
            process.stop(until=until)
