"""How often one call is tried, and when: never in a way that could send a mail twice."""

from __future__ import annotations

import time
from typing import Any

from django_authmail.client.calls import Call
from django_authmail.client.outcomes import Lost, Outcome, Received

# A worker that restarts is back within a second; a machine that does is not waited for.
_BACKOFF_SECONDS = (0.1, 0.4, 1.6)


class Attempts:
    """The tries of one call, within the seconds that it may take in all."""

    def __init__(self, call: Call[Any], seconds: float) -> None:
        self._call = call
        self._waits = 0
        self.deadline = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        return max(self.deadline - time.monotonic(), 0.001)

    def wait_after(self, outcome: Outcome) -> float | None:
        """Return the seconds to wait before the next try; None where this outcome is the last."""
        wait = self._wait(outcome) if self._call.retries else None
        self._waits += 1
        # To wait longer than the caller has would only make the same answer late.
        return wait if wait is not None and wait < self.remaining else None

    def _wait(self, outcome: Outcome) -> float | None:
        backoff = _BACKOFF_SECONDS[min(self._waits, len(_BACKOFF_SECONDS) - 1)]
        if isinstance(outcome, Lost):
            if outcome.may_be_taken and not self._call.is_repeatable:
                return None
            return backoff if self._waits < len(_BACKOFF_SECONDS) else None
        if outcome.retry_after is None or not self._nothing_happened(outcome):
            return None
        # Of `Retry-After: 0`, too, no more than a few requests come.
        return max(outcome.retry_after, backoff)

    def _nothing_happened(self, answer: Received) -> bool:
        """Tell whether the same request again is what the service asks for."""
        problem = answer.problem
        if answer.status == 409:
            return problem is not None and problem["code"] == "idempotency_in_progress"
        if answer.status not in (429, 503):
            return False
        # What is no problem of this API comes from something in between, which may have handed the
        # request on; and a database may have gone away after the request was in it.
        is_sure = problem is not None and problem["code"] != "database_unavailable"
        return is_sure or self._call.is_repeatable
