"""How people write down where a key may be used from, and whom it may send to."""

from __future__ import annotations

import pytest

from django_authmail import keyring


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 203.0.113.7 ", "203.0.113.7/32"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::7", "2001:db8::7/128"),
    ],
)
def test_a_network_is_kept_in_its_usual_form(given: str, kept: str) -> None:
    assert keyring.network(given) == kept


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("10.0.0.5/8", "'10.0.0.5/8' is an address within a network. Write 10.0.0.0/8, or the"),
        ("10.0.0.0/33", "'10.0.0.0/33' is no network. Write one as 10.0.0.0/8, or an address."),
        ("example.com", "'example.com' is no network."),
        ("", "'' is no network."),
    ],
)
def test_refuses_what_is_no_network(given: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        keyring.network(given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Hong@Example.com", "hong@example.com"),
        ("example.com", "@example.com"),
        ("@Example.com", "@example.com"),
        ("hong+1@example.com", "hong+1@example.com"),
        ("메일.한국", "@xn--h32bq4v.xn--3e0b707e"),
    ],
)
def test_a_recipient_is_an_address_or_a_domain(given: str, kept: str) -> None:
    assert keyring.recipient(given) == kept


@pytest.mark.parametrize("given", ["", "@", "hong@", "a b", "a@b@c", "a\r\nb@example.com", "*"])
def test_refuses_what_is_neither(given: str) -> None:
    with pytest.raises(ValueError, match="is neither an address nor a domain"):
        keyring.recipient(given)
