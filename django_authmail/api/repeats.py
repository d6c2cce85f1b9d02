"""What a request with an Idempotency-Key is answered: by being done, or as one before it was."""

from __future__ import annotations

import time
from collections.abc import Callable

from django_authmail.api import outputs
from django_authmail.api.problems import Problem
from django_authmail.exceptions import IdempotencyKeyReused, Outrun
from django_authmail.models import Message
from django_authmail.outbox import idempotency
from django_authmail.outbox.idempotency import Answer, Entry, KeyedRequest, Standing

# A hand-over takes some tens of milliseconds; later it hardly matters when its end is noticed.
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.2
#: Seconds that a caller is told to wait at most: it may ask earlier than a worker is done.
_MAX_RETRY_AFTER = 60


def answer_once(
    request: KeyedRequest,
    run: Callable[[Entry], Answer],
    replay: Callable[[Message, Answer | None], Answer],
    *,
    until: float,
) -> Answer:
    """Return what `run` answers; or `replay`, if the request was done before.

    One with the same key that is running is waited for until `until`, a time of
    `time.monotonic()`, in no transaction and with no lock. `replay` is given the message, and the
    answer if it was stored.

    Raises:
        Problem: idempotency_in_progress, idempotency_key_reused, or what `run` raises.
        Outrun: the database refuses the record of the request, and there is no other.
    """
    # Who waited for another is answered as that one was: of fifty that come at once while the mail
    # server refuses, one asks it, instead of each after the other.
    has_waited = was_refused = False
    while True:
        standing = _find(request)
        if standing.is_running:
            standing, has_waited = _end_of(standing, until), True
        message, answer = standing.message, standing.answer
        if message is not None and (has_waited or not _may_run_again(message, answer)):
            return replay(message, answer)
        entry = Entry(standing=standing)
        try:
            return run(entry)
        except Outrun:
            # The one that was faster may be erased by now. Not twice: something else is wrong then.
            if was_refused and not standing.has_changed():
                raise
            was_refused = True
        except Problem:
            # It may be refused because of what the one that was faster has used up or found out.
            if entry.row is not None or not standing.has_changed():
                raise
        has_waited = True


def _find(request: KeyedRequest) -> Standing:
    try:
        return idempotency.find(request)
    except IdempotencyKeyReused:
        raise Problem("idempotency_key_reused") from None


def _end_of(standing: Standing, until: float) -> Standing:
    """Return how the request stands when the one that is running has ended."""
    pause = _FIRST_PAUSE
    while standing.is_running:
        left = until - time.monotonic()
        if left <= 0:
            retry_after = min(standing.seconds_left, _MAX_RETRY_AFTER)
            raise Problem("idempotency_in_progress", retry_after=retry_after)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        standing = _find(standing.request)
    return standing


def _may_run_again(message: Message, answer: Answer | None) -> bool:
    """Tell whether the request failed in a way that surely left nothing at the mail server."""
    # One that was queued was answered when it was: its caller asks for the outcome.
    was_told = answer is None or answer.status == 502
    return was_told and outputs.is_retryable(message)
