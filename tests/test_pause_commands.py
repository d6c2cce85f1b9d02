from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from django_authmail.outbox import carriers

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_pauses_every_mailer_and_resumes() -> None:
    assert run("authmail_pause") == ("Paused: every mailer. Resume by: manage.py authmail_resume\n")
    assert carriers.is_paused("default")
    assert run("authmail_pause").startswith("Already paused: every mailer.")
    assert run("authmail_resume") == "Resumed: every mailer.\n"
    assert run("authmail_resume") == "Not paused: every mailer.\n"
    assert not carriers.is_paused("default")


def test_pauses_one_mailer() -> None:
    assert run("authmail_pause", "default") == (
        "Paused: default. Resume by: manage.py authmail_resume default\n"
    )
    run("authmail_pause")
    assert "Every mailer is paused as well" in run("authmail_resume", "default")


def test_a_resume_of_every_mailer_names_those_that_stay_paused() -> None:
    run("authmail_pause", "default")
    still = "Still paused: default. Resume by: manage.py authmail_resume default\n"
    assert run("authmail_resume") == f"Not paused: every mailer.\n{still}"
    run("authmail_pause")
    assert run("authmail_resume") == f"Resumed: every mailer.\n{still}"


def test_refuses_a_mailer_that_does_not_exist() -> None:
    with pytest.raises(CommandError, match="there is no mailer 'fault'; did you mean 'default'"):
        run("authmail_pause", "fault")
    with pytest.raises(CommandError, match="there is no mailer 'xyz'; there is 'default'"):
        run("authmail_resume", "xyz")
