"""Hints name what an operator of the example project can write."""

from __future__ import annotations

import re

import pytest
from django.utils import translation

from django_authmail import hints, wording
from django_authmail.api.codes import KINDS
from django_authmail.outcomes import Reason
from example_project.environment import NAMES
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
