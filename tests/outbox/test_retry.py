from __future__ import annotations

from datetime import timedelta

import pytest

from django_authmail.outbox.retry import next_delay
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry


def failure(reason: Reason = Reason.TRANSIENT, retry: Retry = Retry.LATER) -> Failure:
    return Failure(error_code=ErrorCode.SMTP_TRANSIENT, reason=reason, retry=retry)


@pytest.mark.parametrize(
    ("urgent", "seconds"),
    [
        (True, [5, 20, 60, 180, 900, 3600, 14400, 43200, 43200]),
        (False, [60, 300, 900, 3600, 14400, 43200, 43200]),
    ],
)
def test_waits_longer_each_time(urgent: bool, seconds: list[int]) -> None:
    waits = [
        next_delay(failure(), attempt=number, urgent=urgent, jitter=0).total_seconds()
        for number in range(1, len(seconds) + 1)
    ]
    assert waits == seconds


@pytest.mark.parametrize(
    ("reason", "retry", "seconds"),
    [
        (Reason.GREYLISTED, Retry.LATER, 60),
        (Reason.RATE_LIMITED_BY_SERVER, Retry.LATER, 30),
        (Reason.QUOTA_EXCEEDED, Retry.LATER, 900),
        (Reason.AUTH_FAILED, Retry.CARRIER, 30),
        (Reason.CERTIFICATE_INVALID, Retry.CARRIER, 30),
    ],
)
def test_the_reason_sets_the_pace(reason: Reason, retry: Retry, seconds: int) -> None:
    delay = next_delay(failure(reason, retry), attempt=1, urgent=True, jitter=0)
    assert delay == timedelta(seconds=seconds)


def test_a_code_is_tried_to_the_end_of_its_life() -> None:
    waits = [
        next_delay(
            failure(), attempt=5, urgent=True, jitter=0, remaining=timedelta(seconds=left)
        ).total_seconds()
        for left in (901, 899, 30)
    ]
    assert waits == [900, 180, 180]


def test_jitter_spreads_over_a_fifth() -> None:
    delays = [next_delay(failure(), attempt=1, urgent=True, jitter=j / 10) for j in range(11)]
    assert delays[0] == timedelta(seconds=5)
    assert delays[-1] == timedelta(seconds=6)
    assert delays == sorted(set(delays))
