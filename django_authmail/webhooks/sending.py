"""Threads that post webhooks, each one at a time; a slow receiver keeps none from another.

Many receivers that hang, as names that lead to a tarpit do, would take up all the threads for as
long as an attempt may take. So what has been under way for a moment does not count any more: others
are sent beside it, up to a number of threads at which a process is better left alone. What was
tried before has half of all that at most: those that keep failing leave room for first attempts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from queue import SimpleQueue

from django.core.exceptions import ImproperlyConfigured

from django_authmail import tracing
from django_authmail.busy import working
from django_authmail.conf import conf
from django_authmail.logs import describe, log_line
from django_authmail.webhooks import posting, signing
from django_authmail.webhooks.deliveries import Claim
from django_authmail.webhooks.posting import Posted
from django_authmail.webhooks.settlement import End

logger = logging.getLogger(__name__)

#: Seconds after which a delivery counts as slow. Receivers that are well answer within it.
SLOW_AFTER = 1.0
#: Deliveries under way at a time, the slow ones among them, as a multiple of the width. A thread
#: that waits for a receiver costs some 100 kB.
MOST = 8
#: Seconds in which a process that got no more threads does with those that it has.
FEW_FOR = 60.0


class Senders:
    """Posts what it is given, in threads of its own, and gives back what became of it."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._in_hand: dict[tuple[object, object], Claim] = {}
        self._claims: SimpleQueue[Claim | None] = SimpleQueue()
        # None: there was no attempt, and others may have it.
        self._back: SimpleQueue[tuple[Claim, End | None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        # Those of them that were not told to end.
        self._staying = 0
        # Where the system gave no more: how many it gave, and until when that is taken for all.
        self._most, self._few_until = width * MOST, 0.0

    @property
    def under_way(self) -> int:
        """How many were sent and did not come back."""
        return len(self._in_hand)

    @property
    def free(self) -> int:
        """How many more may be sent now."""
        return _room(self._in_hand.values(), width=self._width, most=self._most_now)

    @property
    def room_for_retries(self) -> int:
        """How many of them may have been tried before."""
        tried = [claim for claim in self._in_hand.values() if claim.attempt > 1]
        # Rounded up: a courier with one thread tries again too.
        return _room(tried, width=(self._width + 1) // 2, most=(self._most_now + 1) // 2)

    @property
    def _most_now(self) -> int:
        return self._most if time.monotonic() < self._few_until else self._width * MOST

    def send(self, claims: Sequence[Claim]) -> None:
        """Post these side by side with the others; those without a thread come back untried."""
        for claim in claims:
            self._in_hand[claim.id, claim.lease] = claim
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        missing = self._hire(len(self._in_hand))
        for claim in claims[: len(claims) - missing]:
            self._claims.put(claim)
        # Were they to wait here, their leases might end.
        for claim in claims[len(claims) - missing :]:
            self._back.put((claim, None))

    def back(self, seconds: float) -> tuple[Claim, End | None]:
        """Return one that has come back, and how it ended; None: it was not tried.

        Raises:
            queue.Empty: none did within `seconds`.
        """
        claim, end = self._back.get(timeout=seconds)
        del self._in_hand[claim.id, claim.lease]
        # A crowd of slow ones is over: what it took is not kept for ever.
        if self._staying > max(self._width, len(self._in_hand)):
            self._dismiss()
        return claim, end

    def end(self) -> None:
        """Wait for what is under way, and end the threads."""
        while self._staying:
            self._dismiss()
        for thread in self._threads:
            thread.join()
        self._threads = []

    def _hire(self, number: int) -> int:
        """Have so many threads, and return how many of them the system does not give."""
        while self._staying < number:
            thread = threading.Thread(target=self._work, name="authmail-sender", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # None at all: nothing is claimed that could only be given back.
                self._most = self._staying
                self._few_until = time.monotonic() + FEW_FOR
                log_line(logger, logging.WARNING, "webhook.few_threads", threads=self._staying)
                return number - self._staying
            self._threads.append(thread)
            self._staying += 1
        return 0

    def _dismiss(self) -> None:
        self._claims.put(None)
        self._staying -= 1

    @working()
    def _work(self) -> None:
        while (claim := self._claims.get()) is not None:
            self._back.put((claim, _sent(claim)))


def _room(claims: Collection[Claim], *, width: int, most: int) -> int:
    """Return how many may be sent beside `claims`: up to `width` quick ones, and `most` in all."""
    quick = sum(claim.seconds_held < SLOW_AFTER for claim in claims)
    return max(min(width - quick, most - len(claims)), 0)


def _sent(claim: Claim) -> End | None:
    try:
        posted = _post(claim)
    except ImproperlyConfigured as error:
        # Here, and it may be mended: no attempt is counted, and it is tried again in a while.
        log_line(logger, logging.ERROR, "webhook.error", **claim.names, error=describe(error))
        return None
    except Exception as error:
        # Nothing that a receiver does is known to come here.
        log_line(logger, logging.ERROR, "webhook.error", **claim.names, error=describe(error))
        posted = Posted(
            status=None, reason="error", retry_after=None, duration_seconds=claim.seconds_held
        )
    return End(claim=claim, posted=posted)


def _post(claim: Claim) -> Posted:
    # The database's clock, as everywhere: receivers refuse what is signed for another time.
    timestamp = int(claim.claimed_at.timestamp() + claim.seconds_held)
    headers = signing.headers(
        id=claim.webhook_id,
        timestamp=timestamp,
        body=claim.body,
        secrets=claim.secrets,
        s0=claim.endpoint is None,
        v1=conf.webhook_signature_v1,
    )
    origin = tracing.Origin(claim.request_id, claim.traceparent)
    with tracing.doing(origin), tracing.span("authmail.webhook", origin, **_facts(claim)):
        # The receiver's own span is below this one.
        about = {"X-Request-ID": claim.request_id, "traceparent": tracing.traceparent()}
        headers |= {name: value for name, value in about.items() if value}
        seconds = conf.webhook_timeout.total_seconds()
        return posting.post(claim.url, claim.body, headers, seconds=seconds)


def _facts(claim: Claim) -> dict[str, str]:
    facts = {
        "authmail.webhook_id": claim.webhook_id,
        "authmail.type": claim.type,
        # Not the URL: its path may have a token in it.
        "authmail.host": claim.host,
        "authmail.attempt": str(claim.attempt),
    }
    return facts if claim.message is None else {"authmail.id": str(claim.message), **facts}
