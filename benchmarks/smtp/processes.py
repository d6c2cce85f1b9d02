"""The processes of a run: the server and the path to it, which end with the run."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.smtp.server import IMPLICIT, STARTTLS
from example_project.certificates import make_certificate

ROOT = Path(__file__).resolve().parents[2]

USER = "sender@example.com"

#: What each kind of server leaves out of its EHLO.
SERVERS: Mapping[str, tuple[str, ...]] = {
    "chunking": (),
    "pipelining": ("CHUNKING",),
    "plain": ("CHUNKING", "PIPELINING"),
}

# Where systems keep the bundle of the authorities that they trust.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/cert.pem",  # macOS, BSD
)

_GRACE_SECONDS = 3.0


class Child:
    """One process of this run. It ends when its standard input closes, even if this one dies."""

    def __init__(
        self, module: str, arguments: Sequence[str], *, python: str = sys.executable
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - a Python, a module of this package
            [python, "-m", module, *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for this process, which then ends them in order.
            process_group=0,
        )
        try:
            #: What it said when it was ready.
            self.ready = self._answer()
        except BaseException:
            self.end()
            raise

    def ask(self, question: str) -> Any:
        """Send a line and return the JSON value that comes back."""
        pipe = _opened(self._process.stdin)
        pipe.write(f"{question}\n")
        pipe.flush()
        return self._answer()

    def end(self) -> None:
        """End the process, by asking first."""
        with suppress(OSError):
            _opened(self._process.stdin).close()
        for insist in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                insist()
        self._process.wait()
        _opened(self._process.stdout).close()

    def _answer(self) -> Any:
        line = _opened(self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended before it answered")
        return json.loads(line)


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a run measures against."""

    #: (kind of server, security, RTT in ms) to a port on this machine.
    ports: Mapping[tuple[str, str, float], int]
    password: str = field(repr=False)
    #: PEM file with the system's authorities and the run's own.
    ca_file: Path
    ca_count: int
    _server: Child = field(repr=False)

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return what the server has counted, for each of its ports."""
        counts: dict[str, dict[str, Any]] = self._server.ask("stats")
        return counts

    def last_taken(self) -> float:
        """Return when the server took the last mail, by `time.monotonic`."""
        return max(float(one["last_taken"]) for one in self.counts().values())


@contextmanager
def surroundings(folder: Path, rtts: Sequence[float], password: str) -> Iterator[Surroundings]:
    """Start a server and the paths to it, and end them afterwards."""
    certificate = make_certificate(folder)
    ca_file = folder / "bundle.pem"
    bundle = system_bundle() + certificate.ca_file.read_text()
    ca_file.write_text(bundle)
    arguments = ["--certificate", str(certificate.certificate_file)]
    arguments += ["--key", str(certificate.key_file), "--user", USER, "--password", password]
    for name, left_out in SERVERS.items():
        arguments += ["--listener", f"{name}={','.join(left_out)}"]
    children: list[Child] = []
    try:
        server = Child("benchmarks.smtp.server", arguments)
        children.append(server)
        places = [(name, security) for name in SERVERS for security in (STARTTLS, IMPLICIT)]
        ports = {(*place, 0.0): server.ready["/".join(place)] for place in places}
        delayed = [(*place, rtt) for place in places for rtt in rtts if rtt]
        if delayed:
            routes = [f"{ports[name, security, 0.0]}:{rtt}" for name, security, rtt in delayed]
            proxy = Child(
                "benchmarks.smtp.proxy", [word for route in routes for word in ("--route", route)]
            )
            children.append(proxy)
            ports |= dict(zip(delayed, proxy.ready, strict=True))
        yield Surroundings(
            ports=ports,
            password=password,
            ca_file=ca_file,
            ca_count=bundle.count("BEGIN CERTIFICATE"),
            _server=server,
        )
    finally:
        for child in reversed(children):
            child.end()


def system_bundle() -> str:
    """Return the PEM text of the authorities that this system trusts."""
    configured = ssl.get_default_verify_paths().cafile
    for path in (configured, *_BUNDLES):
        if path and Path(path).is_file():
            return Path(path).read_text()
    return ""  # the report says how many authorities there are


def _opened(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # noqa: S101 - both are asked for above
    return pipe
