"""Databases, brokers and caches of a test's own, that crash and come back on the same port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests.chaos.processes import PATIENCE_SECONDS, Child, wait_until
from tests.services import missing, require_service
from tests.smtp_server import free_port


class Server:
    """A server on a free loopback port, with its files in a folder of the storm's."""

    name = ""
    #: The account that runs it where the storm is run by root, which it refuses to be.
    account = ""
    #: What makes it stop without tidying up.
    crash_signal = signal.SIGKILL

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder = folder / self.name
        self.folder.mkdir()
        self.log = folder / f"{self.name}.log"
        self.log.touch()
        if os.geteuid() == 0 and self.account:
            shutil.chown(self.folder, self.account)
            self._user: str | None = self.account
        else:
            self._user = None
        self._prepare()
        self.child = Child(self.name, self._command(), os.environ, folder, user=self._user)

    @property
    def url(self) -> str:
        raise NotImplementedError

    def start(self) -> None:
        """Start it; clients may find it not ready yet."""
        self.child.start()

    def answers(self) -> bool:
        """Tell whether it accepts connections."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 2.0):
            return True
        return False

    def crash(self) -> None:
        """Stop it at once, as a power cut does; what it had promised is on the disk."""
        self.child.kill(self.crash_signal)

    def end(self) -> None:
        self.child.kill()

    def _prepare(self) -> None: ...

    def _command(self) -> list[str]:
        raise NotImplementedError

    def _run(self, *command: str) -> None:
        with self.log.open("a") as log:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self.folder,
            )


class PostgreSQL(Server):
    name = "postgresql"
    account = "postgres"
    # Its own word for a crash: every backend ends at once, and the next start recovers. SIGKILL
    # would leave the backends behind for a moment, and the port with them.
    crash_signal = signal.SIGQUIT

    def __init__(self, folder: Path, *, is_durable: bool = False) -> None:
        # What is on its way to the disk survives the end of a process, though not a power cut.
        self._fsync = "on" if is_durable else "off"
        super().__init__(folder)

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def _prepare(self) -> None:
        data = str(self.folder / "data")
        self._run(_program("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync")

    def _command(self) -> list[str]:
        options = f"listen_addresses=127.0.0.1 unix_socket_directories={self.folder}"
        options += f" fsync={self._fsync}"
        command = [_program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]
        for option in options.split():
            command += ["-c", option]
        return command


class PgBouncer(Server):
    """A pool before a PostgreSQL in which a session lasts as long as a transaction."""

    name = "pgbouncer"
    account = "postgres"

    def __init__(self, folder: Path, database: Mapping[str, Any]) -> None:
        # An entry of DATABASES.
        self._database = database
        super().__init__(folder)

    @property
    def url(self) -> str:
        database = self._database
        return f"postgres://{database['USER']}@127.0.0.1:{self.port}/{database['NAME']}"

    def _prepare(self) -> None:
        keys = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
        given = {option: self._database[key] for option, key in keys.items()}
        target = " ".join(f"{option}={_quoted(value)}" for option, value in given.items() if value)
        # For its account alone: the password is in it, and all may look into the folder.
        self._config.touch(0o600)
        if self._user is not None:
            shutil.chown(self._config, self._user)
        self._config.write_text(
            f"[databases]\n* = {target}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            # Who comes is the user above, whom the server asks for the password.
            "auth_type = any\n"
            "pool_mode = transaction\n"
            # Less than the clients of a race.
            "default_pool_size = 5\n"
            # What a session held is gone after each transaction, not only after some (its manual).
            "server_reset_query_always = 1\n"
        )

    def _command(self) -> list[str]:
        return [_program("pgbouncer"), str(self._config)]

    @property
    def _config(self) -> Path:
        return self.folder / "pgbouncer.ini"


class MariaDB(Server):
    name = "mariadb"
    account = "mysql"

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/test"

    def _prepare(self) -> None:
        self._run(
            _program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            # Without a password; the other way is to be root, and to come by the socket.
            "--auth-root-authentication-method=normal",
        )

    def _command(self) -> list[str]:
        return [
            _program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--character-set-server=utf8mb4",
            # To the kernel at each commit: what was promised outlives the process.
            "--innodb-flush-log-at-trx-commit=2",
            # It is to be back soon.
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=8M",
            "--innodb-buffer-pool-load-at-startup=OFF",
            "--innodb-buffer-pool-dump-at-shutdown=OFF",
            "--performance-schema=OFF",
        ]


class Redis(Server):
    """A broker that keeps nothing: its crash loses every task that was in it."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> list[str]:
        command = f"{_program('redis-server')} --port {self.port} --bind 127.0.0.1 --appendonly no"
        return [*command.split(), "--save", "", "--dir", str(self.folder)]


class Memcached(Server):
    """A cache, whose crash loses all that was in it."""

    name = "memcached"
    account = "nobody"

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _command(self) -> list[str]:
        return [*f"{_program('memcached')} -l 127.0.0.1 -U 0 -m 16 -p {self.port}".split()]


class CutOff:
    """The way to a shared RabbitMQ, which takes too long to restart: it is cut instead.

    Each connection ends without a word and new ones are refused, which is what clients see of a
    restart. What they had not acknowledged is then delivered again.
    """

    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        parts = urlsplit(require_service("rabbitmq"))
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5672)
        self.port = free_port()
        userinfo = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{userinfo}@127.0.0.1:{self.port}"))
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def start(self) -> None:
        """Let connections through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def crash(self) -> None:
        """Cut all connections, and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            ended, self._open = self._open, []
        if listener is not None:
            # shutdown, not only close: it ends an accept() that is under way.
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock in ended:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    end = crash

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, PATIENCE_SECONDS)
            except OSError:
                near.close()
                continue
            with self._lock:
                if self._listener is not listener:
                    near.close()
                    far.close()
                    return
                self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


class SQLiteFile:
    """A database that is a file: what can happen to it is somebody who does not let go of it."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "db.sqlite3"
        self._said = folder / "sqlite-lock"
        command = [sys.executable, "-c", _HOLD, str(self._path), str(self._said)]
        self._holder = Child(self.name, command, os.environ, folder)

    @property
    def url(self) -> str:
        return f"sqlite:///{self._path}"

    def start(self) -> None:
        """Let others write again."""
        self._holder.kill()

    def crash(self) -> None:
        """Hold the lock for writing, in a process that is killed with it in its hands."""
        self._said.unlink(missing_ok=True)
        self._holder.start()
        wait_until(self._said.exists, "the lock of the file")

    end = start


_HOLD = """
import pathlib, sqlite3, sys, time
file = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
file.execute("BEGIN EXCLUSIVE")
file.execute("CREATE TABLE never_committed (id integer)")
pathlib.Path(sys.argv[2]).touch()
time.sleep(3600)
"""


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while octets := source.recv(65536):
            sink.sendall(octets)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()


def _quoted(value: object) -> str:
    # PgBouncer's way to have a quote in a value, as its manual says; there is no other escape.
    return "'" + str(value).replace("'", "''") + "'"


def _program(name: str) -> str:
    # Debian keeps PostgreSQL's own programs out of PATH, one folder for each version.
    folders = [os.environ.get("PATH", ""), "/usr/sbin"]
    folders += sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = shutil.which(name, path=os.pathsep.join(folders))
    if found is None:
        missing(f"{name} is not installed")
    return found
