from __future__ import annotations

from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.locmem import EmailBackend as LocmemBackend
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend

from django_authmail import mailers
from django_authmail.exceptions import MailerUnusable
from django_authmail.smtp import EmailBackend
from tests.conftest import OUR_BACKEND, UseMailer

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"


@pytest.fixture
def several(settings: Any) -> None:
    """A project with MAILERS; on Django before 6.1 this package alone reads it."""
    if hasattr(mail, "outbox"):
        del mail.outbox
    settings.MAILERS = {
        "default": {"BACKEND": OUR_BACKEND, "OPTIONS": {"host": "127.0.0.1"}},
        "primary": {
            "BACKEND": OUR_BACKEND,
            "OPTIONS": {"host": "mail.example.com", "use_tls": True, "port": 587},
        },
        "gmail": {
            "BACKEND": OUR_BACKEND,
            "OPTIONS": {"preset": "gmail", "username": "a@gmail.com", "password": "app"},
        },
        "django": {"OPTIONS": {"host": "127.0.0.1"}},
        "queue": {"BACKEND": mailers.OUTBOX},
        "api": {"BACKEND": "tests.test_mailers.FieldBased"},
        "gone": {"BACKEND": "nowhere.EmailBackend"},
    }


class FieldBased(BaseEmailBackend):
    """A backend that reads a message's fields, as those of HTTP APIs do."""


def test_each_mailer_has_its_own_options(several: None) -> None:
    primary = mailers.get_mailer("primary")
    assert isinstance(primary, EmailBackend)
    assert (primary.config.host, primary.config.port, primary.config.use_tls) == (
        "mail.example.com",
        587,
        True,
    )
    assert isinstance(mailers.get_mailer("django"), DjangoEmailBackend)
    assert not isinstance(mailers.get_mailer("django"), EmailBackend)


def test_a_preset_fills_in_what_is_left_out(several: None, settings: Any) -> None:
    gmail = mailers.get_mailer("gmail")
    assert isinstance(gmail, EmailBackend)
    assert (gmail.config.host, gmail.config.port) == ("smtp.gmail.com", 465)
    assert gmail.config.use_ssl
    settings.MAILERS = {
        "default": {
            "BACKEND": OUR_BACKEND,
            "OPTIONS": {
                "preset": "sendgrid",
                "password": "key",
                "host": "127.0.0.1",
                "headers": (("X-SMTPAPI", "{}"),),
            },
        }
    }
    given = mailers.get_mailer()
    assert isinstance(given, EmailBackend)
    # What is given wins, and the user that every account shares is known.
    assert (given.config.host, given.config.user) == ("127.0.0.1", "apikey")
    assert given.config.headers == (("X-SMTPAPI", "{}"),)


def test_an_unknown_preset_names_the_nearest(several: None, settings: Any) -> None:
    settings.MAILERS = {"default": {"BACKEND": OUR_BACKEND, "OPTIONS": {"preset": "gmial"}}}
    with pytest.raises(MailerUnusable, match="gmail"):
        mailers.get_mailer()


def test_an_unknown_name_says_which_there_are(several: None) -> None:
    with pytest.raises(MailerUnusable, match="There is no mailer 'primry'.*did you mean 'primary'"):
        mailers.get_mailer("primry")
    with pytest.raises(MailerUnusable, match="There is no mailer"):
        mailers.options("zzz")


@pytest.mark.parametrize(
    ("using", "problem"),
    [
        ("primary", None),
        ("django", None),
        ("queue", "queues mail"),
        ("api", "does not send a message's own bytes"),
        ("gone", "cannot be imported"),
        ("none", "There is no mailer"),
    ],
)
def test_says_what_cannot_carry(several: None, using: str, problem: str | None) -> None:
    said = mailers.carrier_problem(using)
    assert (said is None) if problem is None else (said is not None and problem in said)
    if problem:
        with pytest.raises(MailerUnusable):
            mailers.carrier(using)


def test_the_carrier_of_a_project_is_the_one_that_the_setting_names(
    several: None, settings: Any
) -> None:
    settings.AUTHMAIL_DELIVER_USING = "primary"
    carrier = mailers.carrier()
    assert isinstance(carrier, EmailBackend)
    assert carrier.config.host == "mail.example.com"


@pytest.mark.parametrize("using", ["default", "primary", "gmail"])
def test_in_a_test_suite_every_door_leads_to_its_outbox(settings: Any, using: str) -> None:
    # As Django's own test runner leaves it: on 6.1 it replaces MAILERS, before it knows of none.
    assert hasattr(mail, "outbox")
    names = ("default", "primary", "gmail")
    if hasattr(mail, "mailers"):
        settings.MAILERS = {name: {"BACKEND": LOCMEM} for name in names}
    else:
        settings.MAILERS = {
            name: {"BACKEND": OUR_BACKEND, "OPTIONS": {"host": "mail.example.com"}}
            for name in names
        }
    assert isinstance(mailers.get_mailer(using), LocmemBackend)
    assert isinstance(mailers.carrier(using), LocmemBackend)


def test_where_there_is_one_account_it_is_called_default(use_mailer: UseMailer) -> None:
    if hasattr(mail, "mailers"):
        use_mailer({"host": "127.0.0.1"})
        assert mailers.names() == ["default"]
        return
    assert mailers.names() == ["default"]
    with pytest.raises(MailerUnusable, match="the project has no MAILERS setting"):
        mailers.get_mailer("primary")


def test_options_do_not_show_the_password(several: None) -> None:
    assert "app" not in repr(mailers.options("gmail"))


def test_looking_at_a_mailer_in_memory_diverts_no_other(several: None, settings: Any) -> None:
    settings.MAILERS["dev"] = {"BACKEND": LOCMEM}
    if not hasattr(mail, "mailers"):
        settings.EMAIL_BACKEND = OUR_BACKEND
    mailers.get_mailer("dev")
    assert hasattr(mail, "outbox")  # Django's backend makes one
    assert isinstance(mailers.get_mailer("primary"), EmailBackend)
