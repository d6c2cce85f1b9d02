from __future__ import annotations

import pytest
from django.test import RequestFactory

from django_authmail.api import headers


@pytest.mark.parametrize(
    ("prefer", "wanted"),
    [
        ("respond-async", True),
        ("Respond-Async", True),
        ("wait=10, respond-async", True),
        ("respond-async; x=1,wait=10", True),
        (',foo="a, b" ,respond-async', True),
        ("", False),
        ("wait=10", False),
        ("respond-asynchronously", False),
        ('foo="a, respond-async, b"', False),
        (r'foo="a\", respond-async, b"', False),
        ('foo="a, respond-async', False),
    ],
)
def test_respond_async(prefer: str, wanted: bool) -> None:
    """RFC 7240, 2: a list, whose commas in quotes are none."""
    request = RequestFactory(headers={"Prefer": prefer}).post("/")
    assert headers.respond_async(request) is wanted


@pytest.mark.parametrize(
    ("prefer", "is_strict"),
    [
        ("handling=strict", True),
        ('respond-async, Handling="strict"', True),
        ("handling=lenient, handling=strict", False),  # the first one counts
        ("strict", False),
        ("", False),
    ],
)
def test_is_strict(prefer: str, is_strict: bool) -> None:
    request = RequestFactory(headers={"Prefer": prefer}).post("/")
    assert headers.is_strict(request) is is_strict
