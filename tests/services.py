"""What the suite needs beside Python: a skip where missing, a failure where promised."""

import os
import shutil
import socket
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

#: Long enough for a busy machine to accept on loopback, short enough not to be felt.
CONNECT_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server on its standard loopback port, or where the environment says."""

    variable: str
    default_url: str

    @property
    def url(self) -> str:
        return os.environ.get(self.variable) or self.default_url


SERVICES = {
    "redis": Service(variable="AUTHMAIL_TEST_REDIS_URL", default_url="redis://127.0.0.1:6379/0"),
    "rabbitmq": Service(
        variable="AUTHMAIL_TEST_RABBITMQ_URL", default_url="amqp://guest:guest@127.0.0.1:5672//"
    ),
}


def require_service(name: str) -> str:
    """Return the URL of a service of `SERVICES` that accepts connections.

    If none does, the test is skipped, or fails where AUTHMAIL_REQUIRE_SERVICES=1.
    """
    service = SERVICES[name]
    parts = urlsplit(service.url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 0
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_SECONDS).close()
    except OSError as error:
        missing(f"{name} does not answer on {host}:{port} ({error}); set {service.variable}")
    return service.url


def require_program(name: str, *, variable: str) -> str:
    """Return the path of a program: what the environment variable says, else as found on PATH.

    If there is none, the test is skipped, or fails where AUTHMAIL_REQUIRE_SERVICES=1.
    """
    found = os.environ.get(variable) or shutil.which(name)
    if found is None:
        missing(f"{name} is not installed; install it or set {variable}")
    return found


def missing(reason: str) -> NoReturn:
    """Skip the running test, or fail it where AUTHMAIL_REQUIRE_SERVICES=1."""
    if os.environ.get("AUTHMAIL_REQUIRE_SERVICES") == "1":
        pytest.fail(f"AUTHMAIL_REQUIRE_SERVICES=1, but {reason}", pytrace=False)
    pytest.skip(reason)
