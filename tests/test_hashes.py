"""Hashes of addresses: what they find, and with which keys."""

from __future__ import annotations

from pytest_django.fixtures import Settings

from django_authmail.hashes import address_hash, address_hashes

ADDRESS = "hong@example.com"
OLD, NEW, NEWEST = ("o" * 32, "n" * 32, "x" * 32)


def test_a_search_knows_the_hashes_of_all_keys(settings: Settings) -> None:
    made = []
    for key in (OLD, NEW, NEWEST):
        settings.AUTHMAIL_HASH_KEYS = [key]
        made.append(address_hash(ADDRESS))
    settings.AUTHMAIL_HASH_KEYS = [NEWEST, NEW, OLD]
    assert address_hashes(ADDRESS) == made[::-1]
    assert address_hash(ADDRESS) == made[-1]
    assert len(set(made)) == 3


def test_without_keys_of_their_own_they_follow_the_secret_key(settings: Settings) -> None:
    settings.SECRET_KEY = OLD
    before = address_hash(ADDRESS)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    assert address_hashes(ADDRESS) == [address_hash(ADDRESS), before]
