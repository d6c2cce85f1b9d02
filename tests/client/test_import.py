"""What it takes to import the client, and what it brings along."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import assert_type

from django_authmail import client
from django_authmail.client import AsyncAuthmailClient, AuthmailClient, Sent
from tests.client.scripted import Service, answer


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_brings_neither_django_nor_the_rest_of_the_package() -> None:
    done = run(
        "import sys\n"
        "from django_authmail.client import AsyncAuthmailClient, AuthmailClient\n"
        "AuthmailClient('http://email-service:8000', 'key').close()\n"
        "AsyncAuthmailClient('http://email-service:8000', 'key')\n"
        "for name in sorted(sys.modules):\n"
        "    top, _, rest = name.partition('.')\n"
        "    if top in ('django', 'rest_framework', 'asgiref', 'celery', 'cryptography'):\n"
        "        print(name)\n"
        "    if top == 'django_authmail' and rest and not rest.startswith('client'):\n"
        "        print(name)\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_httpx_is_named_with_its_extra() -> None:
    done = run("import sys; sys.modules['httpx'] = None\nimport django_authmail.client")
    assert done.stderr.strip().splitlines()[-1] == (
        "ModuleNotFoundError: The client (django_authmail.client) needs the package 'httpx', "
        "which is not installed; run: pip install 'django-authmail[client]'"
    )


def test_what_httpx_lacks_is_another_error() -> None:
    done = run("import sys; sys.modules['idna'] = None\nimport django_authmail.client")
    assert "idna" in done.stderr.strip().splitlines()[-1]
    assert "pip install" not in done.stderr


def test_the_public_names_are_there() -> None:
    assert client.__all__ == sorted(client.__all__)
    assert all(hasattr(client, name) for name in client.__all__)


def test_type_checkers_know_what_comes_back(service: Service) -> None:
    service.script(answer())
    otp = ("hong@example.com", "홍길동", "482901")

    async def awaited() -> Sent:
        async with AsyncAuthmailClient(service.url, "key") as client:
            return assert_type(await client.send_otp(*otp), Sent)

    with AuthmailClient(service.url, "key") as client:
        assert assert_type(client.send_otp(*otp), Sent).sent
    assert asyncio.run(awaited()).sent
