"""Every check: its id, what it says, what it says to do, and that `manage.py check` asks it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.app import app_or_default
from django.core import checks, mail
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.redis import RedisCache
from django.core.checks.registry import registry
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend
from django.db import connections
from pytest_django.fixtures import Settings

from django_authmail import backends
from django_authmail import checks as ours
from django_authmail.checks.accounts import check_mailers
from django_authmail.checks.found import saying
from django_authmail.conf import Conf, conf
from django_authmail.schedule import beat_schedule
from django_authmail.smtp import EmailBackend, backend
from example_project.certificates import make_certificate

OUR_BACKEND = "django_authmail.smtp.EmailBackend"
GOOD = {
    "host": "smtp.example.com",
    "port": 587,
    "username": "sender@example.com",
    "password": "not-a-real-password",
    "use_tls": True,
}
CACHES = "django.core.cache.backends"
LONG_KEY = "k" * 32
HOST, PORT, USER, PASSWORD, TLS, SSL = (
    f'MAILERS[\'default\']["OPTIONS"]["{option}"]'
    for option in ("host", "port", "username", "password", "use_tls", "use_ssl")
)

Mailer = Callable[..., None]


class OwnCache(RedisCache):
    """What a project makes of Django's."""


class DjangoRedisCache(BaseCache):
    """What the check knows of django-redis, which the tests do not install: its name."""

    __module__ = "django_redis.cache"
    __qualname__ = "RedisCache"

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(params)

    def incr(self, *args: Any, **options: Any) -> int:
        raise NotImplementedError  # a check asks nothing of the server


@pytest.fixture(autouse=True)
def _a_good_project(
    settings: Settings, mailer: Mailer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mailer()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    settings.CACHES = {
        "default": {"BACKEND": f"{CACHES}.redis.RedisCache", "OPTIONS": {"socket_timeout": 1}}
    }
    settings.AUTHMAIL_API_DOCS = False


@pytest.fixture
def app() -> Iterator[Celery]:
    """A Celery app as a project has one: a broker, and entries for the sweeps."""
    before = app_or_default()
    app = Celery("project", broker="amqp://user:secret@broker")
    app.conf.beat_schedule = beat_schedule()
    yield app
    before.set_current()


@pytest.fixture
def mailer(settings: Settings) -> Mailer:
    """Write MAILERS; the same setting works on every Django for what goes through this package."""

    def write(backend: str = OUR_BACKEND, alias: str = "default", **changes: Any) -> None:
        options = {k: v for k, v in {**GOOD, **changes}.items() if v is not None}
        others = {} if alias == "default" else settings.MAILERS
        settings.MAILERS = {**others, alias: {"BACKEND": backend, "OPTIONS": options}}

    return write


def found(*, deploy: bool = False) -> dict[str, checks.CheckMessage]:
    """Run our checks and return what they say, by id. One message for each id at most."""
    messages = checks.run_checks(tags=[ours.TAG], include_deployment_checks=deploy)
    by_id = {str(message.id).removeprefix("authmail."): message for message in messages}
    assert len(by_id) == len(messages), messages
    return by_id


def expect(
    number: str, message: str, hint: str, *, deploy: bool = False, others: tuple[str, ...] = ()
) -> None:
    messages = found(deploy=deploy)
    assert messages.keys() == {number, *others}
    assert messages[number].msg == message
    assert messages[number].hint == hint
    assert messages[number].is_serious() == number.startswith("E")


def test_a_good_project_gets_no_message() -> None:
    assert found() == {}


def test_a_good_project_gets_no_message_when_deployed(sqlite_options: dict[str, Any]) -> None:
    sqlite_options["transaction_mode"] = "IMMEDIATE"
    assert found(deploy=True) == {}


# -- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "message", "default"),
    [
        ("AUTHMAIL_API_KEY", 5, "must be str, not int", "Secret('')"),
        ("AUTHMAIL_CELERY", "yes", "must be bool, not str", "False"),
        (
            "AUTHMAIL_AUTOFILL_DOMAIN",
            "https://example.com",
            "must be the name of a domain, such as example.com",
            "''",
        ),
        (
            "AUTHMAIL_BRAND",
            {"color": "#123456"},
            "has no part 'color'; it has name, logo, logo_width, colour, footer, support",
            "{}",
        ),
        ("AUTHMAIL_BRAND", {"colour": "red"}, "['colour'] must be written as #rrggbb", "{}"),
        ("AUTHMAIL_BRAND", {"name": {"ko": 1}}, "['name'] must be str", "{}"),
        ("AUTHMAIL_BRAND", {"colour": {"ko": "x"}}, "['colour'] must be str", "{}"),
        (
            "AUTHMAIL_BRAND",
            {"support": "http://example.com"},
            "['support'] must be an email address or begin with https://",
            "{}",
        ),
        (
            "AUTHMAIL_BRAND",
            {"logo": "logo.svg"},
            "['logo'] must be the path of a file .gif, .jpeg, .jpg, .png",
            "{}",
        ),
        (
            "AUTHMAIL_BRAND",
            {"logo": "/nowhere/logo.png"},
            "['logo'] cannot be read: No such file or directory",
            "{}",
        ),
        (
            "AUTHMAIL_BRAND",
            {"logo_width": "120"},
            "['logo_width'] must be a number of pixels from 16 to 480",
            "{}",
        ),
        (
            "AUTHMAIL_LINK_BASE_URL",
            "http://example.com",
            "is http: a token would cross the network readable; use https",
            "''",
        ),
        (
            "AUTHMAIL_LINK_PATHS",
            {"magic-link": "login"},
            "is wrong: the path of 'magic-link' must be a path that begins with one /, without ?, "
            "# and ..",
            "{}",
        ),
        ("AUTHMAIL_LINK_PATHS", {"otp": 1}, "must map names of kinds to paths", "{}"),
        (
            "AUTHMAIL_NOTIFIERS",
            ["parcel"],
            "must hold dotted paths, such as 'shop.notifiers.ParcelNotifier'",
            "()",
        ),
        (
            "AUTHMAIL_DELIVER_USING",
            {"a"},
            "must be str or list or tuple, not set",
            "('default',)",
        ),
        (
            "AUTHMAIL_DELIVER_USING",
            [],
            "must be the name of a mailer, or a list of names",
            "('default',)",
        ),
        (
            "AUTHMAIL_DELIVER_USING",
            ["a", "a"],
            "must name each mailer once",
            "('default',)",
        ),
        (
            "AUTHMAIL_QUOTAS",
            {"default": 500},
            'must be like {"default": {"day": 500, "minute": 30}}',
            "{}",
        ),
        (
            "AUTHMAIL_QUOTAS",
            {"default": {"hour": 500}},
            "must have the windows minute and day, not 'hour'",
            "{}",
        ),
        (
            "AUTHMAIL_QUOTAS",
            {"default": {"day": -1}},
            "must have whole numbers from 0, not -1",
            "{}",
        ),
        (
            "AUTHMAIL_IDEMPOTENCY_TTL_SECONDS",
            -1,
            "must be from 0 to 31,536,000, a year in seconds",
            "86400",
        ),
        ("AUTHMAIL_LOG_FORMAT", "xml", "must be one of 'text', 'json'", "'text'"),
        ("AUTHMAIL_MAX_ATTEMPTS", 0, "must be 1 or more", "8"),
        ("AUTHMAIL_MAX_ATTEMPTS", True, "must be int, not bool", "8"),
        (
            "AUTHMAIL_SEND_DEADLINE",
            45,
            "must be timedelta, not int",
            repr(timedelta(seconds=45)),
        ),
        (
            "AUTHMAIL_SYNC_DEADLINE",
            timedelta(0),
            "must be longer than zero",
            repr(timedelta(seconds=8)),
        ),
        (
            "AUTHMAIL_RECIPIENT_LIMITS",
            [(5, timedelta(seconds=1.5))],
            "must have windows of whole seconds",
            repr(Conf.recipient_limits.default),
        ),
        (
            "AUTHMAIL_WEBHOOK_ALLOW_HOSTS",
            ["http://hooks.example.com"],
            "must hold names or addresses of hosts, as 'hooks.example.com', without port",
            "()",
        ),
        (
            "AUTHMAIL_WEBHOOK_BACKOFF_SECONDS",
            (5, -1),
            "must hold 50 numbers of seconds at most, each up to 604,800, a week",
            "(5, 300, 1800, 7200, 18000, 36000, 36000)",
        ),
        (
            "AUTHMAIL_WEBHOOK_PORTS",
            (0,),
            "must hold numbers of ports, from 1 to 65,535",
            "()",
        ),
        (
            "AUTHMAIL_WEBHOOK_TIMEOUT",
            timedelta(minutes=2),
            "must be longer than zero, and a minute at most",
            repr(timedelta(seconds=15)),
        ),
        (
            "AUTHMAIL_SEALING_KEYS",
            ["short"],
            "must hold strings of at least 32 characters, newest first",
            "()",
        ),
    ],
)
def test_e001_a_wrong_type_or_range(
    settings: Settings, name: str, value: object, message: str, default: str
) -> None:
    setattr(settings, name, value)
    expect(
        "E001",
        f"{name} {message}.",
        f"Correct it, or remove it to get the default, {default}.",
    )


def test_w001_an_unknown_name_with_the_nearest_one(settings: Settings) -> None:
    settings.AUTHMAIL_API_KEYS = LONG_KEY
    expect(
        "W001",
        "There is no setting AUTHMAIL_API_KEYS; it has no effect.",
        "Did you mean AUTHMAIL_API_KEY?",
    )


def test_w001_an_unknown_name_that_is_near_to_none(settings: Settings) -> None:
    settings.AUTHMAIL_XYZZY = 1
    expect("W001", "There is no setting AUTHMAIL_XYZZY; it has no effect.", "Remove it.")


SHORT_KEY = "AUTHMAIL_API_KEY has less than 32 characters: it can be guessed."
SHORT_KEY_HINT = (
    "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'. Or leave it empty "
    "and use keys of `manage.py authmail_key create`."
)


def test_w002_a_short_key(settings: Settings) -> None:
    settings.AUTHMAIL_API_KEY = LONG_KEY[1:]
    expect("W002", SHORT_KEY, SHORT_KEY_HINT)
    settings.AUTHMAIL_API_KEY = LONG_KEY
    assert found() == {}


def test_e101_a_short_key_when_deployed(settings: Settings, immediate: None) -> None:
    settings.AUTHMAIL_API_KEY = LONG_KEY[1:]
    expect("E101", SHORT_KEY, SHORT_KEY_HINT, deploy=True, others=("W002",))


def test_e010_no_time_zones(settings: Settings) -> None:
    settings.USE_TZ = False
    expect(
        "E010",
        "USE_TZ is False: due times and leases would be compared with local times.",
        "Set USE_TZ = True. Pages may still show local time, by TIME_ZONE.",
    )


# -- From ----------------------------------------------------------------------------------------

FROM_HINT = 'Set DEFAULT_FROM_EMAIL = "Your service <no-reply@your-domain.example>".'


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "webmaster@localhost",
            "DEFAULT_FROM_EMAIL is not set: mails would be from webmaster@localhost.",
        ),
        (
            "",
            "DEFAULT_FROM_EMAIL is not a usable email address: it needs the form name@domain.",
        ),
        (
            "Example",
            "DEFAULT_FROM_EMAIL is not a usable email address: it needs the form name@domain.",
        ),
        (
            "Example <no-reply@exa mple.com>",
            "DEFAULT_FROM_EMAIL is not a usable email address: its domain is not a valid domain "
            "name.",
        ),
    ],
)
def test_e002_no_from_address(settings: Settings, address: str, message: str) -> None:
    settings.DEFAULT_FROM_EMAIL = address
    expect("E002", message, FROM_HINT)


@pytest.mark.parametrize("address", ["a@example.com\r\nBcc: x@example.com", "a@example.com\n"])
def test_e003_a_line_break_in_from(settings: Settings, address: str) -> None:
    settings.DEFAULT_FROM_EMAIL = address
    expect(
        "E003",
        "DEFAULT_FROM_EMAIL contains a line break, NUL or another control character; remove it, "
        "header fields are one line.",
        f"It is one line. {FROM_HINT}",
    )


# -- Mailers -------------------------------------------------------------------------------------

MODES = f"{TLS} (STARTTLS, port 587) or {SSL} (TLS from the start, port 465)"


@pytest.mark.parametrize("backend", [OUR_BACKEND, "django.core.mail.backends.smtp.EmailBackend"])
@pytest.mark.parametrize("host", ["", None])
def test_e004_no_host(mailer: Mailer, backend: str, host: str | None) -> None:
    mailer(backend, host=host)
    expect("E004", f"{HOST} is empty: there is no server to send by.", f"Set {HOST}.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": "abc"}, f"{PORT} must be a whole number from 1 to 65535, not 'abc'."),
        ({"port": 0}, f"{PORT} must be a whole number from 1 to 65535, not 0."),
        ({"port": 70000}, f"{PORT} must be a whole number from 1 to 65535, not 70000."),
        (
            {"host": "smtp://u:pa55@localhost"},
            f"{HOST} must be the name or address of a server alone, without scheme or user.",
        ),
        (
            {"host": "localhost:20587"},
            f"{HOST} must not hold a port, which has a place of its own.",
        ),
        ({"host": "smtp example"}, f"{HOST} is no host name: it contains white space."),
    ],
)
def test_e016_no_host_or_port(mailer: Mailer, options: dict[str, Any], message: str) -> None:
    mailer(**options)
    [found_] = found().values()
    assert (found_.id, found_.msg) == ("authmail.E016", message)


def test_e005_both_tls_modes(mailer: Mailer) -> None:
    mailer(use_ssl=True, port=2525)
    expect("E005", f"{TLS} and {SSL} exclude each other.", f"Set one of them: {MODES}.")


def test_e006_a_password_without_tls(mailer: Mailer) -> None:
    mailer(use_tls=False)
    expect(
        "E006",
        f"{PASSWORD} would cross the network readable: neither TLS mode is on.",
        f"Set {MODES}.",
    )


@pytest.mark.parametrize("by_option", [True, False])
def test_w003_a_password_without_tls_that_is_allowed_by_name(
    mailer: Mailer, settings: Settings, by_option: bool
) -> None:
    mailer(use_tls=False, **({"allow_cleartext_auth": True} if by_option else {}))
    settings.AUTHMAIL_SMTP_ALLOW_CLEARTEXT_AUTH = not by_option
    expect(
        "W003",
        f"{PASSWORD} would cross the network readable: neither TLS mode is on.",
        f"Set {MODES}, unless the whole way to the server is your own.",
    )


@pytest.mark.parametrize(
    ("changes", "there", "missing"),
    [({"password": ""}, USER, PASSWORD), ({"username": None}, PASSWORD, USER)],
)
def test_e007_half_a_login(
    mailer: Mailer, changes: dict[str, Any], there: str, missing: str
) -> None:
    mailer(**changes)
    expect(
        "E007",
        f"{there} is set and {missing} is not: nobody can log in with that.",
        f"Set {missing}, or remove {there} to send without login.",
    )


@pytest.mark.parametrize(
    ("changes", "port", "right"),
    [
        ({"port": 465}, 465, SSL),
        ({"use_tls": False, "use_ssl": True}, 587, TLS),
    ],
)
def test_w004_a_port_that_does_not_fit(
    mailer: Mailer, changes: dict[str, Any], port: int, right: str
) -> None:
    mailer(**changes)
    expect(
        "W004",
        f"{PORT} is {port}, which does not fit the TLS mode: connecting would hang or fail.",
        f"With port {port}, set {right}.",
    )


@pytest.mark.parametrize(
    "where",
    [
        'MAILERS[\'default\']["OPTIONS"]["ca_file"]',
        "AUTHMAIL_SMTP_CA_FILE",
        "AUTHMAIL_WEBHOOK_CA_FILE",
    ],
)
def test_e012_an_authority_that_cannot_be_read(
    mailer: Mailer, settings: Settings, tmp_path: Path, where: str
) -> None:
    def use(path: Path) -> None:
        if where.startswith("MAILERS"):
            mailer(ca_file=str(path))
        else:
            setattr(settings, where, path)

    def expect_problem(path: Path, problem: str) -> None:
        use(path)
        expect(
            "E012",
            f"{where} is {str(path)!r}, which {problem}.",
            "Correct the path; the user that this process runs as must be able to read the file. "
            "A relative path counts from where the process was started.",
        )

    expect_problem(tmp_path / "missing.pem", "cannot be read: No such file or directory")
    expect_problem(tmp_path, "cannot be read: Is a directory")
    (tmp_path / "note.pem").write_text("ask the operators for it")
    expect_problem(tmp_path / "note.pem", "holds no certificate in PEM form")
    use(make_certificate(tmp_path).ca_file)
    assert found() == {}


@pytest.mark.parametrize("option", ["ssl_certfile", "ssl_keyfile"])
def test_e012_a_client_certificate_that_cannot_be_read(mailer: Mailer, option: str) -> None:
    mailer(**{option: "/nonexistent/client.pem"})
    assert found().keys() == {"E012"}
    assert found()["E012"].msg == (
        f"MAILERS['default'][\"OPTIONS\"][\"{option}\"] is '/nonexistent/client.pem', which cannot "
        "be read: No such file or directory."
    )


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("user_tls", "Did you mean 'use_tls'?"),
        ("ssl_cafile", "Did you mean 'ca_file'?"),
        ("xyzzy", "Remove it."),
    ],
)
def test_e013_an_option_that_does_not_exist(mailer: Mailer, option: str, hint: str) -> None:
    mailer(**{option: True})
    expect(
        "E013",
        f'MAILERS[\'default\']["OPTIONS"]["{option}"] is no option of {OUR_BACKEND}.',
        hint,
    )


def test_the_options_of_another_backend_are_its_own(mailer: Mailer) -> None:
    mailer("tests.test_checks.SomebodyElsesBackend", xyzzy=True, preset="nothing")
    assert found() == {}


class SomebodyElsesBackend(DjangoEmailBackend):
    """Takes options that this package does not know."""


def test_e014_a_preset_that_does_not_exist(mailer: Mailer) -> None:
    mailer(preset="navr")
    assert found().keys() == {"E014"}
    assert found()["E014"].msg.startswith(
        "MAILERS['default'][\"OPTIONS\"][\"preset\"]: there is no preset 'navr'; did you mean "
        "'naver'?"
    )
    assert found()["E014"].hint == "docs/smtp-presets.md describes them."


ACCOUNT = {"username": "me@naver.com", "password": "not-a-real-password"}


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "naver", **ACCOUNT},
        {"preset": "gmail", **ACCOUNT},
        {"preset": "gmail", "port": 587, **ACCOUNT},
        {"preset": "sendgrid", "password": "not-a-real-key"},
        {"preset": "mailpit"},
        {"preset": "gmail", "username": "me@gmail.com", "oauth": "tests.test_checks.token"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_what_a_preset_fills_in_need_not_be_given(
    settings: Settings, options: dict[str, Any]
) -> None:
    settings.MAILERS = {"default": {"BACKEND": OUR_BACKEND, "OPTIONS": options}}
    assert found() == {}


def test_what_is_given_beside_a_preset_is_looked_at(settings: Settings) -> None:
    options: dict[str, Any] = {"preset": "gmail", "port": 465, "use_tls": True, **ACCOUNT}
    settings.MAILERS = {"default": {"BACKEND": OUR_BACKEND, "OPTIONS": options}}
    assert found().keys() == {"W004"}
    options = {"preset": "gmail", "username": "me@gmail.com"}
    settings.MAILERS = {"default": {"BACKEND": OUR_BACKEND, "OPTIONS": options}}
    assert found().keys() == {"E007"}


def test_no_login_and_no_tls_is_a_relay_and_fine(mailer: Mailer) -> None:
    mailer(username=None, password=None, use_tls=False, port=25)
    assert found() == {}


def test_a_mailer_that_is_not_named_and_not_ours_is_its_owners_business(mailer: Mailer) -> None:
    mailer("django.core.mail.backends.smtp.EmailBackend", alias="newsletter", host="")
    assert found() == {}


def test_a_second_mailer_of_ours_is_looked_at(mailer: Mailer) -> None:
    mailer(alias="second", host="")
    assert found().keys() == {"E004"}
    assert "MAILERS['second']" in found()["E004"].msg


CARRIER_HINT = (
    "AUTHMAIL_DELIVER_USING names the mailer that queued mail leaves by; give it one with the "
    "backend django_authmail.smtp.EmailBackend."
)


def test_e008_a_carrier_that_does_not_exist(settings: Settings) -> None:
    settings.AUTHMAIL_DELIVER_USING = "defaults"
    expect(
        "E008",
        "There is no mailer 'defaults'; MAILERS has 'default'; did you mean 'default'?",
        CARRIER_HINT,
    )


def test_e008_looks_at_each_carrier_of_a_list(settings: Settings) -> None:
    settings.AUTHMAIL_DELIVER_USING = ["default", "backup"]
    expect("E008", "There is no mailer 'backup'; MAILERS has 'default'.", CARRIER_HINT)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        (
            "django_authmail.backends.OutboxBackends",
            "; did you mean 'django_authmail.backends.OutboxBackend'?",
        ),
        (
            "django_authmail.smtp.EmailBackent",
            "; did you mean 'django_authmail.smtp.EmailBackend'?",
        ),
        ("shop.mail.Backend", "."),
    ],
)
def test_e008_a_backend_that_does_not_exist(mailer: Mailer, path: str, meant: str) -> None:
    mailer(path)
    hint = found()["E008"].hint
    assert hint == f"Name a class that is there in MAILERS['default'][\"BACKEND\"]{meant}"


# Django 6.1 has deprecated EMAIL_*, which is what this is about.
@pytest.mark.filterwarnings("ignore:The EMAIL_")
def test_e008_a_backend_of_a_project_without_mailers(settings: Settings) -> None:
    del settings.MAILERS
    settings.EMAIL_BACKEND = f"{OUTBOX}s"
    assert found()["E008"].hint == (
        f"Name a class that is there in EMAIL_BACKEND; did you mean {OUTBOX!r}?"
    )


def test_e008_a_carrier_that_reads_fields_instead_of_bytes(mailer: Mailer) -> None:
    mailer("django.core.mail.backends.base.BaseEmailBackend")
    expect(
        "E008",
        "The mailer 'default' uses django.core.mail.backends.base.BaseEmailBackend, which does not "
        "send a message's own bytes; queued mail needs django_authmail.smtp.EmailBackend or one of "
        "Django's backends.",
        CARRIER_HINT,
    )


OUTBOX = "django_authmail.backends.OutboxBackend"


@pytest.fixture
def queue(settings: Settings) -> Callable[..., None]:
    """Add mailers that queue, by the names and options given."""

    def add(**options_by_name: dict[str, Any]) -> None:
        queues = {n: {"BACKEND": OUTBOX, "OPTIONS": o} for n, o in options_by_name.items()}
        settings.MAILERS = {**settings.MAILERS, **queues}

    return add


def test_a_mailer_that_queues_gets_no_message(queue: Callable[..., None]) -> None:
    queue(plain={}, both={"deliver_using": ["default"], "priority": "high"})
    assert found() == {}


# Django 6.1 has deprecated EMAIL_*, which is what this is about.
@pytest.mark.filterwarnings("ignore:The EMAIL_")
def test_a_queue_with_its_account_in_email_settings_gets_no_message(settings: Settings) -> None:
    """What the README has for Django 5.2 and 6.0."""
    del settings.MAILERS
    settings.EMAIL_BACKEND = OUTBOX
    settings.EMAIL_HOST, settings.EMAIL_PORT = "smtp.gmail.com", 587
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = GOOD["username"], GOOD["password"]
    settings.EMAIL_USE_TLS = True
    settings.AUTHMAIL_SMTP_OPTIONS = {"preset": "gmail"}
    assert found() == {}


@pytest.mark.parametrize(
    ("carriers", "problem"),
    [
        ("queue", "The mailer 'queue' queues mail, so it cannot be what queued mail leaves by; "),
        (["default", "other"], "The mailer 'other' queues mail, so it cannot be what queued mail "),
        (["defaults", "default"], "There is no mailer 'defaults'; MAILERS has "),
    ],
)
def test_e008_a_list_of_carriers_that_makes_a_loop_or_has_a_gap(
    queue: Callable[..., None], carriers: Any, problem: str
) -> None:
    queue(queue={"deliver_using": carriers}, other={})
    assert found().keys() == {"E008"}
    assert found()["E008"].msg.startswith(
        f'MAILERS[\'queue\']["OPTIONS"]["deliver_using"]: {problem}'
    )


def test_e013_an_option_of_a_queue_that_does_not_exist(queue: Callable[..., None]) -> None:
    queue(queue={"deliverusing": "default"})
    expect(
        "E013",
        f'MAILERS[\'queue\']["OPTIONS"]["deliverusing"] is no option of {OUTBOX}.',
        "Did you mean 'deliver_using'?",
    )


def test_w010_a_quota_of_nobody(settings: Settings) -> None:
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 500}, "primary": {"day": 500}}
    expect(
        "W010",
        "AUTHMAIL_QUOTAS has 'primary', and there is no such mailer: it limits nothing.",
        "Mailers are 'default'.",
    )


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ({"priority": 1}, "priority is 'high' or 'low', not 1"),
        ({"deliver_using": 5}, "deliver_using is the name of a mailer, or a list of names"),
        ({"deliver_using": [5]}, "deliver_using is the name of a mailer, or a list of names"),
    ],
)
def test_e015_an_option_of_a_queue_that_cannot_be_used(
    queue: Callable[..., None], option: dict[str, Any], problem: str
) -> None:
    queue(queue=option)
    expect("E015", f"MAILERS['queue']: {problem}.", "docs/settings.md has its options.")


def test_e015_a_queue_without_what_it_needs(
    queue: Callable[..., None], not_installed: Callable[[str], None]
) -> None:
    queue(queue={})
    not_installed("cryptography")
    [problem] = [message for number, message in found().items() if number == "E015"]
    assert "cryptography" in problem.msg
    assert problem.hint == "Run: pip install 'django-authmail[outbox]'"


# -- What is installed ---------------------------------------------------------------------------


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    # None in sys.modules is Python's own mark of a module that cannot be imported.
    return lambda module: monkeypatch.setitem(sys.modules, module, None)


def test_e009_celery_is_on_and_not_there(
    settings: Settings, not_installed: Callable[[str], None]
) -> None:
    not_installed("celery")
    assert found() == {}
    settings.AUTHMAIL_CELERY = True
    expect(
        "E009",
        "AUTHMAIL_CELERY is True and celery is not installed.",
        "Run: pip install 'django-authmail[celery]'. Or set AUTHMAIL_CELERY = False and run "
        "`manage.py authmail_dispatch`, which needs no broker.",
    )


@pytest.mark.parametrize(
    ("scheme", "module", "problem", "extra"),
    [
        (
            "redis",
            "redis",
            "the package redis is not installed.",
            "django-authmail[redis]",
        ),
        ("mongodb", "pymongo", "", "celery[mongodb]"),
        ("xredis", "", "No such transport: xredis.  Did you mean redis?", "celery[xredis]"),
    ],
)
def test_e009_the_library_of_the_broker_is_not_there(
    settings: Settings,
    app: Celery,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    module: str,
    problem: str,
    extra: str,
) -> None:
    # Imported anew without its library, and forgotten again at the end.
    monkeypatch.setitem(sys.modules, f"kombu.transport.{scheme}", None)
    del sys.modules[f"kombu.transport.{scheme}"]
    monkeypatch.setattr("kombu.transport._transport_cache", {})
    if module:
        monkeypatch.setitem(sys.modules, module, None)
    app.conf.update(broker_url=f"{scheme}://user:secret@broker")
    settings.AUTHMAIL_CELERY = True
    message = found()["E009"]
    assert found().keys() == {"E009"}
    assert message.msg.startswith(
        f"The Celery broker is {scheme}://, which cannot be used: {problem}"
    )
    assert "secret" not in message.msg
    assert message.hint is not None
    assert message.hint.startswith(f"Run: pip install '{extra}'. Or set AUTHMAIL_CELERY = False")


def test_e011_celery_is_on_and_there_is_no_broker(settings: Settings, app: Celery) -> None:
    app.conf.update(broker_url=None)
    assert found() == {}
    settings.AUTHMAIL_CELERY = True
    expect(
        "E011",
        "AUTHMAIL_CELERY is True and the project's Celery app has no broker_url: tasks would go to "
        "amqp://guest@localhost, Celery's default.",
        "Set CELERY_BROKER_URL. Or set AUTHMAIL_CELERY = False and run `manage.py "
        "authmail_dispatch`, which needs no broker.",
    )
    app.conf.task_always_eager = True
    assert found() == {}


def test_e011_celery_is_on_and_the_project_has_no_app(tmp_path: Path) -> None:
    run = manage("AUTHMAIL_CELERY = True", "check", folder=tmp_path)
    assert (
        "(authmail.E011) AUTHMAIL_CELERY is True and no Celery app of the project is loaded: tasks "
        "would go to amqp://guest@localhost, Celery's default."
    ) in run.stderr
    assert "HINT: Make one in celery.py and import it in the __init__.py beside it" in run.stderr
    assert run.returncode == 1


def test_w006_nobody_sweeps(settings: Settings, app: Celery) -> None:
    settings.AUTHMAIL_CELERY = True
    assert found() == {}
    app.conf.beat_schedule = {"other": {"task": "authmail.dispatch_message", "schedule": 5.0}}
    expect(
        "W006",
        "No entry of CELERY_BEAT_SCHEDULE names the task 'authmail.sweep': mail that is tried "
        "again, or whose task was lost, is not sent.",
        "Set CELERY_BEAT_SCHEDULE = beat_schedule(), from django_authmail.schedule, and run "
        "`celery beat`; or run `manage.py authmail_dispatch` beside the workers and silence this "
        "check.",
    )
    app.conf.beat_schedule = {"authmail-sweep": {"task": "authmail.sweep", "schedule": 5.0}}
    expect(
        "W006",
        "No entry of CELERY_BEAT_SCHEDULE names the task 'authmail.sweep_webhooks': a webhook that "
        "is tried again, or whose task was lost, is not sent.",
        "Set CELERY_BEAT_SCHEDULE = beat_schedule(), from django_authmail.schedule, and run "
        "`celery beat`; or run `manage.py authmail_dispatch` beside the workers and silence this "
        "check.",
    )
    app.conf.beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
    assert found() == {}


def test_w005_metrics_are_on_and_not_there(
    settings: Settings, not_installed: Callable[[str], None]
) -> None:
    not_installed("prometheus_client")
    assert found() == {}
    settings.AUTHMAIL_METRICS_ENABLED = True
    expect(
        "W005",
        "AUTHMAIL_METRICS_ENABLED is True and prometheus-client is not installed: /metrics answers "
        "404.",
        "Run: pip install 'django-authmail[metrics]'.",
    )


def test_w009_webhooks_are_set_up_and_their_client_is_not_there(
    settings: Settings, not_installed: Callable[[str], None]
) -> None:
    not_installed("httpcore2")
    assert found() == {}
    settings.AUTHMAIL_WEBHOOK_ALLOW_HOSTS = ["127.0.0.1"]
    expect(
        "W009",
        "AUTHMAIL_WEBHOOK_ALLOW_HOSTS is set and httpcore2 is not installed: this process sends no "
        "webhook, and the API refuses requests that want one.",
        "Run: pip install 'django-authmail[webhooks]'. Or remove the setting.",
    )


# -- With --deploy -------------------------------------------------------------------------------


@pytest.fixture
def sqlite_options(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The OPTIONS of the default database, which is given SQLite's name if it is another one."""
    options: dict[str, Any] = {}
    monkeypatch.setitem(connections["default"].settings_dict, "OPTIONS", options)
    monkeypatch.setattr(connections["default"], "vendor", "sqlite")
    return options


@pytest.fixture
def immediate(sqlite_options: dict[str, Any]) -> None:
    sqlite_options["transaction_mode"] = "IMMEDIATE"


@pytest.mark.usefixtures("immediate")
class TestDeployed:
    def test_w102_metrics_for_everybody(self, settings: Settings) -> None:
        settings.AUTHMAIL_METRICS_ENABLED = True
        expect(
            "W102",
            "/metrics answers everybody: volumes and failures are readable without a key.",
            "Set AUTHMAIL_METRICS_REQUIRE_AUTH = True, or keep the path off the internet.",
            deploy=True,
        )
        assert found() == {}
        settings.AUTHMAIL_METRICS_REQUIRE_AUTH = True
        assert found(deploy=True) == {}

    def test_w110_each_process_counts_for_itself(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.AUTHMAIL_METRICS_ENABLED = settings.AUTHMAIL_METRICS_REQUIRE_AUTH = True
        monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
        expect(
            "W110",
            "Each process counts for itself: /metrics shows what the one that answers did, and "
            "nothing that a worker sent.",
            "Before the web server and the workers start, set the environment variable "
            "PROMETHEUS_MULTIPROC_DIR to one folder for all of them.",
            deploy=True,
        )
        assert found() == {}

    @pytest.mark.parametrize("by_option", [True, False])
    def test_w103_the_dialogue_is_logged(
        self, settings: Settings, mailer: Mailer, by_option: bool
    ) -> None:
        where = "AUTHMAIL_SMTP_DEBUG"
        if by_option:
            mailer(debug=True)
            where = 'MAILERS[\'default\']["OPTIONS"]["debug"]'
        else:
            settings.AUTHMAIL_SMTP_DEBUG = True
        expect(
            "W103",
            f"{where} is on: the SMTP dialogue goes to the logs. It has no content, no login and "
            "no whole address, but it fills them.",
            f"Set {where} to False.",
            deploy=True,
        )
        assert found() == {}

    @pytest.mark.parametrize("by_option", [True, False])
    def test_e104_mails_go_to_a_folder(
        self, settings: Settings, mailer: Mailer, tmp_path: Path, by_option: bool
    ) -> None:
        where = "AUTHMAIL_CAPTURE_DIR"
        if by_option:
            mailer(capture_dir=str(tmp_path))
            where = 'MAILERS[\'default\']["OPTIONS"]["capture_dir"]'
        else:
            settings.AUTHMAIL_CAPTURE_DIR = tmp_path
        expect(
            "E104",
            f"{where} is set: mails are written into a folder, and none is sent.",
            f"Remove {where}; it is for tests.",
            deploy=True,
        )
        assert found() == {}

    def test_e105_webhooks_to_this_machine(self, settings: Settings) -> None:
        settings.AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK = True
        expect(
            "E105",
            "AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK is True: whoever has an API key can make this server "
            "send requests to itself and to its private network.",
            "Remove AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK; it is for tests.",
            deploy=True,
        )
        assert found() == {}

    def test_w112_webhooks_by_http(self, settings: Settings) -> None:
        settings.AUTHMAIL_WEBHOOK_ALLOW_HTTP = True
        expect(
            "W112",
            "AUTHMAIL_WEBHOOK_ALLOW_HTTP is True: webhooks may cross the internet readable, and "
            "anybody on the way can answer them.",
            "Remove it, and name receivers of your own network in AUTHMAIL_WEBHOOK_ALLOW_HOSTS.",
            deploy=True,
        )
        assert found() == {}

    def test_w113_webhooks_with_the_signature_that_can_be_replayed(
        self, settings: Settings
    ) -> None:
        settings.AUTHMAIL_WEBHOOK_SIGNATURE_V1 = True
        expect(
            "W113",
            "AUTHMAIL_WEBHOOK_SIGNATURE_V1 is True: webhooks have a signature too that does not "
            "cover the time, so that whoever saw one can send it again.",
            "Set AUTHMAIL_WEBHOOK_SIGNATURE_V1 = False when receivers verify "
            "X-Email-Service-Signature-V2 or webhook-signature: docs/webhooks.md.",
            deploy=True,
        )
        assert found() == {}

    def test_w106_open_docs(self, settings: Settings) -> None:
        settings.AUTHMAIL_API_DOCS = True
        expect(
            "W106",
            "/docs and /openapi.json are open to everybody.",
            "Set AUTHMAIL_API_DOCS = False if the API is reachable from the internet; silence this "
            "check if the docs are meant to be public.",
            deploy=True,
        )
        assert found() == {}

    @pytest.mark.parametrize(
        "urlconf",
        [
            pytest.param("tests.urls_without_api", id="no API"),
            pytest.param("", id="no URLs"),
        ],
    )
    def test_what_the_api_risks_is_no_risk_where_it_is_not_mounted(
        self, settings: Settings, urlconf: str
    ) -> None:
        settings.ROOT_URLCONF = urlconf
        settings.AUTHMAIL_API_DOCS = settings.AUTHMAIL_METRICS_ENABLED = True
        settings.CACHES = {"default": {"BACKEND": f"{CACHES}.locmem.LocMemCache"}}
        assert found(deploy=True) == {}
        for mounted in ("tests.urls_below_a_prefix", "django_authmail.api.urls"):
            settings.ROOT_URLCONF = mounted
            assert found(deploy=True).keys() == {"W102", "W106", "W107"}

    def test_w111_a_proxy_that_nobody_counts(self, settings: Settings) -> None:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
        expect(
            "W111",
            "SECURE_PROXY_SSL_HEADER says that there is a proxy, and AUTHMAIL_TRUSTED_PROXIES that "
            "there is none: all clients have its address, so that keys bound to a network fit "
            "everybody or nobody.",
            "Set AUTHMAIL_TRUSTED_PROXIES to how many proxies add to X-Forwarded-For.",
            deploy=True,
        )
        settings.AUTHMAIL_TRUSTED_PROXIES = 1
        assert found(deploy=True) == {}

    @pytest.mark.parametrize(
        ("backend", "location", "why"),
        [
            ("locmem.LocMemCache", "", "is each process's own"),
            ("dummy.DummyCache", "", "keeps nothing"),
            ("filebased.FileBasedCache", "/nowhere", "does not count in one step"),
            ("db.DatabaseCache", "cache", "does not count in one step"),
        ],
    )
    def test_w107_a_cache_that_does_not_count_for_all(
        self, settings: Settings, backend: str, location: str, why: str
    ) -> None:
        path = f"{CACHES}.{backend}"
        settings.CACHES = {"default": {"BACKEND": path, "LOCATION": location}}
        expect(
            "W107",
            f"The cache 'default' {why}: requests of API keys are counted in the database, one "
            "more write for each, and failed authentications not for all processes together.",
            "Use a cache that processes share: Redis or Memcached.",
            deploy=True,
        )
        assert found() == {}

    def test_w107_a_cache_that_does_not_exist(self, settings: Settings) -> None:
        settings.RATELIMIT_USE_CACHE = "limits"
        assert "The cache 'limits' does not exist" in found(deploy=True)["W107"].msg

    @pytest.mark.parametrize(
        ("backend", "location", "options", "hint"),
        [
            (
                f"{CACHES}.redis.RedisCache",
                ["redis://cache:6379/1?socket_timeout=1", "redis://reader:6379/1"],
                {"socket_connect_timeout": 1},
                "{'socket_connect_timeout': 1, 'socket_timeout': 1}",
            ),
            (
                f"{CACHES}.redis.RedisCache",
                "redis://cache:6379/1?socket_timeout=1,redis://reader:6379/1",
                {},
                "{'socket_connect_timeout': 1, 'socket_timeout': 1}",
            ),
            (
                f"{CACHES}.redis.RedisCache",
                "redis://cache:6379/1;redis://reader:6379/1?socket_timeout=1",
                {},
                "{'socket_connect_timeout': 1, 'socket_timeout': 1}",
            ),
            (
                f"{CACHES}.memcached.PyMemcacheCache",
                "cache:11211",
                {"timeout": 1, "connect_timeout": None},
                "{'connect_timeout': 1, 'timeout': 1, 'dead_timeout': 5}",
            ),
            (
                "tests.test_checks.OwnCache",
                "redis://cache:6379/1",
                {},
                "{'socket_connect_timeout': 1, 'socket_timeout': 1}",
            ),
            (
                "tests.test_checks.DjangoRedisCache",
                # redis-py refuses the connection for that.
                "redis://cache:6379/1?SOCKET_TIMEOUT=1",
                {"socket_timeout": 1},
                "{'SOCKET_CONNECT_TIMEOUT': 1, 'SOCKET_TIMEOUT': 1}",
            ),
            (
                "tests.test_checks.DjangoRedisCache",
                "redis://cache:6379/1",
                {"CONNECTION_POOL_KWARGS": {"max_connections": 50}},
                "{'SOCKET_CONNECT_TIMEOUT': 1, 'SOCKET_TIMEOUT': 1}",
            ),
            (
                "tests.test_checks.DjangoRedisCache",
                "redis://cache:6379/1",
                # What its pool is given wins.
                {"SOCKET_TIMEOUT": 1, "CONNECTION_POOL_KWARGS": {"socket_timeout": None}},
                "{'SOCKET_CONNECT_TIMEOUT': 1, 'SOCKET_TIMEOUT': 1}",
            ),
            (
                f"{CACHES}.redis.RedisCache",
                "redis://cache:6379/1",
                # Of django-redis alone.
                {"CONNECTION_POOL_KWARGS": {"socket_timeout": 1}},
                "{'socket_connect_timeout': 1, 'socket_timeout': 1}",
            ),
        ],
    )
    def test_w114_a_cache_without_a_timeout(
        self,
        settings: Settings,
        backend: str,
        location: str | list[str],
        options: dict[str, Any],
        hint: str,
    ) -> None:
        cache = {"BACKEND": backend, "LOCATION": location, "OPTIONS": options}
        settings.CACHES = {"default": cache}
        expect(
            "W114",
            "The cache 'default' has no timeout: where its server accepts connections and is "
            "silent, requests wait as long as its client library does, for ever with most "
            "versions.",
            f"Add {hint} to CACHES['default'][\"OPTIONS\"].",
            deploy=True,
        )
        assert found() == {}
        settings.CACHES = {"default": cache | {"OPTIONS": ast.literal_eval(hint)}}
        assert found(deploy=True) == {}

    @pytest.mark.parametrize(
        "backend", [f"{CACHES}.redis.RedisCache", "tests.test_checks.DjangoRedisCache"]
    )
    @pytest.mark.parametrize(
        "rest", ["", ",redis://a/1?socket_timeout=1;redis://b?socket_timeout=1"]
    )
    def test_w114_a_timeout_in_each_url_will_do(
        self, settings: Settings, rest: str, backend: str
    ) -> None:
        location = f"redis://cache:6379/1?socket_timeout=0.5{rest}"
        cache = {"BACKEND": backend, "LOCATION": location}
        settings.CACHES = {"default": cache}
        assert found(deploy=True) == {}

    def test_w114_a_timeout_of_the_pool_of_django_redis_will_do(self, settings: Settings) -> None:
        options = {"CONNECTION_POOL_KWARGS": {"socket_timeout": 1, "max_connections": 50}}
        settings.CACHES = {
            "default": {
                "BACKEND": "tests.test_checks.DjangoRedisCache",
                "LOCATION": "redis://cache:6379/1",
                "OPTIONS": options,
            }
        }
        assert found(deploy=True) == {}

    @pytest.mark.parametrize("scheme", ["filesystem", "memory"])
    def test_e108_a_broker_that_loses_tasks(
        self, settings: Settings, app: Celery, scheme: str
    ) -> None:
        app.conf.update(broker_url=f"{scheme}://user:secret@localhost")
        assert found(deploy=True) == {}
        settings.AUTHMAIL_CELERY = True
        expect(
            "E108",
            f"The Celery broker is {scheme}://, which loses tasks when a worker stops, or never "
            "passes them to another process.",
            "Use Redis or RabbitMQ. Or set AUTHMAIL_CELERY = False and run "
            "`manage.py authmail_dispatch`, which needs no broker.",
            deploy=True,
        )
        assert found() == {}
        app.conf.update(broker_url="amqp://user:secret@broker")
        assert found(deploy=True) == {}


@pytest.mark.parametrize("options", [{}, {"transaction_mode": "deferred"}])
def test_w109_sqlite_that_does_not_lock_at_once(
    sqlite_options: dict[str, Any], options: dict[str, Any]
) -> None:
    sqlite_options.update(options)
    expect(
        "W109",
        "The database 'default' is SQLite without transaction_mode IMMEDIATE: two workers that "
        'write at once get "database is locked".',
        'Set DATABASES[\'default\']["OPTIONS"]["transaction_mode"] = "IMMEDIATE".',
        deploy=True,
    )
    assert found() == {}


# -- All of them ---------------------------------------------------------------------------------


def ids_in(path: Path, pattern: str) -> list[str]:
    return re.findall(pattern, path.read_text())


def test_ids_are_unique_listed_and_each_has_a_test() -> None:
    used = [
        number
        for source in sorted(Path(ours.__file__).parent.glob("*.py"))
        for number in ids_in(source, r'new_(?:error|warning)\(\s*"([EW]\d{3})"')
    ]
    assert ours.__doc__ is not None
    listed = re.findall(r"\b[EW]\d{3}\b", ours.__doc__)
    assert sorted(set(used)) == sorted(listed)
    # One mistake found in two places each; no other id is given by two calls.
    assert {number for number, count in Counter(used).items() if count > 1} == {"E002", "E009"}
    tested = ids_in(Path(__file__), r"def test_([ew]\d{3})_")
    assert {number.upper() for number in tested} == set(used)


DOCUMENTED = (Path(__file__).resolve().parent.parent / "docs" / "settings.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    row = re.compile(r"^\| `(AUTHMAIL_\w+)` \| [^|]+ \| ([^|]+) \|", re.MULTILINE)
    rows = dict(row.findall(DOCUMENTED))
    assert rows.keys() == {setting.name for setting in conf.all()}
    for setting in conf.all():
        match setting.default:
            case timedelta():
                seconds = setting.default.total_seconds()
                long = {f"{seconds / 3600:g} h", f"{seconds / 86400:g} d"}
                assert rows[setting.name] in {f"{seconds:g} s", *long}
            case "" | ():
                assert rows[setting.name] in ("none", "from SECRET_KEY", "the system's")
            case ((int(), timedelta()), *_):
                minutes = [(most, window.total_seconds() / 60) for most, window in setting.default]
                assert minutes == [(5, 10), (20, 1440)]
                assert rows[setting.name] == "5 in 10 min, 20 in 1 d"
            case (str(name),):
                assert rows[setting.name] == f'`"{name}"`'
            case str():
                assert rows[setting.name] == f'`"{setting.default}"`'
            case _:
                assert rows[setting.name] == f"`{setting.default}`"


def test_every_option_of_a_mailer_is_documented() -> None:
    _, _, after = DOCUMENTED.partition("## Options of the mail backend")
    section, _, after = after.partition("## Options of OutboxBackend")
    own = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    assert own == backend._OWN_OPTIONS
    queueing, _, _ = after.partition("## Checks")
    assert set(re.findall(r"^\| `(\w+)` \|", queueing, re.MULTILINE)) == backends._OPTIONS
    assert EmailBackend.unknown_options(re.findall(r"`([a-z_]+)`", section.partition("|")[0])) == {}


def test_every_check_is_documented() -> None:
    assert ours.__doc__ is not None
    _, _, section = DOCUMENTED.partition("## Checks")
    assert set(re.findall(r"[EW]\d{3}", section)) == set(re.findall(r"[EW]\d{3}", ours.__doc__))


def registered(*, deploy: bool) -> set[str]:
    every = registry.get_checks(include_deployment_checks=deploy)
    return {str(getattr(check, "__name__", "")) for check in every if ours.TAG in check.tags}


def test_every_check_is_registered() -> None:
    asked = registered(deploy=False)
    deployed = registered(deploy=True)
    written = {name for name in vars(ours) if name.startswith("check_")}
    assert deployed == written
    assert deployed - asked == {"check_deployed_settings", "check_deployed_services"}


@pytest.fixture(scope="module")
def opened() -> Iterator[list[str]]:
    """What is resolved or connected to, in this process, from here on."""
    events: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in ("socket.connect", "socket.getaddrinfo", "sqlite3.connect"):
            events.append(event)

    sys.addaudithook(watch)  # it cannot be removed, only told to be quiet
    yield events
    watching = False


@pytest.mark.parametrize("broker", ["amqp://127.0.0.1:1", "redis://127.0.0.1:1"])
def test_no_check_connects_to_anything(
    opened: list[str], settings: Settings, mailer: Mailer, app: Celery, broker: str
) -> None:
    settings.AUTHMAIL_CELERY = True
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1",
        }
    }
    app.conf.update(broker_url=broker)
    mailer(host="127.0.0.1", port=1)
    opened.clear()
    found(deploy=True)
    assert opened == []


def test_a_project_may_have_its_own_words(mailer: Mailer) -> None:
    mailer(host="")
    words = {HOST: "SMTP_HOST", "Set ": "Write ", f"Set {HOST}": "Name it"}
    [message] = saying(words, check_mailers)()
    assert message.id == "authmail.E004"
    assert message.msg == "SMTP_HOST is empty: there is no server to send by."
    assert message.hint == "Name it."
    assert saying({}, check_mailers) is check_mailers


def manage(project: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a management command of a project with these settings, in a process of its own."""
    (folder / "project.py").write_text(f"from tests.settings import *\n{project}\n")
    root = Path(__file__).resolve().parent.parent
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments, "--settings=project"],
        # On MariaDB, Django's own checks ask the server, which has no database but the test's.
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}", "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )


def test_manage_py_check_prints_them(tmp_path: Path) -> None:
    project = "AUTHMAIL_CELRY = True; AUTHMAIL_CAPTURE_DIR = 'x'"
    run = manage(project, "check", folder=tmp_path)
    assert "(authmail.W001) There is no setting AUTHMAIL_CELRY; it has no effect." in run.stderr
    assert "HINT: Did you mean AUTHMAIL_CELERY?" in run.stderr
    assert run.returncode == 0
    run = manage(project, "check", "--deploy", "--tag", "security", folder=tmp_path)
    assert "(authmail.E104) AUTHMAIL_CAPTURE_DIR is set" in run.stderr
    assert run.returncode == 1


def test_a_project_without_mailers_is_told_its_own_names(tmp_path: Path) -> None:
    project = (
        "globals().pop('MAILERS', None)\n"
        "EMAIL_BACKEND = 'django_authmail.smtp.EmailBackend'\n"
        "EMAIL_HOST, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = '', 'u', 'not-a-real-one'\n"
        "EMAIL_PORT, EMAIL_USE_SSL = 587, False"
    )
    run = manage(project, "check", folder=tmp_path)
    assert "(authmail.E004) EMAIL_HOST is empty" in run.stderr
    assert "(authmail.E006) EMAIL_HOST_PASSWORD would cross the network readable" in run.stderr
    assert "HINT: Set EMAIL_USE_TLS (STARTTLS, port 587) or EMAIL_USE_SSL" in run.stderr
    assert run.returncode == 1


def test_e020_a_notifier_that_is_none(settings: Settings) -> None:
    settings.AUTHMAIL_NOTIFIERS = ["nowhere.Parcel"]
    expect(
        "E020",
        "AUTHMAIL_NOTIFIERS: No module named 'nowhere'.",
        "Name a class, such as 'shop.mails.ParcelNotifier', with a `kind` of its own.",
    )


def test_w020_a_link_path_of_a_kind_that_is_none(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_PATHS = {"magic-links": "/login", "welcome": "/start"}
    expect(
        "W020",
        "AUTHMAIL_LINK_PATHS has a path for 'magic-links', and there is no such kind.",
        "Did you mean 'magic-link'?",
    )


def test_w021_a_token_in_the_path_of_a_kind_that_has_none(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_PATHS = {"magic-link": "/login/{token}", "welcome": "/start/{token}"}
    expect(
        "W021",
        "AUTHMAIL_LINK_PATHS has {token} in the path for 'welcome', and these mails have no token: "
        "they go without a link.",
        "Name a page that needs no token, such as '/start'.",
    )


def test_w007_docs_without_static_files(tmp_path: Path) -> None:
    project = "INSTALLED_APPS = [app for app in INSTALLED_APPS if 'sidecar' not in app]"
    run = manage(project, "check", folder=tmp_path)
    assert (
        "(authmail.W007) AUTHMAIL_API_DOCS is on and drf_spectacular_sidecar is not in "
        "INSTALLED_APPS"
    ) in run.stderr
    assert run.returncode == 0


def test_w008_mailers_that_this_django_does_not_read(tmp_path: Path) -> None:
    project = (
        "globals().pop('EMAIL_BACKEND', None); globals().pop('EMAIL_HOST', None)\n"
        f"MAILERS = {{'default': {{'BACKEND': {OUR_BACKEND!r}, 'OPTIONS': {GOOD!r}}}}}"
    )
    run = manage(project, "check", folder=tmp_path)
    # From 6.1 on, MAILERS is Django's own.
    said = "(authmail.W008) MAILERS is set, and this Django does not read it" in run.stderr
    assert said == (not hasattr(mail, "mailers"))
    assert run.returncode == 0
