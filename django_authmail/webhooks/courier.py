"""Send what is due to receivers, several at a time, away from the mails.

Threads post (`sending`), and know no database. The courier's own thread does what concerns it for
all of them: it settles what has come back, and claims as many as there is room for. A slow receiver
takes up its own places; it delays no mail, for none waits here, and other receivers no longer than
it takes to be known as slow, but where four of one host have taken all the places of that.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from queue import Empty

from django.db import Error, close_old_connections, connections

from django_authmail.busy import working
from django_authmail.conf import conf
from django_authmail.extras import installed
from django_authmail.logs import describe, log_line, named_apart
from django_authmail.transactions import FAILED, PATIENCE
from django_authmail.webhooks import deliveries, settlement
from django_authmail.webhooks.deliveries import Claim
from django_authmail.webhooks.sending import Senders
from django_authmail.webhooks.settlement import End

logger = logging.getLogger(__name__)

#: Deliveries under way at a time, besides those that are slow.
WIDTH = 32
#: Seconds between two looks at a table with nothing due; each is one query of an index.
IDLE_PAUSE = 0.5
#: Seconds until a database that does not answer is asked again.
TROUBLE_PAUSE = 1.0
#: Seconds until it is said again that something is due and the extra `webhooks` is missing.
UNSENT_PAUSE = 60.0
#: What is to be installed.
EXTRA = "django-authmail[webhooks]"
#: Seconds that a database which fails is tried again for more, while others are under way.
SHORT_PATIENCE = 1.0
#: Seconds that a delivery that came back waits for the next one to be settled with it.
GATHERING = 0.003
#: Seconds after which the connection to the database may be replaced by a new one.
RENEW_AFTER = 60.0
#: A courier that was woken waits for what is due within so many seconds, instead of ending: a
#: schedule that begins with a few seconds shall not depend on the next sweep.
LINGER = 3.0
#: Seconds that a process which ends leaves for recording the last outcomes.
RECORDING = 2.0
#: Times that it looks for a place of a busy receiver or host before it ends all the same.
MOST_IN_VAIN = 4


class Courier:
    """Sends due deliveries, up to `width` side by side, and more beside those that are slow.

    `on_trouble` is told of a database that does not answer, and the loop goes on. Without one, the
    error is raised once what is in hand has been finished.
    """

    def __init__(
        self,
        width: int = WIDTH,
        *,
        on_trouble: Callable[[Error], None] | None = None,
    ) -> None:
        self._on_trouble = on_trouble
        self._senders = Senders(width)
        self._renew_at = 0.0
        #: How many deliveries were left in which state.
        self.left: Counter[str] = Counter()
        #: How many were due, and were left to others for want of the extra `webhooks`.
        self.unsent = 0

    def run(self, stop: threading.Event, *, until_empty: bool = False, linger: float = 0.0) -> int:
        """Send until `stop` is set, or with `until_empty` until nothing is due; one round at least.

        With `linger`, what is due within so many seconds is waited for. Returns how many were
        claimed; those in hand are finished before. Where the extra `webhooks` is not installed, it
        returns at once, and leaves what is due to a process that has it.
        """
        if not installed("httpcore2"):
            self._leave()
            return 0
        try:
            return self._loop(stop, until_empty, linger)
        finally:
            self._senders.end()

    @working()
    def _loop(self, stop: threading.Event, until_empty: bool, linger: float) -> int:
        total, in_vain, is_first = 0, 0, True
        while True:
            claimed, pause = 0, IDLE_PAUSE
            try:
                # Once in any case: Celery may end a process after the task that has woken this.
                if is_first or not stop.is_set():
                    is_first = False
                    claimed = self._claim()
                total += claimed
                in_vain = 0 if claimed else in_vain
                if self._senders.under_way:
                    self._settle()
                    continue
                if stop.is_set():
                    return total
                if until_empty and not claimed:
                    wait = deliveries.seconds_until_due() if linger else None
                    if wait is None or wait > linger:
                        return total
                    if wait == 0:
                        # Due and not claimed: it waits for a place of its receiver or host, which
                        # other couriers have. They send it, or the next sweep wakes this one again.
                        in_vain += 1
                        if in_vain == MOST_IN_VAIN:
                            return total
                    pause = min(wait, IDLE_PAUSE) or IDLE_PAUSE
            except Error as error:
                if self._senders.under_way:
                    # What is in hand comes first: its leases end, and the claim may never work.
                    self._settle()
                    continue
                if self._on_trouble is None:
                    raise
                self._on_trouble(error)
                pause = TROUBLE_PAUSE
            stop.wait(pause)

    def _leave(self) -> None:
        self.unsent = deliveries.count_due()
        if self.unsent:
            log_line(logger, logging.ERROR, "webhook.not_sent", due=self.unsent, install=EXTRA)

    def _claim(self) -> int:
        free = self._senders.free
        if not free:
            return 0
        if time.monotonic() > self._renew_at:
            close_old_connections()
            self._renew_at = time.monotonic() + RENEW_AFTER
        # With something in hand there is no waiting for the database: it is to be settled.
        patience = SHORT_PATIENCE if self._senders.under_way else PATIENCE
        retries = self._senders.room_for_retries
        claims = deliveries.claim_due(free, retries=retries, patience=patience)
        self._senders.send(claims)
        return len(claims)

    def _settle(self) -> None:
        """Wait a moment for deliveries to come back, and settle those that have."""
        back: list[tuple[Claim, End | None]] = []
        try:
            back.append(self._senders.back(IDLE_PAUSE))
            while self._senders.under_way:
                back.append(self._senders.back(GATHERING))
        except Empty:
            pass
        if untried := [claim for claim, end in back if end is None]:
            try:
                settlement.give_back(untried)
            except Exception as error:
                _not_recorded(untried, error)
        if ends := [end for _, end in back if end is not None]:
            self._record(ends)

    def _record(self, ends: Sequence[End]) -> None:
        left = deliveries.LEASE_MARGIN.total_seconds() - max(
            end.claim.seconds_held - end.posted.duration_seconds for end in ends
        )
        patience = max(left - 2.0, 1.0)
        try:
            self.left.update(settlement.settle_many(ends, patience=patience))
        except Exception as error:
            if len(ends) == 1 or isinstance(error, FAILED):
                _not_recorded([end.claim for end in ends], error)
                return
            # It is one of them, or what it belongs to: the others are recorded without it.
            for end in ends:
                try:
                    self.left.update(settlement.settle_many([end], patience=SHORT_PATIENCE))
                except Exception as its_error:
                    _not_recorded([end.claim], its_error)


def _not_recorded(claims: Sequence[Claim], error: Exception) -> None:
    # Their leases end, and they are sent once more, with the same id, if they have an attempt left.
    for claim in claims:
        facts = {**claim.names, **named_apart(error)}
        log_line(logger, logging.ERROR, "webhook.not_recorded", **facts)


# -- in a process that has something else to do ---------------------------------------------


def run_beside(stop: threading.Event) -> None:
    """Send until `stop` is set, in a thread of a process that sends mails in others."""
    try:
        while not stop.is_set():
            try:
                # Whoever sends the mails tells of a database that does not answer.
                Courier(on_trouble=lambda error: None).run(stop)
                # Here before it is stopped only where it can send nothing: it says so again.
                stop.wait(UNSENT_PAUSE)
            except Exception as error:
                logger.error("webhook.courier_error error=%s", describe(error))
                stop.wait(TROUBLE_PAUSE)
    finally:
        connections.close_all()


class _Background:
    """One courier of this process, in threads that end when there is nothing to do."""

    def __init__(self) -> None:
        # One for all wakes: it remembers that the system gives no threads.
        self._courier = Courier()
        self._lock = threading.Lock()
        self._is_running = False
        self._is_wanted = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        with self._lock:
            if self._stop.is_set():
                return
            self._is_wanted = True
            if self._is_running:
                return
            self._is_running = True
            self._thread = threading.Thread(target=self._run, name="authmail-courier", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # The system gives no more. The next sweep wakes it again.
                self._thread, self._is_running = None, False
                log_line(logger, logging.WARNING, "webhook.few_threads", threads=0)

    def stop(self, seconds: float) -> None:
        self._stop.set()
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _run(self) -> None:
        try:
            while self._goes_on():
                self._courier.run(self._stop, until_empty=True, linger=LINGER)
        except Exception as error:
            # The next sweep wakes it again: another, for what this one had in hand may never end.
            logger.error("webhook.courier_error error=%s", describe(error))
            self._courier = Courier()
            with self._lock:
                self._is_running = False
        finally:
            connections.close_all()

    def _goes_on(self) -> bool:
        """Tell whether somebody has woken it since it began its last round.

        If it was stopped since, too: the task that woke it is over, and its round is a short one.
        """
        with self._lock:
            self._is_running = self._is_wanted
            self._is_wanted = False
            return self._is_running


def wake() -> None:
    """Let this process send what is due, in the background, and return at once."""
    _background.wake()


def stop(seconds: float | None = None) -> None:
    """Claim nothing more in the background, and wait for what is in hand.

    So long at most; None: as long as an attempt may take, and a moment to record it.
    """
    if seconds is None:
        seconds = conf.webhook_timeout.total_seconds() + RECORDING
    _background.stop(seconds)


_background = _Background()


def _after_fork() -> None:
    # The child has none of the threads.
    global _background
    _background = _Background()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
