"""How often one mailbox is written to: nobody can bomb it, or guess codes by asking for new ones.

By kind of mail and by the mailbox itself, whoever asks: case and +tag of the address do not count.
The API and the notifiers ask; plain mail is never limited.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import NoReturn

from django.db import Error, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper

from django_authmail import metrics
from django_authmail.conf import conf
from django_authmail.exceptions import RecipientCooldown
from django_authmail.hashes import folded_hash, folded_hashes
from django_authmail.logs import describe_apart, lacks_tables, log_line, named_apart
from django_authmail.message import AuthMessage
from django_authmail.models import Counter
from django_authmail.notifiers.delivery import Ending
from django_authmail.outbox import counters, standby
from django_authmail.outbox.counters import Limit, Use
from django_authmail.outbox.rows import Recordable
from django_authmail.outbox.settlement import CALLER_PATIENCE
from django_authmail.outcomes import SendResult
from django_authmail.smtp.errors import is_surely_not_sent
from django_authmail.statements import Trip

logger = logging.getLogger(__name__)


def admit(message: Recordable) -> Use | None:
    """Count `message` against the limits of each of its recipients; None where there are none.

    Give the use back by `counters.give_back` if the message surely was not sent.

    Raises:
        RecipientCooldown: one of them had enough of this kind; nothing is counted.
    """
    limits = _limits_of(message.kind, message)
    if not limits:
        return None
    use = counters.take(*limits, patience=CALLER_PATIENCE)
    _uncounted.clear()
    return _granted(use)


def ask_within(
    message: Recordable, trip: Trip, *, is_test: bool = False
) -> Callable[[datetime], Use | None]:
    """Do the same in the transaction of a trip that records `message`.

    What comes back tells after the trip, and takes the time of the transaction. Tests are counted
    apart: they must not keep a real mail from anybody.

    Raises:
        RecipientCooldown: let it roll the transaction back, so that nothing is counted.
    """
    limits = _limits_of(f"test:{message.kind}" if is_test else message.kind, message)
    if not limits:
        return lambda now: None
    use = counters.ask_within(limits, trip)
    return lambda now: _granted(use(now))


def admit_for_notifier(message: AuthMessage, *, is_recorded: bool) -> Callable[[Ending], None]:
    """Do the same for a notifier; what is returned gives the use back where nothing was sent.

    A person waits for the mail, and a mailer that records nothing needs no database: while that
    does not count, each process counts for itself, and the log says so, once until the database
    counts again. Where the app was never migrated, as by who installed it for its commands alone,
    or the project has no database, nothing is counted.

    Raises:
        RecipientCooldown: the recipient had enough of this kind.
        Error: of the database, for a mail that is to be recorded there, and inside of a transaction
            of the caller's, which the database may have ended.
    """
    # Django's backend of a project without DATABASES.
    if _connection().vendor == "unknown":
        _warn_uncounted(error="the project has no DATABASES")
        return _keep
    try:
        use = admit(message)
    except Error as error:
        is_lasting = lacks_tables(error)
        if not is_lasting and (is_recorded or _connection().in_atomic_block):
            raise
        facts = describe_apart(error)
        del facts["at"]
        _warn_uncounted(**facts)
        return _keep if is_lasting else _admit_alone(message)
    return _keep if use is None else partial(_give_back_unsent, use)


def _keep(ending: Ending) -> None:
    """Give nothing back: nothing was counted."""


def _admit_alone(message: AuthMessage) -> Callable[[Ending], None]:
    """Do the same in this process alone."""
    limits = _limits_of(message.kind, message)
    if wait := standby.take(limits):
        _refuse(wait)

    def ended(ending: Ending) -> None:
        if _is_not_sent(ending):
            standby.give_back(limits)

    return ended


def _give_back_unsent(use: Use, ending: Ending) -> None:
    if not _is_not_sent(ending):
        return
    try:
        counters.give_back(use, patience=CALLER_PATIENCE)
    except Error as error:
        # What became of the mail is more urgent than a use too many.
        if _connection().in_atomic_block:
            raise
        log_line(logger, logging.WARNING, "recipient.use_not_given_back", **named_apart(error))


#: What the log has said since the database last counted.
_uncounted: set[str] = set()


def _warn_uncounted(*, error: str, database: str = "") -> None:
    if error not in _uncounted:
        _uncounted.add(error)
        log_line(logger, logging.WARNING, "notifier.not_counted", error=error, database=database)


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(Counter)]


def _is_not_sent(ending: Ending) -> bool:
    if isinstance(ending, Exception):
        return is_surely_not_sent(ending)
    return not ending and not (isinstance(ending, SendResult) and ending.unknown)


def _granted(use: Use) -> Use:
    if not use.granted:
        _refuse(use.wait)
    return use


def _refuse(wait: timedelta) -> NoReturn:
    metrics.count_rate_limited("recipient")
    raise RecipientCooldown(max(1, math.ceil(wait.total_seconds())))


def _limits_of(kind: str, message: Recordable) -> list[Limit]:
    mailboxes = {folded_hash(address) for address in message.envelope.recipients}
    return [limit for mailbox in mailboxes for limit in _limits(kind, mailbox)]


def _limits(kind: str, mailbox: str) -> Iterator[Limit]:
    for most, window in conf.recipient_limits:
        yield Limit(key=_key(kind, mailbox, window), most=most, window=window)
    if conf.recipient_gap:
        gap = conf.recipient_gap
        yield Limit(key=f"{_key(kind, mailbox, gap)}:gap", most=1, window=gap)


def prefixes(address: str) -> list[str]:
    """Return what the keys of all counters of this mailbox begin with, one for each hash key."""
    return [_prefix(mailbox) for mailbox in folded_hashes(address)]


def counted(key: str) -> tuple[str, str]:
    """Return what the key of a counter of a mailbox says: kind of mail, and seconds."""
    kind, _, seconds = key.removesuffix(":gap").split(":", 2)[2].rpartition(":")
    return kind, seconds


def most(key: str) -> int | None:
    """Return what a counter of a mailbox may reach; None where no setting limits it any more."""
    mailbox = key.split(":", 2)[1]
    kind, _ = counted(key)
    return next((limit.most for limit in _limits(kind, mailbox) if limit.key == key), None)


def _key(kind: str, mailbox: str, window: timedelta) -> str:
    return f"{_prefix(mailbox)}{kind}:{window.total_seconds():.0f}"


def _prefix(mailbox: str) -> str:
    return f"recipient:{mailbox}:"
