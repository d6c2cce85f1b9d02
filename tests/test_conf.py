"""What was read of the settings is forgotten with the settings that it came from."""

from __future__ import annotations

from django.test import override_settings
from pytest_django.fixtures import Settings

from django_authmail.conf import conf


def test_what_is_overridden_counts_at_once_and_only_then() -> None:
    before = conf.max_attempts
    with override_settings(AUTHMAIL_MAX_ATTEMPTS=before + 1):
        assert conf.max_attempts == before + 1
        with override_settings(AUTHMAIL_MAX_ATTEMPTS=before + 2):
            assert conf.max_attempts == before + 2
        assert conf.max_attempts == before + 1
    assert conf.max_attempts == before


def test_what_is_deleted_has_its_default(settings: Settings) -> None:
    settings.AUTHMAIL_MAX_ATTEMPTS = 3
    assert conf.max_attempts == 3
    del settings.AUTHMAIL_MAX_ATTEMPTS
    assert conf.max_attempts == type(conf).max_attempts.default


def test_a_list_is_read_as_a_tuple_each_time(settings: Settings) -> None:
    settings.AUTHMAIL_OVERRIDE_RECIPIENTS = ["a@example.org"]
    assert conf.override_recipients == conf.override_recipients == ("a@example.org",)
