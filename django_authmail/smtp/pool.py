"""Warm connections of one configuration; `pools` has all that there are in a process.

A new connection with STARTTLS and a login costs eight round trips before the mail; a warm one
costs none. Connections are opened on demand, lent to one borrower at a time, and kept warm by a
thread in the background for ten minutes after the last mail, and no longer. Nobody who sends a mail
waits for a replacement: the thread opens it before the old connection is given up.
"""

from __future__ import annotations

import logging
import threading
import time
from enum import Enum, auto

from django_authmail.outcomes import Failure
from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.dialogue import Connection, open_connection
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.wire import Deadline

logger = logging.getLogger(__name__)

#: Seconds after the last mail through a pool during which its connections are kept.
WARM_FOR = 600.0
#: Seconds after which a connection that had nothing to do is closed, if it is not the only one.
SPARE_FOR = 60.0
#: Longest wait for a connection that is in use; then one is opened beyond the pool's size.
LONGEST_WAIT = 1.0
#: Refusals in a row after which a connection is not used again: Postfix answers slower from the
#: fifth on, and one person's bad addresses must not slow down the next one's code.
MAX_REFUSALS = 3
#: Mails beyond `max_mails` that a connection may still carry while its replacement is opened.
GRACE_MAILS = 9
#: Seconds after which a pool that a server made smaller may grow by one again.
REGROW_AFTER = 60.0
#: Seconds for what the keeper does with one connection.
KEEPER_DEADLINE = 20.0


class _Turn(Enum):
    """What a borrower does who gets no idle connection."""

    OPEN = auto()  # its place is counted already
    OPEN_BEYOND = auto()


class Pool:
    """The connections of one configuration. Thread-safe."""

    def __init__(self, config: SmtpConfig) -> None:
        self._config = config
        self._changed = threading.Condition()
        # The one used last is lent first: it is the least likely to have been forgotten.
        self._idle: list[Connection] = []
        self._count = 0  # idle, lent, and being opened; not those beyond the size
        self._beyond: set[Connection] = set()
        self._lent: set[Connection] = set()
        self._closed = False
        self._limit = config.pool_size
        self._shrunk_at = 0.0
        self._used_at = time.monotonic()

    def touch(self) -> None:
        """Note that a mail is on its way: what is kept is kept for longer."""
        self._used_at = time.monotonic()

    @property
    def is_cold(self) -> bool:
        """Whether nothing is kept, and nobody has asked for a connection for long."""
        return not self._count and time.monotonic() - self._used_at > WARM_FOR

    @property
    def connections(self) -> tuple[int, int]:
        """How many are idle, and how many are lent."""
        with self._changed:
            return len(self._idle), len(self._lent)

    def borrow(self, deadline: Deadline) -> Connection:
        """Return a connection that is ready for a message; give it back or discard it.

        Raises:
            SmtpFailure: none is there and none can be opened.
        """
        self.touch()
        give_up = Deadline(min(LONGEST_WAIT, deadline.left()))
        crowded: SmtpFailure | None = None
        while True:
            turn = self._take_or_wait(give_up)
            if isinstance(turn, Connection):
                return turn
            try:
                if turn is _Turn.OPEN:
                    return self._open(deadline)
                if crowded is not None:
                    raise crowded
                return self._open_beyond(deadline)
            except SmtpFailure as error:
                if error is crowded or not (_is_crowded(error.failure) and self._count):
                    raise
                # The server allows no further connection, but one of the others will come back.
                crowded, give_up = error, deadline

    def give_back(self, connection: Connection) -> None:
        """Return a connection that is fit for another message."""
        with self._changed:
            self._lent.discard(connection)
            if connection in self._beyond:
                self._beyond.discard(connection)
            elif (
                connection.is_open
                and self._is_fit(connection)
                and self._count <= self._limit
                and not self._closed
            ):
                connection.was_idle = True
                self._idle.append(connection)
                self._changed.notify()
                return
            else:
                self._count -= 1
                self._changed.notify()
        connection.close()

    def discard(self, connection: Connection, failure: Failure | None = None) -> None:
        """Give up a connection; a 421 or 432 makes the pool smaller for a while."""
        with self._changed:
            self._lent.discard(connection)
            if connection in self._beyond:
                self._beyond.discard(connection)
            else:
                self._count -= 1
            self._heed(failure)
            self._changed.notify()
        connection.abort()

    def maintain(self) -> None:
        """Do what keeps the idle connections usable, or close them when they are cold."""
        now = time.monotonic()
        with self._changed:
            if self._limit < self._config.pool_size and now - self._shrunk_at > REGROW_AFTER:
                self._limit, self._shrunk_at = self._limit + 1, now
            cold = now - self._used_at > WARM_FOR
            due = [c for c in self._idle if cold or self._needs_care(c, now)]
        for connection in due:
            if not cold and self._replace(connection):
                continue
            with self._changed:
                if connection not in self._idle:
                    continue  # somebody has borrowed it meanwhile
                # Lent to this thread, as it were: nobody else gets it while it is cared for.
                self._idle.remove(connection)
            self._care_for(connection, keep=not cold)

    def close(self) -> None:
        """Close the idle connections; lent ones are closed when they come back."""
        with self._changed:
            idle, self._idle = self._idle, []
            self._count -= len(idle)
            self._closed = True
            self._changed.notify_all()
        for connection in idle:
            connection.close()

    def forget(self) -> None:
        """Let go of the sockets without a word: they belong to the parent process."""
        for connection in [*self._idle, *self._lent]:
            connection.abort()

    # -- for borrowers -----------------------------------------------------------------------

    def _take_or_wait(self, give_up: Deadline) -> Connection | _Turn:
        with self._changed:
            while (connection := self._take_idle()) is None:
                if self._closed:
                    return _Turn.OPEN_BEYOND
                if self._count < self._limit:
                    self._count += 1
                    return _Turn.OPEN
                if give_up.left() <= 0:
                    return _Turn.OPEN_BEYOND
                self._changed.wait(give_up.left())
            self._lent.add(connection)
            return connection

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_stale():
                return connection
            connection.abort()
            self._count -= 1
        return None

    def _open(self, deadline: Deadline) -> Connection:
        try:
            connection = open_connection(self._config, deadline)
        except BaseException as error:
            with self._changed:
                self._count -= 1
                if isinstance(error, SmtpFailure):
                    self._heed(error.failure)
                self._changed.notify()
            raise
        with self._changed:
            self._lent.add(connection)
        return connection

    def _open_beyond(self, deadline: Deadline) -> Connection:
        connection = open_connection(self._config, deadline)
        with self._changed:
            self._beyond.add(connection)
            self._lent.add(connection)
        return connection

    def _heed(self, failure: Failure | None) -> None:
        if failure is not None and _is_crowded(failure):
            self._limit = max(1, min(self._limit - 1, self._count))
            self._shrunk_at = time.monotonic()

    def _is_fit(self, connection: Connection) -> bool:
        return (
            connection.refusals < MAX_REFUSALS
            and connection.mails < self._config.max_mails + GRACE_MAILS
        )

    # -- for the keeper ----------------------------------------------------------------------

    def _is_worn(self, connection: Connection, now: float) -> bool:
        config = self._config
        return connection.mails >= config.max_mails or now - connection.opened_at > config.max_age

    def _is_spare(self, connection: Connection, now: float) -> bool:
        # The last of the list is lent first, the first one was needed least.
        return (
            len(self._idle) > 1
            and connection is self._idle[0]
            and now - connection.mailed_at > SPARE_FOR
        )

    def _needs_care(self, connection: Connection, now: float) -> bool:
        return (
            self._is_worn(connection, now)
            or self._is_spare(connection, now)
            or now - connection.used_at > self._config.max_idle
            or connection.is_stale()
        )

    def _replace(self, worn: Connection) -> bool:
        """Open a fresh connection, and only then give up the worn one: nobody waits for it.

        False when that is not what it needs, or when the server allows none beside it.
        """
        with self._changed:
            # Looked at under the lock: what arrives on a lent connection is its borrower's.
            if (
                worn not in self._idle
                or not self._is_worn(worn, time.monotonic())
                or worn.is_stale()
            ):
                return False
        try:
            fresh = open_connection(self._config, Deadline(KEEPER_DEADLINE))
        except SmtpFailure as error:
            # The worn one is used as long as it lasts; the next mail reports what is wrong.
            logger.debug("replacing a connection: %s", error.failure.reason)
            return not _is_crowded(error.failure)
        fresh.mailed_at = worn.mailed_at
        fresh.was_idle = True
        with self._changed:
            if worn in self._idle and not self._closed:
                self._idle[self._idle.index(worn)] = fresh
                unwanted = worn
            else:
                # It was borrowed meanwhile: it is retired when it comes back and is worn still.
                unwanted = fresh
        unwanted.close()
        return True

    def _care_for(self, connection: Connection, *, keep: bool) -> None:
        now = time.monotonic()
        with self._changed:
            spare = bool(self._idle) and now - connection.mailed_at > SPARE_FOR
        if not keep or spare:
            self._retire(connection)
            return
        deadline = Deadline(KEEPER_DEADLINE)
        try:
            if connection.is_stale() or self._is_worn(connection, now):
                connection.quit(deadline)
                fresh = open_connection(self._config, deadline)
                fresh.mailed_at = connection.mailed_at
                connection = fresh
            elif now - connection.used_at > self._config.max_idle:
                connection.keep_alive(deadline)
        except SmtpFailure as error:
            # The next mail opens one, and reports what is wrong if it still is.
            logger.debug("keeping a connection to %s: %s", self._config.host, error.failure.reason)
            self.discard(connection, error.failure)
            return
        self.give_back(connection)

    def _retire(self, connection: Connection) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify()
        connection.close()


def _is_crowded(failure: Failure) -> bool:
    return failure.reply is not None and failure.reply.code in (421, 432)
