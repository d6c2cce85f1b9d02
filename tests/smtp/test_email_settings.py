"""A project whose account is in EMAIL_*: what its options are, on every version of Django."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import smtp_server as servers

ROOT = Path(__file__).resolve().parents[2]
GMAIL = {"EMAIL_HOST_USER": "a@gmail.com", "EMAIL_HOST_PASSWORD": "p"}

# Prints the configuration, or what is wrong, for each of the settings that it is given.
_SCRIPT = """
import json, sys
from dataclasses import asdict
import django
from django.conf import settings
from django.core.mail import get_connection, send_mail
from django.test import override_settings

cases = json.loads(sys.argv[1])
settings.configure(
    EMAIL_BACKEND="django_authmail.smtp.EmailBackend",
    INSTALLED_APPS=["django_authmail"],
    SECRET_KEY="only-for-tests",
    USE_TZ=True,
)
django.setup()
from django_authmail.checks.accounts import check_mailers
from django_authmail.checks.settings import check_settings
from django_authmail.exceptions import MailerUnusable
for case in cases:
    with override_settings(**case):
        found = [*check_settings(), *check_mailers()]
        answer = {"checks": sorted(f"{m.id[9:]} {m.msg} {m.hint}" for m in found)}
        try:
            # What send_mail() does.
            config = get_connection(username=None, password=None, fail_silently=False).config
            answer |= {"config": asdict(config)}
        except MailerUnusable as error:
            answer["error"] = str(error)
        if "AUTHMAIL_SMTP_CA_FILE" in case:
            answer["sent"] = send_mail("s", "b", "a@example.org", ["b@example.com"])
        print(json.dumps(answer))
"""


def run(*cases: dict[str, Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        # Django 6.1 has deprecated EMAIL_*, which is what this is about.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _SCRIPT, json.dumps(cases)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    cases: dict[str, dict[str, Any]] = {
        "nothing": {},
        "preset": {**GMAIL, "AUTHMAIL_SMTP_OPTIONS": {"preset": "gmail"}},
        "preset and port": {
            **GMAIL,
            "EMAIL_PORT": 587,
            "AUTHMAIL_SMTP_OPTIONS": {"preset": "gmail", "pool_size": 1},
        },
        "preset with a user": {
            "EMAIL_HOST_PASSWORD": "key",
            "EMAIL_TIMEOUT": 3,
            "AUTHMAIL_SMTP_OPTIONS": {"preset": "sendgrid"},
        },
        "options": {
            "EMAIL_HOST": "mail.example.com",
            "AUTHMAIL_SMTP_OPTIONS": {"max_idle": 5, "headers": {"X-Tag": "a"}, "debug": True},
        },
        "typo": {"AUTHMAIL_SMTP_OPTIONS": {"pol_size": 1}},
        "misplaced": {"AUTHMAIL_SMTP_OPTIONS": {"host": "mail.example.com"}},
        "no preset": {"AUTHMAIL_SMTP_OPTIONS": {"preset": "gmial"}},
        "cleartext": GMAIL,
    }
    return dict(zip(cases, run(*cases.values()), strict=True))


def test_without_options_django_s_defaults_count(answers: dict[str, Any]) -> None:
    config = answers["nothing"]["config"]
    assert (config["host"], config["port"], config["pool_size"]) == ("localhost", 25, 4)
    assert answers["nothing"]["checks"] == []


def test_a_preset_fills_in_what_the_project_left_out(answers: dict[str, Any]) -> None:
    config = answers["preset"]["config"]
    assert (config["host"], config["port"], config["use_ssl"]) == ("smtp.gmail.com", 465, True)
    assert (config["user"], config["password"], config["pool_size"]) == ("a@gmail.com", "p", 2)
    assert answers["preset"]["checks"] == []


def test_what_the_project_has_set_wins_over_the_preset(answers: dict[str, Any]) -> None:
    config = answers["preset and port"]["config"]
    assert (config["port"], config["use_tls"], config["use_ssl"]) == (587, True, False)
    assert config["pool_size"] == 1


def test_a_preset_brings_its_user_and_headers(answers: dict[str, Any]) -> None:
    config = answers["preset with a user"]["config"]
    assert (config["user"], config["password"], config["timeout"]) == ("apikey", "key", 3.0)
    assert config["headers"][0][0] == "X-SMTPAPI"
    assert answers["preset with a user"]["checks"] == []


def test_an_error_speaks_of_the_settings_that_there_are(answers: dict[str, Any]) -> None:
    assert answers["cleartext"]["error"] == (
        "EMAIL_*: SMTP: the password for localhost would cross the network readable; set "
        "EMAIL_USE_TLS (not opportunistic) or EMAIL_USE_SSL, or "
        'AUTHMAIL_SMTP_OPTIONS["allow_cleartext_auth"] if the network is your own'
    )


def test_every_option_has_its_place(answers: dict[str, Any]) -> None:
    config = answers["options"]["config"]
    assert (config["host"], config["max_idle"], config["debug"]) == ("mail.example.com", 5, True)
    assert config["headers"] == [["X-Tag", "a"]]


@pytest.mark.parametrize(
    ("case", "error", "check"),
    [
        (
            "typo",
            "AUTHMAIL_SMTP_OPTIONS: unknown option 'pol_size'; did you mean 'pool_size'?",
            'E013 AUTHMAIL_SMTP_OPTIONS["pol_size"] is no option of '
            "django_authmail.smtp.EmailBackend. Did you mean 'pool_size'?",
        ),
        (
            "misplaced",
            "AUTHMAIL_SMTP_OPTIONS: unknown option 'host'; did you mean 'EMAIL_HOST'?",
            'E013 AUTHMAIL_SMTP_OPTIONS["host"] is no option of '
            "django_authmail.smtp.EmailBackend. Did you mean 'EMAIL_HOST'?",
        ),
        (
            "no preset",
            "EMAIL_*: there is no preset 'gmial'; did you mean 'gmail'?",
            "E014 AUTHMAIL_SMTP_OPTIONS[\"preset\"]: there is no preset 'gmial'; did you mean "
            "'gmail'?",
        ),
    ],
)
def test_what_is_wrong_is_said_by_the_backend_and_by_check(
    answers: dict[str, Any], case: str, error: str, check: str
) -> None:
    assert answers[case]["error"].startswith(error)
    assert answers[case]["checks"][0].startswith(check)


def test_mail_goes_by_them(smtp_server: servers.SmtpServer) -> None:
    options = smtp_server.options
    [answer] = run(
        {
            "EMAIL_HOST": options["host"],
            "EMAIL_PORT": options["port"],
            "EMAIL_USE_TLS": True,
            "EMAIL_HOST_USER": options["username"],
            "EMAIL_HOST_PASSWORD": options["password"],
            "AUTHMAIL_SMTP_CA_FILE": options["ca_file"],
            "AUTHMAIL_SMTP_OPTIONS": {"envelope_sender": "bounces@example.org"},
        }
    )
    assert answer["sent"] == 1
    assert smtp_server.mails[0].sender == "bounces@example.org"
