"""When a message that was not taken is tried again. Pure: values in, values out."""

from __future__ import annotations

from datetime import timedelta

from django_authmail.outcomes import Failure, Reason, Retry

# Somebody looks at the screen and waits for a code or link: soon, while it is still of use.
_URGENT = (5, 20, 60, 180)
# Notices and receipts: from a minute to half a day.
_PATIENT = (60, 300, 900, 3600, 4 * 3600, 12 * 3600)

#: A server that greylists wants the same mail again, but not within the minute (RFC 6647 4.3).
GREYLIST_MINIMUM = timedelta(seconds=60)
#: How often a misconfigured carrier is tried: somebody may be mending it.
CARRIER_PAUSE = timedelta(seconds=30)


def next_delay(failure: Failure, *, attempt: int, urgent: bool, jitter: float) -> timedelta:
    """Return how long to wait after the `attempt`-th hand-over (from 1) failed.

    `urgent` messages lose their use within minutes. `jitter` (0 to 1) spreads messages that failed
    together over a fifth of the delay, so that they do not come back together.
    """
    if failure.retry is Retry.CARRIER:
        delay = CARRIER_PAUSE
    else:
        schedule = _URGENT if urgent else _PATIENT
        delay = timedelta(seconds=schedule[min(attempt, len(schedule)) - 1])
        if failure.reason is Reason.GREYLISTED:
            delay = max(delay, GREYLIST_MINIMUM)
        elif failure.reason in (Reason.RATE_LIMITED_BY_SERVER, Reason.QUOTA_EXCEEDED):
            delay *= 2
    return delay * (1 + jitter / 5)
