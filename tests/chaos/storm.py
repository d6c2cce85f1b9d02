"""One storm: mails go out while workers are killed and servers restart, as a seed draws it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tests.chaos.ledger import Excuses, Verdict, judge
from tests.chaos.processes import PATIENCE_SECONDS, Agent, Child, wait_until
from tests.chaos.servers import CutOff, MariaDB, PostgreSQL, Redis, SQLiteFile
from tests.services import require_program
from tests.smtp_server import free_port

#: Share of the mails whose connection ends before they are taken, and of those for which it does
#: so afterwards, without an answer.
DROPPED = 0.05
#: Mails that are on their way at the most: there shall be work for as long as the storm lasts.
BACKLOG = 100
#: Longest time in seconds that a server is away.
LONGEST_OUTAGE = 1.5
#: An outcome is kept for a database that comes back within 12 s (`transactions.PATIENCE`),
#: or within Celery's time limit, which is less here. A busy machine may need longer to start one:
#: then what was taken meanwhile may come twice, as documented.
LONG_SECONDS = 6.0
#: How far the clocks of the two hosts are apart.
SKEW_SECONDS = 300


S = TypeVar("S", bound="Storm")


class Service(Protocol):
    """A database or a broker that can fail and come back."""

    name: str

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def crash(self) -> None: ...
    def end(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What takes part in a storm."""

    name: str
    database: Callable[[Path], Service]
    broker: Callable[[Path], Service] | None = None
    #: Mails that one process hands over side by side.
    in_hand: int = 1
    #: The environment that its processes run in, and the module that submits and reads rows.
    python: str = sys.executable
    agent: Sequence[str] = ("-m", "tests.chaos.agent")
    #: The clock of each but the first is wrong.
    hosts: Sequence[str] = ("a", "b")
    #: Processes to start on each host, each as arguments of Python.
    commands: Sequence[Sequence[str]]


_CELERY = ("-m", "celery", "-A", "tests.chaos.project")
_WORKER = "worker -P prefork -c 2 --without-gossip --without-mingle --without-heartbeat -l WARNING"

SCENARIOS = {
    one.name: one
    for one in (
        Scenario(
            name="postgresql-redis",
            database=PostgreSQL,
            broker=Redis,
            # A worker whose acknowledgements failed when Redis ended never listens to it again
            # (kombu 5.7): the sweep that does without a broker is what such a project needs.
            commands=[
                (*_CELERY, *_WORKER.split()),
                ("-m", "tests.chaos.manage", "authmail_dispatch", "--connections", "1"),
            ],
        ),
        Scenario(
            name="mariadb-rabbitmq",
            database=MariaDB,
            broker=CutOff,
            commands=[(*_CELERY, *_WORKER.split())],
        ),
        Scenario(
            name="sqlite-dispatch",
            database=SQLiteFile,
            hosts=["a"],
            in_hand=4,  # its connections, by default
            commands=[("-m", "django", "authmail_dispatch")] * 3,
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done in a storm, and what came out of it."""

    scenario: str
    seed: str
    kills: int
    restarts: Mapping[str, int]
    seconds: float
    verdict: Verdict

    def __str__(self) -> str:
        verdict = self.verdict
        duplicates = ", ".join(f"{n} {why}" for why, n in sorted(verdict.duplicates.items()))
        restarts = ", ".join(f"{name} {n}x" for name, n in sorted(self.restarts.items()))
        states = ", ".join(f"{n} {state}" for state, n in sorted(verdict.states.items()))
        return (
            f"{self.scenario}, seed {self.seed}, {self.seconds:.0f} s: "
            f"{verdict.promised} mails; kill -9 {self.kills}x; restarted: {restarts}\n"
            f"  taken {verdict.taken}; missing {len(verdict.missing)}; "
            f"given up after two doubts {len(verdict.given_up)}; "
            f"twice {sum(verdict.duplicates.values())} ({duplicates or 'none'})\n"
            f"  rows: {states}"
        )


def run(
    scenario: Scenario, *, seed: str, evidence: Path, mails: int = 500, kills: int = 12
) -> Report:
    """Go through one storm and judge it. TimeoutError where it does not come to its end.

    The ledger, the rows and all logs are then in the folder `evidence`.
    """
    started = time.monotonic()
    with brewing(Storm, scenario, seed=seed, evidence=evidence) as storm:
        verdict = storm.rage(mails, kills)
    return Report(
        scenario=scenario.name,
        seed=seed,
        kills=storm.kills,
        restarts=storm.restarts,
        seconds=time.monotonic() - started,
        verdict=verdict,
    )


@contextmanager
def brewing(kind: type[S], scenario: Scenario, *, seed: str, evidence: Path) -> Iterator[S]:
    """Start everything that a storm of this kind needs, and end it afterwards."""
    # Not below pytest's folders: a server that runs by another account could not reach it there.
    folder = Path(tempfile.mkdtemp(prefix="authmail-chaos-"))
    folder.chmod(0o755)
    # As an exception, so that what was started is ended: a shell that gives up sends this.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        storm = kind(scenario, folder, seed)
        with storm.weathered():
            yield storm
    finally:
        for pattern in ("*.log", "*.json", "*.jsonl"):
            for file in folder.glob(pattern):
                shutil.copy(file, evidence)
        shutil.rmtree(folder, ignore_errors=True)
        signal.signal(signal.SIGTERM, previous)


class Storm:
    """The processes of one scenario, and what is done to them."""

    #: Seconds for each step; only what hangs takes so long.
    patience = PATIENCE_SECONDS

    def __init__(self, scenario: Scenario, folder: Path, seed: str) -> None:
        self._scenario, self._folder = scenario, folder
        self._random = random.Random(seed)
        self._database = scenario.database(folder)
        self._broker = scenario.broker(folder) if scenario.broker is not None else None
        self._ledger_file = folder / "ledger.jsonl"
        self.ledger = Tail(self._ledger_file)
        port = free_port()
        self._environment = _environment(folder, self._database, self._broker, port)
        arguments = [str(self._ledger_file), str(port), "--seed", seed, "--share", str(DROPPED)]
        self._sink = self._child("sink", ["-m", "tests.chaos.sink", *arguments])
        skew = self._random.choice((SKEW_SECONDS, -SKEW_SECONDS))
        self._workers = [
            self._child(
                f"host-{host}-{number}", command, skew if index else 0, python=scenario.python
            )
            for index, host in enumerate(scenario.hosts)
            for number, command in enumerate(scenario.commands)
        ]
        self._beat = None
        if self._broker is not None:
            schedule = str(folder / "beat-schedule")
            beat = [*_CELERY, "beat", "-s", schedule, "--pidfile=", "-l", "WARNING"]
            self._beat = self._child("beat", beat)
        self._agents: list[Agent] = []
        self.promised: dict[str, str] = {}
        #: What killed processes called themselves, and workers of which each process was killed.
        self._killed: set[str] = set()
        self._killed_workers: set[str] = set()
        self._long_outages: list[tuple[float, float]] = []
        self._is_over = False
        self.kills = 0
        self.restarts: dict[str, int] = {}

    # -- its processes -------------------------------------------------------------------------

    @contextmanager
    def weathered(self) -> Iterator[None]:
        """Start everything, and end everything afterwards."""
        try:
            self._start()
            yield
        finally:
            for child in (*self._workers, self._beat, self._sink):
                if child is not None:
                    child.end()
            for agent in self._agents:
                agent.end()
            for service in (self._broker, self._database):
                if service is not None:
                    service.end()

    def _start(self) -> None:
        for service in (self._database, self._broker):
            if service is not None:
                service.start()
        self._sink.start()
        self._submitter = self._agent("submitter")
        self._observer = self._agent("observer")
        self._submitter.ask("migrate")
        for child in (*self._workers, self._beat):
            if child is not None:
                child.start()

    def _child(
        self, name: str, arguments: Sequence[str], skew: int = 0, *, python: str = sys.executable
    ) -> Child:
        command = [python, *arguments]
        environment = self._environment | clock_ahead(skew, self._folder)
        return Child(name, command, environment, self._folder)

    def _agent(self, name: str) -> Agent:
        command = [self._scenario.python, *self._scenario.agent]
        agent = Agent(command, self._environment, self._folder / f"{name}.log")
        self._agents.append(agent)
        return agent

    # -- the storm -----------------------------------------------------------------------------

    def rage(self, mails: int, kills: int) -> Verdict:
        """Send, break, wait until nothing is open, and judge."""
        self.break_things(mails, kills)
        return self._judged()

    def break_things(self, mails: int, kills: int) -> None:
        """Send, and break something at each of the moments that the seed draws."""
        wait_until(self.ledger.read, "the mail server")
        events = [self._kill_a_sender] * kills
        events += [self._crash_smtp, self._crash_database, self._replace_a_worker]
        if self._broker is not None:
            events += [self._crash_broker, self._kill_a_host]
        self._random.shuffle(events)
        moments = sorted(self._random.sample(range(20, mails * 8 // 10), len(events)))
        with ThreadPoolExecutor(1) as executor:
            submitting = executor.submit(self._submit_all, mails)
            try:
                for moment, event in zip(moments, events, strict=True):
                    self._wait_for_mails(moment, submitting)
                    event()
            except BaseException:
                self._is_over = True
                raise
            submitting.result()

    def _judged(self) -> Verdict:
        if self._broker is not None:
            # A worker that Redis left deaf leaves its tasks where they are for ever.
            for worker in self._workers:
                worker.replace()
            # Each third task comes a second time, and later once more when its mail is long gone.
            self._submitter.ask("repeat", share=0.3)
        self._wait_until_nothing_is_open()
        if self._broker is not None:
            self._submitter.ask("repeat", share=0.3)
            wait_until(lambda: self._submitter.ask("waiting_tasks") == 0, "late tasks")
            self._wait_until_nothing_is_open()
            self._submitter.ask("forget")
        rows = self.ask("rows")
        (self._folder / "rows.json").write_text(json.dumps(rows, indent=1))
        for child in (*self._workers, self._sink):
            child.end()
        entries = self.ledger.read()
        killed = self._killed | {
            name for name in self.ledger.clients if name.split(".")[1] in self._killed_workers
        }
        excuses = Excuses(
            killed=killed, in_hand=self._scenario.in_hand, long_outages=self._long_outages
        )
        return judge(entries, promised=self.promised, excuses=excuses, rows=rows)

    def ask(self, question: str) -> Any:
        """Return what the rows say, by the process that only looks."""
        return self._observer.ask(question)

    def _submit_all(self, mails: int) -> None:
        step = 10
        for first in range(0, mails, step):

            def may_go_on(first: int = first) -> bool:
                return self._is_over or first - self.ledger.mails < BACKLOG

            wait_until(may_go_on, "mails to leave", self.patience)
            if self._is_over:
                return
            self.promised |= self._submitter.ask("submit", first=first, count=step)

    def _wait_for_mails(self, count: int, submitting: Future[None]) -> None:
        def reached() -> bool:
            if submitting.done():
                submitting.result()  # what it raised is why nothing goes on
            for child in self._workers:
                if not child.is_running:
                    # Its folder may be gone when somebody reads this: failures are run again.
                    raise RuntimeError(
                        f"{child.name} ended by itself, {child.how_it_ended}:\n{child.last_words()}"
                    )
            return self.ledger.mails >= count

        wait_until(reached, f"{count} mails taken", self.patience)

    def _wait_until_nothing_is_open(self) -> None:
        wait_until(lambda: self.ask("open_rows") == 0, "all messages final")

    # -- what is broken ------------------------------------------------------------------------

    def _kill_a_sender(self) -> None:
        pid, name, worker = wait_until(self._some_sender, "a worker that sends", self.patience)
        self._killed.add(name)
        os.kill(pid, signal.SIGKILL)
        self.note(f"killed {name}")
        self.kills += 1
        if pid == worker.group:
            # No parent that starts another one; a service manager would.
            worker.kill()
            worker.start()

    def _some_sender(self) -> tuple[int, str, Child] | None:
        found = [sender for name in self.ledger.clients if (sender := self._alive(name))]
        return self._random.choice(found) if found else None

    def _alive(self, name: str) -> tuple[int, str, Child] | None:
        if name in self._killed:
            return None
        pid, host = int(name.split(".")[0]), name.split(".")[1]
        for worker in self._workers:
            # By its group too: the number of a process that is gone may be another's by now, as of
            # one that is starting; a worker of Celery that loses such a one ends itself.
            try:
                if worker.is_running and host == worker.name and os.getpgid(pid) == worker.group:
                    return pid, name, worker
            except ProcessLookupError:
                return None
        return None

    def _kill_a_host(self) -> None:
        """Kill a worker with all its processes, and start it again."""
        worker = self._random.choice(self._workers)
        worker.kill()
        self.note(f"killed all of {worker.name}")
        self._killed_workers.add(worker.name)
        self.kills += 1
        worker.start()

    def _replace_a_worker(self) -> None:
        """End a worker in order, as a deployment does, and start it again: no excuse for a copy."""
        worker = self._random.choice(self._workers)
        self.note(f"ends {worker.name}")
        worker.replace()
        self._count("worker")

    def _crash_smtp(self) -> None:
        self.note("crashes smtp")
        self._sink.kill()
        self._outage()
        self._sink.start()
        self._count("smtp")

    def _crash_database(self) -> None:
        began = time.time()
        self._crash(self._database)
        self.ask("open_rows")  # it answers when the database does
        ended = time.time()
        self.note(f"{self._database.name} was away for {ended - began:.1f} s")
        if ended - began > LONG_SECONDS:
            self._long_outages.append((began - LONG_SECONDS, ended))

    def _crash_broker(self) -> None:
        assert self._broker is not None
        self._crash(self._broker)

    def _crash(self, service: Service) -> None:
        self.note(f"crashes {service.name}")
        service.crash()
        self._outage()
        service.start()
        self._count(service.name)

    def note(self, what: str) -> None:
        """Write down what was done, and when."""
        with (self._folder / "storm.log").open("a") as log:
            log.write(f"{time.time():.3f} after {self.ledger.mails} mails: {what}\n")

    def _outage(self) -> None:
        # Not to wait for anything: this is how long it is away.
        time.sleep(self._random.uniform(0.1, LONGEST_OUTAGE))

    def _count(self, name: str) -> None:
        self.note(f"restarted {name}")
        self.restarts[name] = self.restarts.get(name, 0) + 1


class Tail:
    """A ledger that is read while it grows. Several threads may read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []
        self._taken: set[str] = set()
        self._clients: dict[str, None] = {}

    def read(self) -> list[dict[str, Any]]:
        """Return all entries that are there by now."""
        with self._lock:
            if not self._path.exists():
                return self._entries
            with self._path.open("rb") as file:
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")[0]
            if whole:
                self._offset += len(whole) + 1
                for line in whole.split(b"\n"):
                    self._add(json.loads(line))
            return self._entries

    @property
    def mails(self) -> int:
        """Number of mails taken, copies not counted."""
        self.read()
        return len(self._taken)

    @property
    def clients(self) -> list[str]:
        """The clients that handed mails over, in the order of their first."""
        self.read()
        with self._lock:
            return list(self._clients)

    def _add(self, entry: dict[str, Any]) -> None:
        self._entries.append(entry)
        if entry["event"] == "taken":
            self._taken.add(entry["to"])
            self._clients.setdefault(entry["client"])


def _environment(
    folder: Path, database: Service, broker: Service | None, port: int
) -> dict[str, str]:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.chaos.settings",
        "AUTHMAIL_TEST_DIR": str(folder),
        "DATABASE_URL": database.url,
        "CHAOS_SMTP_PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        # Where a library in C ends a process, its log says where that was.
        "PYTHONFAULTHANDLER": "1",
    }
    if broker is not None:
        queue = f"authmail-chaos-{uuid.uuid4().hex}"
        environment |= {"CHAOS_BROKER_URL": broker.url, "CHAOS_QUEUE": queue}
    return environment


def clock_ahead(skew: int, folder: Path) -> dict[str, str]:
    """Return what makes a process's time of day wrong by so many seconds."""
    if not skew:
        return {}
    library = folder / "clock.so"
    if not library.exists():
        compiler = require_program("cc", variable="CC")
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    variables = {"LD_PRELOAD": str(library), "CHAOS_SKEW": str(skew)}
    asked = [sys.executable, "-c", "import time; print(time.time())"]
    shown = subprocess.run(asked, env=os.environ | variables, check=True, capture_output=True)
    if not abs(float(shown.stdout) - time.time() - skew) < abs(skew) / 2:
        raise RuntimeError("the clock of a process cannot be moved here")
    return variables
