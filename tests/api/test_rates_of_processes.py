"""Two server processes count as one: as many get through as the limit says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from example_project.certificates import ServerCertificate
from example_project.names import NAMES
from tests import smtp_server as servers
from tests.api import web
from tests.api.conftest import OTP
from tests.chaos.processes import wait_until
from tests.chaos.servers import Memcached
from tests.services import require_service


@pytest.mark.parametrize("cache", ["Redis", "Memcached", "locmem"])
def test_exactly_as_many_get_through_two_processes_at_once(
    cache: str, certificate: ServerCertificate, tmp_path: Path
) -> None:
    most, parallel = 7, 40
    place: AbstractContextManager[dict[str, str]] = nullcontext({})
    environment = {"WEB_CONCURRENCY": "2", "API_RATE_LIMIT_PER_MINUTE": str(most)}
    if cache == "Redis":
        # Patient: a machine that is busy must not look like a cache that is down.
        environment["CACHE_URL"] = f"{require_service('redis')}?socket_timeout=30"
    elif cache == "Memcached":
        place = memcached(tmp_path)
    with (
        place as its_environment,
        servers.running(certificate) as smtp,
        web.running("gunicorn", smtp, tmp_path, **environment, **its_environment) as service,
    ):
        key = _key_with_time(service)

        def send(number: int) -> int:
            body = json.dumps({**OTP, "to": f"user{number}@example.com"}).encode()
            headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
            return service.talk(web.request("POST", "/send/otp", body, **headers)).status

        with ThreadPoolExecutor(parallel) as callers:
            answers = sorted(callers.map(send, range(parallel)))
        assert answers == [202] * most + [429] * (parallel - most)
        assert len(service.rows("id")) == most
        assert service.errors() == []


@contextmanager
def memcached(folder: Path) -> Iterator[dict[str, str]]:
    """Run one, and return the environment of a service that counts there."""
    server = Memcached(folder)
    server.start()
    try:
        wait_until(server.answers, "Memcached")
        yield {"DJANGO_SETTINGS_MODULE": "tests.api.memcached_settings", "MEMCACHED": server.url}
    finally:
        server.end()


def _key_with_time(service: web.Service) -> str:
    """Make a key of the service, one whose minute does not end during the test."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    environment = kept | {
        "DJANGO_SETTINGS_MODULE": "example_project.settings",
        "ENV_FILE": "",
        "DATA_DIR": str(service.folder),
    }
    command = [sys.executable, "manage.py", "authmail_key", "create", "--name", "tests"]
    while True:
        made = subprocess.run(
            command, cwd=web.ROOT, env=environment, check=True, capture_output=True, text=True
        )
        key = made.stdout.strip()
        dry = web.request(
            "POST",
            "/send/otp",
            json.dumps(OTP).encode(),
            Authorization=f"Bearer {key}",
            X_Dry_Run="1",
        )
        shown = re.search(r";t=(\d+)$", service.talk(dry).headers["ratelimit"])
        assert shown is not None
        if int(shown[1]) > 30:
            return key
