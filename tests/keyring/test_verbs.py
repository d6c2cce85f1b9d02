"""How a key takes another's place."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections

from django_authmail import keyring, keys
from django_authmail.clock import db_now
from django_authmail.exceptions import NotRotatable
from django_authmail.keyring import KeyExpired, KeyUnknown, Terms
from django_authmail.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)

TERMS = Terms(
    scopes=("send:otp",),
    networks=("10.0.0.0/8",),
    recipients=("@example.com",),
    rate_per_minute=7,
)
HOUR = timedelta(hours=1)
PARALLEL = 8
WAVES = 5


def test_both_are_valid_until_the_overlap_ends() -> None:
    old, old_key = keyring.issue("shop", TERMS)
    new, new_key = keyring.rotate(old, overlap=HOUR)
    assert keyring.find(old_key) == keyring.find(new_key)
    assert new.name == "shop"
    old.refresh_from_db()
    assert old.expires_at == new.created_at + HOUR
    ApiKey.objects.filter(pk=old.pk).update(expires_at=db_now("default"))
    keyring.forget()
    with pytest.raises(KeyExpired):
        keyring.find(old_key)
    assert keyring.find(new_key).rate_per_minute == 7


def test_without_an_overlap_the_old_one_ends_at_once() -> None:
    old, old_key = keyring.issue("shop", TERMS)
    keyring.find(old_key)
    keyring.rotate(old, overlap=timedelta(0))
    with pytest.raises(KeyUnknown):
        keyring.find(old_key)


def test_a_key_lives_as_long_as_the_one_before_and_that_one_no_longer_than_it_would() -> None:
    now = db_now("default")
    old, _ = keyring.issue("shop", TERMS, expires=now + HOUR / 2)
    life = (now + HOUR / 2) - old.created_at
    new, _ = keyring.rotate(old, overlap=HOUR)
    old.refresh_from_db()
    assert old.expires_at == now + HOUR / 2
    assert new.expires_at == new.created_at + life


def test_a_key_for_tests_is_replaced_by_one() -> None:
    old, _ = keyring.issue("ci", TERMS, is_test=True)
    _, key = keyring.rotate(old, overlap=HOUR)
    assert keys.is_test(key)
    assert keyring.find(key).is_test


def test_only_the_newest_of_a_holder_is_rotated() -> None:
    first, _ = keyring.issue("shop", TERMS)
    second, _ = keyring.rotate(first, overlap=HOUR)
    with pytest.raises(NotRotatable, match=f"was replaced by {second.prefix}…. Rotate that one."):
        keyring.rotate(first, overlap=HOUR)
    third, _ = keyring.rotate(second, overlap=HOUR)
    assert third.holder == first.holder == first.pk


def test_of_those_who_rotate_a_key_at_the_same_time_one_does() -> None:
    newest, _ = keyring.issue("shop", TERMS)
    barrier = threading.Barrier(PARALLEL)

    def rotate(key: ApiKey) -> ApiKey | None:
        try:
            barrier.wait(60)
            return keyring.rotate(key, overlap=HOUR)[0]
        except NotRotatable:
            return None
        finally:
            connections.close_all()

    for wave in range(WAVES):
        with ThreadPoolExecutor(PARALLEL) as pool:
            made = list(pool.map(rotate, [newest] * PARALLEL))
        [newest] = filter(None, made)
        assert ApiKey.objects.count() == wave + 2


@pytest.mark.parametrize(
    ("end", "error"), [("revoked_at", "is revoked"), ("expires_at", "has expired")]
)
def test_a_key_that_has_ended_is_not_rotated(end: str, error: str) -> None:
    row, _ = keyring.issue("shop", TERMS)
    ApiKey.objects.update(**{end: db_now("default")})
    with pytest.raises(NotRotatable, match=error):
        keyring.rotate(row, overlap=HOUR)
    assert ApiKey.objects.count() == 1


def test_what_is_done_is_logged_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    row, first = keyring.issue("shop", TERMS)
    new, second = keyring.rotate(row, overlap=HOUR)
    keyring.revoke(ApiKey.objects.all())
    assert [record.getMessage() for record in caplog.records if "key." in record.getMessage()] == [
        f"key.issued prefix={row.prefix}",
        f"key.rotated prefix={row.prefix} to={new.prefix}",
        f"key.revoked prefix={row.prefix}",
        f"key.revoked prefix={new.prefix}",
    ]
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for key in (first, second):
        assert str(key) not in logged
        assert keys.digest(key) not in logged
