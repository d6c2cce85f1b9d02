"""How long a delivery waits after an attempt that failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

#: How long a receiver may ask to be left alone.
MOST_RETRY_AFTER = timedelta(hours=12)


def next_delay(
    backoff: Sequence[float], *, attempt: int, retry_after: float | None, jitter: float
) -> timedelta | None:
    """Return how long to wait after the `attempt`-th of a round (from 1) failed; None: no more.

    `retry_after`, in seconds, is the receiver's own wish. `jitter` (0 to 1) spreads what failed
    together over a fifth of the delay.
    """
    if attempt > len(backoff):
        return None
    delay = timedelta(seconds=backoff[attempt - 1])
    if retry_after is not None:
        # Compared as numbers: a receiver may ask for more than a timedelta can hold.
        wish = min(retry_after, MOST_RETRY_AFTER.total_seconds())
        delay = max(delay, timedelta(seconds=wish))
    return delay * (1 + jitter / 5)
