"""Send what is due over several connections at once, for as long as there is work or a will.

Threads hand mails over, each one at a time. The caller's thread does what concerns the database,
for all of them together: it settles what has come back and claims as many as there are threads
free. So no mail is claimed before it can be sent, one that hangs holds up no other, and a process
that is killed leaves no more in doubt than it has connections.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from queue import Empty, SimpleQueue

from django.db import Error, close_old_connections, connections

from django_authmail import dispatch
from django_authmail.busy import working
from django_authmail.exceptions import LeaseLost
from django_authmail.logs import describe, named
from django_authmail.models import Priority
from django_authmail.outbox import queue
from django_authmail.outbox.lease import Claim
from django_authmail.transactions import PATIENCE

logger = logging.getLogger(__name__)

#: Seconds between two looks at a queue with nothing due: a mail that arrives is under way within
#: 0.3 s. Each look is one query for each lane, answered by an index of what is open.
IDLE_PAUSE = 0.2
#: Seconds until a database that does not answer is asked again.
TROUBLE_PAUSE = 1.0
#: Seconds that it may take to claim more while others are in hand.
CLAIM_PATIENCE = 1.0

#: Seconds that a mail that came back waits for the next one that left with it: a round with the
#: database costs about as much for all of them as for one.
GATHERING = 0.005
#: Seconds after which the connection to the database may be replaced by a new one.
RENEW_AFTER = 60.0


class Drain:
    """Hands due messages over, up to `width` side by side. Of one `priority`, or of all.

    `on_trouble` is told of a database that does not answer, and the loop goes on: the rows are safe
    in it. Without one, the error is raised once the mails in hand are finished.
    """

    def __init__(
        self,
        width: int,
        *,
        priority: Priority | None = None,
        on_trouble: Callable[[Error], None] | None = None,
    ) -> None:
        self._width = width
        self._priority = priority
        self._on_trouble = on_trouble
        self._claims: SimpleQueue[Claim | None] = SimpleQueue()
        # How they ended; None where that cannot be told.
        self._ends: SimpleQueue[queue.End | None] = SimpleQueue()
        self._under_way = 0
        self._renew_at = 0.0
        #: How many messages were left in which state, by the reason that the row has for it.
        self.left: Counter[tuple[str, str]] = Counter()
        #: The same of those that were due and settled without a hand-over.
        self.settled: Counter[tuple[str, str]] = Counter()

    def run(self, stop: threading.Event, *, until_empty: bool = False) -> int:
        """Send until `stop` is set, or with `until_empty` until nothing is due.

        Returns how many messages were claimed. The mails in hand are finished before.
        """
        threads = [
            threading.Thread(target=self._work, name=f"authmail-drain-{number}", daemon=True)
            for number in range(self._width)
        ]
        for thread in threads:
            thread.start()
        try:
            return self._loop(stop, until_empty)
        finally:
            for _ in threads:
                self._claims.put(None)
            for thread in threads:
                thread.join()

    @working()
    def _loop(self, stop: threading.Event, until_empty: bool) -> int:
        total = 0
        trouble: Error | None = None
        while True:
            claimed = 0
            pause = IDLE_PAUSE
            if not stop.is_set() and trouble is None:
                try:
                    claimed = self._claim()
                except Error as error:
                    pause = TROUBLE_PAUSE
                    # What is in hand is settled first, and then it is asked again.
                    if not self._under_way:
                        trouble = self._told(error)
            total += claimed
            if self._under_way:
                self._settle()
            elif trouble is not None:
                raise trouble
            elif stop.is_set() or (until_empty and not claimed):
                return total
            else:
                stop.wait(pause)

    def _told(self, error: Error) -> Error | None:
        """Tell of a database that fails; return the error where there is nobody to tell."""
        if self._on_trouble is None:
            return error
        self._on_trouble(error)
        return None

    def _claim(self) -> int:
        free = self._width - self._under_way
        if not free:
            return 0
        if time.monotonic() > self._renew_at:
            # Not each time: where CONN_MAX_AGE is 0, Django's default, each turn would connect
            # anew. One that has broken meanwhile is replaced where it fails.
            close_old_connections()
            self._renew_at = time.monotonic() + RENEW_AFTER
        # Outcomes that wait to be written have a lease that runs out.
        patience = CLAIM_PATIENCE if self._under_way else PATIENCE
        taken = queue.take_due(free, priority=self._priority, patience=patience)
        self.settled += taken.settled
        self._under_way += len(taken.claims)
        for claim in taken.claims:
            self._claims.put(claim)
        return len(taken.claims)

    def _settle(self) -> None:
        """Wait a moment for mails to come back, and settle those that have."""
        back: list[queue.End | None] = []
        try:
            back.append(self._ends.get(timeout=IDLE_PAUSE))
            while len(back) < self._under_way:
                back.append(self._ends.get(timeout=GATHERING))
        except Empty:
            pass
        self._under_way -= len(back)
        ends = [end for end in back if end is not None]
        if not ends:
            return
        try:
            rows = queue.settle_many(ends)
        except Error as error:
            # Their leases are over, or as good as: they are in doubt now, as those of a worker
            # that died.
            for end in ends:
                logger.error("email.not_recorded id=%s error=%s", end.claim.id, named(error))
        else:
            self.left.update((str(row.state), str(row.reason)) for row in rows)

    @working()
    def _work(self) -> None:
        try:
            while (claim := self._claims.get()) is not None:
                self._ends.put(_ended(claim))
                close_old_connections()
        finally:
            connections.close_all()


def _ended(claim: Claim) -> queue.End | None:
    try:
        return dispatch.hand_over(claim)
    except LeaseLost:
        logger.warning("email.lease_lost id=%s", claim.id)
        return None
    except Exception as error:
        # Its lease ends, and then its outcome is unknown, which is the truth.
        logger.error("email.hand_over_error id=%s error=%s", claim.id, describe(error))
        return None
