"""Whether a carrier may take a message now: pause, breaker and quota, shared by every process.

    closed ── failures in a row ──► open ── its pause is over ──► half-open: one message tries it
      ▲                              ▲                                │            │
      │                              └───────── it cannot ────────────┘            │
      └─────────────── the server answers about a message, whatever it says ◄──────┘

The state is in the rows of `Carrier`. A process reads them once a second at most, so that sending
costs no query more; a pause takes effect within that second. What a process read is looked at anew
before anything is kept back because of it.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import Error, router
from django.db.models import F, Q, QuerySet

from django_authmail import mailers
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.logs import log_line, named, stamp
from django_authmail.models import Carrier
from django_authmail.outbox import counters, queue, quotas
from django_authmail.outbox.counters import Use
from django_authmail.outbox.lease import LEASE_MARGIN
from django_authmail.outbox.quotas import Quota
from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry, SendResult
from django_authmail.transactions import retried

logger = logging.getLogger(__name__)

#: The name of the row that pauses every carrier.
ALL = ""
#: Seconds that a process may go by what it has read.
STALE_AFTER = 1.0
#: When paused mail is looked at again, should the resume have missed it.
PAUSED_FOR = timedelta(minutes=1)
#: How long a carrier rests whose provider says that its quota is spent, where no quota is known.
SPENT_FOR = timedelta(hours=1)
#: Seconds that the database may take to record what a carrier did: a mail waits for it.
PATIENCE = 1.0

#: The carrier itself is out of order, whatever the message, and surely did not take it.
OUTAGES = frozenset(
    (
        Reason.APP_PASSWORD_REQUIRED,
        Reason.AUTH_FAILED,
        Reason.AUTH_REQUIRED,
        Reason.AUTH_TEMPORARY,
        Reason.BASIC_AUTH_DISABLED,
        Reason.CERTIFICATE_INVALID,
        Reason.CONNECTION_LOST,
        Reason.CONNECTION_REFUSED,
        Reason.DNS_ERROR,
        Reason.MAILER_UNUSABLE,
        Reason.SMTP_TIMEOUT,
        Reason.STARTTLS_UNSUPPORTED,
        Reason.TLS_ERROR,
    )
)
_CODES = {Reason.MAILER_UNAVAILABLE: ErrorCode.SMTP_CONNECTION}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """The leave to hand one message over by a carrier; `report` what came of it, or `release`."""

    carrier: str
    #: Set for the one message that tries a carrier again: what the row says meanwhile.
    trial: datetime | None = None
    use: Use | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why a carrier takes nothing now, and until when: `paused`, `mailer_unavailable` or
    `quota_exceeded`."""

    carrier: str
    reason: Reason
    until: datetime
    #: How long that is.
    wait: timedelta

    @property
    def failure(self) -> Failure:
        code = _CODES.get(self.reason, ErrorCode.SMTP_TRANSIENT)
        return Failure(error_code=code, reason=self.reason, retry=Retry.CARRIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a carrier stands, for people and for metrics."""

    name: str
    paused_at: datetime | None
    #: Since when all of them are paused, and this one with them.
    all_paused_at: datetime | None
    failure_count: int
    broken_until: datetime | None
    is_open: bool
    reason: str
    quotas: list[Quota]

    @property
    def all_paused(self) -> bool:
        return self.all_paused_at is not None


def is_outage(result: SendResult) -> bool:
    """Tell whether another carrier may take at once what this one surely did not."""
    failure = result.failure
    return failure is not None and failure.retry is not Retry.UNKNOWN and failure.reason in OUTAGES


def admit(name: str, recipients: int) -> Pass | Stop:
    """Ask whether the carrier may take a message to so many recipients now."""
    known = _cache.known()
    if (stop := known.stop(name)) is not None:
        # Looked at anew: what was resumed a moment ago must not be kept waiting.
        known = _cache.known(fresh=True)
        if (stop := known.stop(name)) is not None:
            return stop
    use = quotas.take(name, recipients)
    if use is not None and not use.granted:
        return _stop(name, Reason.QUOTA_EXCEEDED, known.now() + use.wait, known.now())
    row = known.rows.get(name)
    if row is None or row.broken_until is None:
        return Pass(carrier=name, use=use)
    trial = _become_trial(row)
    if trial is not None:
        return Pass(carrier=name, trial=trial, use=use)
    release(Pass(carrier=name, use=use))
    known = _cache.known(fresh=True)
    until = known.now() + conf.breaker_pause
    return known.stop(name) or _stop(name, Reason.MAILER_UNAVAILABLE, until, known.now())


def report(leave: Pass, result: SendResult) -> None:
    """Note what came of a hand-over. A database that fails is logged: the mail counts for more."""
    try:
        _report(leave, result)
    except Error as error:
        logger.warning(
            "email.carrier_not_recorded carrier=%s error=%s", leave.carrier, named(error)
        )


def release(leave: Pass) -> None:
    """Give back a leave that was not used."""
    if leave.use is not None:
        counters.give_back(leave.use)
    if leave.trial is not None:
        using = router.db_for_write(Carrier)
        _row(leave.carrier, using).filter(broken_until=leave.trial).update(
            broken_until=db_now(using)
        )
        _cache.forget()


def pause(name: str = ALL) -> bool:
    """Keep mail from the carrier, or from all; False if it was paused already."""
    using = router.db_for_write(Carrier)
    _make_row(name, using)
    changed = _row(name, using).filter(paused_at=None).update(paused_at=db_now(using))
    _cache.forget()
    if changed:
        logger.warning("email.paused carrier=%s", name or "*")
    return bool(changed)


def resume(name: str = ALL) -> bool:
    """End a pause, and make due what waited for its end; False if there was none."""
    using = router.db_for_write(Carrier)
    changed = _row(name, using).exclude(paused_at=None).update(paused_at=None)
    _cache.forget()
    if changed:
        logger.warning("email.resumed carrier=%s", name or "*")
        queue.wake(Reason.PAUSED)
    return bool(changed)


def close_breaker(name: str) -> bool:
    """Let mail go to the carrier again without waiting; False if its breaker was closed."""
    using = router.db_for_write(Carrier)
    was_open = (
        _row(name, using)
        .exclude(broken_until=None)
        .update(failure_count=0, broken_until=None, reason="")
    )
    _cache.forget()
    if was_open:
        logger.warning("email.breaker_closed carrier=%s", name)
        queue.wake(Reason.MAILER_UNAVAILABLE)
    return bool(was_open)


def is_paused(name: str) -> bool:
    """Tell whether the carrier is paused, by itself or with all of them."""
    stop = _cache.known(fresh=True).stop(name)
    return stop is not None and stop.reason is Reason.PAUSED


def statuses() -> list[Status]:
    """Return how each carrier of the project stands, those that mail leaves by first."""
    preferred = [n for n in conf.deliver_using if n in mailers.names()]
    others = [n for n in mailers.names() if n not in preferred and not mailers.carrier_problem(n)]
    names = [*preferred, *others]
    standings = quotas.standing(names)
    known = _cache.known(fresh=True)
    everything = known.rows.get(ALL)
    return [
        _status(
            known.rows.get(name) or Carrier(name=name),
            standings[name],
            None if everything is None else everything.paused_at,
        )
        for name in names
    ]


def forget() -> None:
    """Read the state anew at the next message."""
    _cache.forget()


# -- what this process has read ---------------------------------------------------------------


class _Known:
    """The rows as they were read, and the database's clock since."""

    def __init__(self, using: str) -> None:
        self._now = db_now(using)
        self._read_at = time.monotonic()
        self.rows = {row.name: row for row in Carrier.objects.using(using).all()}

    @property
    def is_stale(self) -> bool:
        return time.monotonic() - self._read_at > STALE_AFTER

    def now(self) -> datetime:
        return self._now + timedelta(seconds=time.monotonic() - self._read_at)

    def stop(self, name: str) -> Stop | None:
        now = self.now()
        for paused in (ALL, name):
            if paused in self.rows and self.rows[paused].paused_at is not None:
                return _stop(name, Reason.PAUSED, now + PAUSED_FOR, now)
        row = self.rows.get(name)
        if row is not None and row.broken_until is not None and row.broken_until > now:
            spent = row.reason == Reason.QUOTA_EXCEEDED
            reason = Reason.QUOTA_EXCEEDED if spent else Reason.MAILER_UNAVAILABLE
            return _stop(name, reason, row.broken_until, now)
        return None


class _Cache:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: _Known | None = None

    def known(self, *, fresh: bool = False) -> _Known:
        with self._lock:
            if fresh or self._known is None or self._known.is_stale:
                self._known = _Known(router.db_for_write(Carrier))
            return self._known

    def forget(self) -> None:
        with self._lock:
            self._known = None


_cache = _Cache()


# -- the breaker --------------------------------------------------------------------------------


def _report(leave: Pass, result: SendResult) -> None:
    if leave.use is not None and not result.unknown:
        counters.give_back(leave.use, keep=len(result.accepted))
    failures = [refusal.failure for refusal in result.refused]
    failures += [result.failure] if result.failure is not None else []
    if any(failure.reason is Reason.QUOTA_EXCEEDED for failure in failures):
        if quotas.close(leave.carrier):
            logger.warning("email.quota_spent carrier=%s", leave.carrier)
        else:
            _open(leave, Reason.QUOTA_EXCEEDED, SPENT_FOR, most_failures=0)
            return
    if is_outage(result) and result.failure is not None:
        _open(leave, result.failure.reason, conf.breaker_pause, conf.breaker_failures)
    elif not result.unknown:
        row = _cache.known().rows.get(leave.carrier)
        if leave.trial is not None or (row is not None and row.failure_count):
            _close(leave.carrier)


def _become_trial(row: Carrier) -> datetime | None:
    """Be the one message that tries the carrier; None if another is."""
    using = router.db_for_write(Carrier)

    def swap() -> datetime | None:
        # So long at most: should this process die meanwhile, another message tries.
        until = db_now(using) + conf.send_deadline + LEASE_MARGIN
        unchanged = _row(row.name, using).filter(broken_until=row.broken_until)
        return until if unchanged.update(broken_until=until) else None

    until = retried(swap, using=using, patience=PATIENCE)
    _cache.forget()
    return until


def _open(leave: Pass, reason: Reason, rest: timedelta, most_failures: int) -> None:
    """Count a failure, and open the breaker if it is one too many, or was that of the trial."""
    using = router.db_for_write(Carrier)

    def write() -> tuple[int, datetime]:
        now = db_now(using)
        _make_row(leave.carrier, using)
        row = _row(leave.carrier, using)
        row.update(failure_count=F("failure_count") + 1, reason=reason)
        failed = Q(failure_count__gte=most_failures) & (
            Q(broken_until=None) | Q(broken_until__lte=now)
        )
        if leave.trial is not None:
            failed |= Q(broken_until=leave.trial)
        return row.filter(failed).update(broken_until=now + rest), now + rest

    opened, until = retried(write, using=using, patience=PATIENCE)
    _cache.forget()
    if opened:
        log_line(
            logger,
            logging.ERROR,
            "email.breaker_open",
            carrier=leave.carrier,
            reason=str(reason),
            until=stamp(until),
        )


def _close(name: str) -> None:
    if not close_breaker(name):
        using = router.db_for_write(Carrier)
        _row(name, using).filter(broken_until=None).update(failure_count=0, reason="")
        _cache.forget()


def _make_row(name: str, using: str) -> None:
    Carrier.objects.using(using).bulk_create([Carrier(name=name)], ignore_conflicts=True)


def _row(name: str, using: str) -> QuerySet[Carrier]:
    return Carrier.objects.using(using).filter(name=name)


def _stop(name: str, reason: Reason, until: datetime, now: datetime) -> Stop:
    return Stop(carrier=name, reason=reason, until=until, wait=until - now)


def _status(row: Carrier, standing: list[Quota], all_paused_at: datetime | None) -> Status:
    return Status(
        name=row.name,
        paused_at=row.paused_at,
        all_paused_at=all_paused_at,
        failure_count=row.failure_count,
        broken_until=row.broken_until,
        # Until a message has tried it with success, it is open.
        is_open=row.broken_until is not None,
        reason=row.reason,
        quotas=standing,
    )
