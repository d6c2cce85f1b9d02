from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from django_authmail.models import Message, State
from django_authmail.outbox.meanings import meaning

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


def row(state: State, due: timedelta | None = None, **values: bool) -> Message:
    return Message(state=state, due_at=None if due is None else NOW - due, **values)


@pytest.mark.parametrize("state", State, ids=str)
def test_every_state_has_a_meaning(state: State) -> None:
    assert meaning(row(state), NOW)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        pytest.param(State.QUEUED, timedelta(seconds=16), id="no worker took it"),
        pytest.param(State.SENDING, timedelta(hours=2), id="its worker died, and none follows"),
    ],
)
def test_what_is_overdue_has_no_worker(state: State, due: timedelta) -> None:
    assert meaning(row(state, due), NOW) == (
        f"It has been due for {due.total_seconds():.0f} s and no worker took it: run "
        "`manage.py authmail_dispatch`, or a Celery worker and beat."
    )
    with translation.override("ko"):
        assert f"{due.total_seconds():.0f}초" in meaning(row(state, due), NOW)


@pytest.mark.parametrize(
    ("state", "due"),
    [
        pytest.param(State.QUEUED, timedelta(seconds=14), id="a worker may be about to take it"),
        pytest.param(State.QUEUED, timedelta(minutes=-5), id="it waits for its next attempt"),
        pytest.param(State.SENDING, timedelta(seconds=-30), id="a worker has it"),
        pytest.param(State.HELD, timedelta(hours=1), id="a person is to decide"),
    ],
)
def test_what_is_not_overdue_means_what_its_state_does(state: State, due: timedelta) -> None:
    assert meaning(row(state, due), NOW) == meaning(row(state), NOW)


def test_one_of_a_test_key_reached_nobody() -> None:
    assert "nobody gets it" in meaning(row(State.ACCEPTED, is_test=True), NOW)
