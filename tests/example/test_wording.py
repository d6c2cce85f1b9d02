"""Hints name what an operator of the example project can write."""

from __future__ import annotations

import re

import pytest
from django.utils import translation
from pytest_django.fixtures import Settings

from django_authmail import hints, wording
from django_authmail.api.codes import KINDS
from django_authmail.checks.kinds import check_kinds
from django_authmail.outcomes import Reason
from example_project.names import NAMES
from example_project.wording import ServiceMailConfig


@pytest.mark.parametrize("language", ["en", "ko"])
def test_hints_name_no_setting_that_the_environment_has(language: str) -> None:
    with translation.override(language):
        texts = [str(kind.hint) for kind in KINDS.values()]
        texts += [str(hints.hint(reason)) for reason in Reason]
    said = wording.replace(ServiceMailConfig.words, "\n".join(texts))
    # Nobody needs it before a key is changed: the environment has no name for it.
    assert set(re.findall("AUTHMAIL_[A-Z0-9_]+", said)) == {"AUTHMAIL_SEALING_KEYS"}
    assert {"MAGIC_LINK_BASE_URL", "SMTP_CA_FILE"} <= set(re.findall("[A-Z0-9_]+", said)) & {*NAMES}


def test_the_check_of_a_path_names_its_variable(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_PATHS = {"welcome": "/start/{token}"}
    [found] = check_kinds()
    said = wording.replace(ServiceMailConfig.words, found.msg)
    assert said.startswith("WELCOME_PATH has {token}, and these mails have no token")
