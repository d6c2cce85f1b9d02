"""The processes of a storm: each with a group of its own, killed without a word, surely ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]

#: Far beyond what anything takes on a busy machine: it is only reached when something hangs.
PATIENCE_SECONDS = 300.0


def wait_until(
    condition: Callable[[], T | None], what: str, seconds: float = PATIENCE_SECONDS
) -> T:
    """Return what `condition` returns as soon as it is true; TimeoutError names what was not."""
    give_up = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > give_up:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.005)
    return value


class Child:
    """A process with its own group and log file, that can be killed and started again."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        user: str | None = None,
    ) -> None:
        self._name, self._command, self._environment = name, command, environment
        self._log, self._user = folder / f"{name}.log", user
        self._starts = 0
        self._leaving: list[subprocess.Popen[bytes]] = []
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """What it is called since its last start; another start makes another one of it."""
        return f"{self._name}-{self._starts}"

    def last_words(self) -> str:
        """Return the end of its log."""
        return self._log.read_text(errors="replace")[-2000:]

    def start(self) -> None:
        """Start it; what it says goes to its log file."""
        self._starts += 1
        with self._log.open("a") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env={**self._environment, "CHAOS_NAME": self.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A group of its own: its children can be killed with it, and only they.
                process_group=0,
                user=self._user,
            )

    @property
    def group(self) -> int:
        """Its process group, which has its own id."""
        assert self.process is not None
        return self.process.pid

    @property
    def how_it_ended(self) -> str:
        """What the system says of its end."""
        status = None if self.process is None else self.process.poll()
        if status is None:
            return "without a word"
        return f"status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"

    @property
    def is_running(self) -> bool:
        for process in self._leaving:
            process.poll()  # or it stays a zombie, which looks alive to who reads its lock file
        return self.process is not None and self.process.poll() is None

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it and all its children without a word, and wait until it is gone."""
        if self.process is not None:
            _kill(self.process, how)

    def end(self) -> None:
        """End it, and those that were asked to end before."""
        for process in (*self._leaving, self.process):
            if process is not None:
                _kill(process, signal.SIGKILL)

    def replace(self) -> None:
        """Ask it to end in order and start another one at once, as a rolling deployment does."""
        assert self.process is not None
        self._leaving.append(self.process)
        self.process.terminate()
        self.start()


def _kill(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)
    process.wait(PATIENCE_SECONDS)


class Agent:
    """A process that answers questions; see `agent`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        with log.open("a") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                process_group=0,
            )
        self._answer()

    def ask(self, question: str, **arguments: Any) -> Any:
        """Return the answer to one question."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([question, arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the agent ended; see its log")
        return json.loads(line)
