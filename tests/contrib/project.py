"""A Django project in a process of its own, for packages that must not be in the suite's own.

`Project` is the test's end. Run as a module, this is the other: it sets up the settings module that
it is given, makes the tables, and does what it reads, one JSON object a line.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.smtp_server import PASSWORD, USER, SmtpServer


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the project answered to a request."""

    status: int
    location: str
    body: str


class Project:
    """A project that is running; its mails go to a test's SMTP server."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def get(self, path: str) -> Answer:
        return self._request("get", path, {}, {})

    def post(self, path: str, data: dict[str, Any], **headers: str) -> Answer:
        return self._request("post", path, data, headers)

    def new_client(self, **settings: Any) -> None:
        """Forget all users and cookies, and override settings from here on."""
        self._ask(do="start", settings=settings)

    def add_user(self, email: str, **fields: Any) -> None:
        self._ask(do="add_user", email=email, fields=fields)

    def log(self) -> list[str]:
        """Return what was logged at WARNING and above since the last `new_client`."""
        lines: list[str] = self._ask(do="log")
        return lines

    def _request(
        self, method: str, path: str, data: dict[str, Any], headers: dict[str, str]
    ) -> Answer:
        return Answer(
            **self._ask(do="request", method=method, path=path, data=data, headers=headers)
        )

    def _ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the project has ended; see what it printed"
        return json.loads(line)


@contextmanager
def running(settings: str, server: SmtpServer) -> Iterator[Project]:
    """Run a project with these settings while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.contrib.project"],
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": settings,
            "PROJECT_SMTP_PORT": str(server.port),
            "PROJECT_SMTP_CA": str(server.certificate.ca_file),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Project(process)
    finally:
        process.communicate()  # its input ends, and so does it


def mailer() -> dict[str, Any]:
    """Return the settings of the mailer in the project's process."""
    options = {
        "host": "localhost",
        "port": int(os.environ["PROJECT_SMTP_PORT"]),
        "username": USER,
        "password": PASSWORD,
        "use_tls": True,
        "ca_file": os.environ["PROJECT_SMTP_CA"],
    }
    backend = "django_authmail.smtp.EmailBackend"
    from django.core import mail  # this module is imported without settings too

    if hasattr(mail, "mailers"):
        return {"MAILERS": {"default": {"BACKEND": backend, "OPTIONS": options}}}
    return {
        "EMAIL_BACKEND": backend,
        "EMAIL_HOST": options["host"],
        "EMAIL_PORT": options["port"],
        "EMAIL_HOST_USER": options["username"],
        "EMAIL_HOST_PASSWORD": options["password"],
        "EMAIL_USE_TLS": True,
        "AUTHMAIL_SMTP_CA_FILE": options["ca_file"],
    }


def _serve() -> None:
    import logging
    from logging.handlers import BufferingHandler

    import django
    from django.core.management import call_command
    from django.test import override_settings

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("check", stdout=sys.stderr)

    from django.contrib.auth import get_user_model
    from django.test import Client

    logged = BufferingHandler(10_000)
    logged.setLevel(logging.WARNING)
    logging.getLogger().addHandler(logged)
    client = Client(raise_request_exception=False)
    overridden = override_settings()
    overridden.enable()
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = None
        match order["do"]:
            case "start":
                overridden.disable()
                overridden = override_settings(**order["settings"])
                overridden.enable()
                get_user_model().objects.all().delete()
                client = Client(raise_request_exception=False)
                logged.buffer.clear()
            case "add_user":
                get_user_model().objects.create_user(
                    username=order["email"], email=order["email"], **order["fields"]
                )
            case "log":
                answer = [record.getMessage() for record in logged.buffer]
            case "request":
                response = getattr(client, order["method"])(
                    order["path"], order["data"], headers=order["headers"]
                )
                answer = {
                    "status": response.status_code,
                    "location": response.headers.get("Location", ""),
                    "body": response.content.decode(),
                }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
