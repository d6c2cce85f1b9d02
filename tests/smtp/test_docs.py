"""SmtpConfig and SmtpSender in docs/moving-from-hwan-email-service.md: run, and complete."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from django_authmail import SmtpConfig, SmtpSender
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.settings import BASE_DIR

PAGE = (BASE_DIR / "docs" / "moving-from-hwan-email-service.md").read_text()
SECTION = PAGE.split("## SmtpConfig and SmtpSender\n", 1)[1].split("\n## ", 1)[0]


def test_the_example_sends_its_mail_without_any_settings(certificate: ServerCertificate) -> None:
    [source] = re.findall(r"^```python\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
    with servers.running(certificate) as server:
        account = {
            "SMTP_HOST": server.host,
            "SMTP_PORT": str(server.port),
            "SMTP_USER": servers.USER,
            "SMTP_PASSWORD": servers.PASSWORD,
            "SMTP_CA_FILE": str(certificate.ca_file),
        }
        inherited = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
        ran = subprocess.run(
            [sys.executable, "-c", source],
            env=inherited | account,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        [mail] = server.mails
    assert mail.recipients == ["user@example.com"]
    assert mail.mail["From"] == "Example <team@example.com>"
    assert "Hello from Example" in mail.text
    assert ran.stdout.split()[0] == mail.mail["Message-ID"]


def test_every_field_is_named_and_has_the_default_that_is_said() -> None:
    known = {field.name: field.default for field in fields(SmtpConfig)}
    assert [name for name in known if f"`{name}`" not in SECTION] == []
    said = dict(re.findall(r"^\| `(\w+)` \| `(\S+)` \|", SECTION, re.MULTILINE))
    said.pop("from_addr")  # another field's value
    assert said == {name: str(known[name]) for name in ("port", "use_tls", "use_ssl", "timeout")}


def test_the_arguments_are_those_that_are_said() -> None:
    assert f"`SmtpSender{arguments(SmtpSender)}`" in SECTION
    assert f"`send{arguments(SmtpSender.send)}`" in SECTION


def arguments(function: Callable[..., Any]) -> str:
    """Return the arguments of a function as a caller reads them."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    return str(inspect.Signature(bare))
