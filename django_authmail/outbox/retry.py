"""When a message that was not taken is tried again. Pure: values in, values out."""

from __future__ import annotations

from datetime import timedelta

from django_authmail.outcomes import Failure, Reason, Retry

# Somebody looks at the screen and waits for a code or link. Of one that is still of use after
# that, nobody waits any more.
_URGENT = (5, 20, 60, 180, 900, 3600, 4 * 3600, 12 * 3600)
# Notices and receipts: from a minute to half a day.
_PATIENT = (60, 300, 900, 3600, 4 * 3600, 12 * 3600)
# A wait that would outlast the use of the message is cut to this, so that it is tried to its end.
_LAST_RESORT = timedelta(seconds=180)

#: A server that greylists wants the same mail again, but not within the minute (RFC 6647 4.3).
GREYLIST_MINIMUM = timedelta(seconds=60)
#: Providers count by the minute at least; to come back sooner makes it worse.
RATE_LIMIT_MINIMUM = timedelta(seconds=30)
#: A provider's quota opens again within a day, at a moment that it does not tell.
QUOTA_MINIMUM = timedelta(minutes=15)
#: How often a misconfigured carrier is tried: somebody may be mending it.
CARRIER_PAUSE = timedelta(seconds=30)


def next_delay(
    failure: Failure,
    *,
    attempt: int,
    urgent: bool,
    jitter: float,
    remaining: timedelta | None = None,
) -> timedelta:
    """Return how long to wait after the `attempt`-th hand-over (from 1) failed.

    `urgent`: somebody waits for it. `remaining` is how long the message will be of use; None:
    always. `jitter` (0 to 1) spreads messages that failed together over a fifth of the delay, so
    that they do not come back together.
    """
    if failure.retry is Retry.CARRIER:
        delay = CARRIER_PAUSE
    else:
        schedule = _URGENT if urgent else _PATIENT
        delay = timedelta(seconds=schedule[min(attempt, len(schedule)) - 1])
        if remaining is not None and delay > remaining:
            delay = min(delay, _LAST_RESORT)
        delay = max(delay, _at_least(failure.reason, delay))
    return delay * (1 + jitter / 5)


def _at_least(reason: Reason, delay: timedelta) -> timedelta:
    match reason:
        case Reason.GREYLISTED:
            return GREYLIST_MINIMUM
        case Reason.RATE_LIMITED_BY_SERVER:
            return max(delay * 2, RATE_LIMIT_MINIMUM)
        case Reason.QUOTA_EXCEEDED:
            return QUOTA_MINIMUM
        case _:
            return delay
