"""The one sealed value in which a row keeps its mail."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from django_authmail.exceptions import SealBroken
from django_authmail.message import Envelope
from django_authmail.notifiers import registry
from django_authmail.outbox import body
from tests.kinds import SHIPPED

ENVELOPE = Envelope(sender="no-reply@example.com", recipients=("a@example.com", "b@example.com"))


@given(content=st.binary() | st.builds(lambda n: b"a" * n, st.integers(99_000, 101_000)))
# What a deflated value begins with, and what cannot be made smaller.
@example(content=b"\x78\x01")
@example(content=os.urandom(200_000))
def test_comes_out_as_it_went_in(content: bytes) -> None:
    row = uuid.uuid4()
    assert body.unpack(row, body.pack(row, ENVELOPE, content)) == (ENVELOPE, content)


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("locale", ["en", "ko"])
def test_takes_less_room_than_the_mail(kind: str, locale: str) -> None:
    notifier = registry.get(kind).for_samples()
    values = next(iter(notifier.samples(locale).values()))
    message = notifier.build("a@example.com", **values, locale=locale)
    sealed = body.pack(uuid.uuid4(), message.envelope, message.as_bytes())
    assert len(sealed) < len(message.as_bytes()) * 0.6


def test_belongs_to_one_row() -> None:
    sealed = body.pack(uuid.uuid4(), ENVELOPE, b"content")
    with pytest.raises(SealBroken, match="another row"):
        body.unpack(uuid.uuid4(), sealed)
