"""Why a queued message does not leave: what is wrong with its carriers, for operators."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext, ngettext

from django_authmail.conf import conf
from django_authmail.models import Message, State
from django_authmail.outbox import carriers
from django_authmail.outbox.carriers import Status
from django_authmail.outcomes import Reason

#: What a message waits by that no carrier may take; any other reason is its own.
_OF_CARRIERS = (Reason.MAILER_UNAVAILABLE, Reason.PAUSED, Reason.QUOTA_EXCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why one carrier of a message takes none now. `hints` knows what to do about its reason."""

    #: Empty: all of them.
    carrier: str
    #: `paused`, `quota_exceeded`, or what went wrong the last time, such as `auth_failed`.
    reason: str
    #: In a row; 0 where it is not for failures.
    failures: int = 0
    since: datetime | None = None
    #: When one mail tries it, or the window of its quota ends.
    until: datetime | None = None

    def sentence(self, when: Callable[[datetime], str]) -> str:
        """Say it in the language that is active, with times as `when` writes them."""
        words = {"carrier": self.carrier, "count": self.failures, "reason": self.reason}
        if self.since is not None:
            words["time"] = when(self.since)
            if not self.carrier:
                return gettext("All sending has been paused since %(time)s.") % words
            return gettext("The carrier `%(carrier)s` has been paused since %(time)s.") % words
        if self.reason != Reason.QUOTA_EXCEEDED:
            why = ngettext(
                "The carrier `%(carrier)s` rests after %(count)s failure, `%(reason)s`.",
                "The carrier `%(carrier)s` rests after %(count)s failures in a row, the last of "
                "them `%(reason)s`.",
                self.failures,
            )
        elif self.failures:
            why = gettext("The provider of `%(carrier)s` says that its quota is spent.")
        else:
            why = gettext("The quota of `%(carrier)s` is spent.")
        if self.until is None:
            return why % words
        words["time"] = when(self.until)
        end = (
            gettext("One mail tries it at %(time)s.")
            if self.failures
            else gettext("The window ends at %(time)s.")
        )
        return f"{why} {end}" % words


def obstacles(rows: Iterable[Message]) -> dict[uuid.UUID, list[Obstacle]]:
    """Return by the id of each message that waits for its carriers what is wrong with each of them.

    Without those that wait for something else, or that a carrier takes by now.
    """
    waiting = [row for row in rows if row.state == State.QUEUED and row.reason in _OF_CARRIERS]
    if not waiting:
        return {}
    standing = {status.name: status for status in carriers.statuses()}
    found = {}
    for row in waiting:
        theirs = [_obstacle(standing[name]) for name in _carriers(row) if name in standing]
        known = [each for each in theirs if each is not None]
        if known and len(known) == len(theirs):
            # The pause of all is said once.
            found[row.pk] = list(dict.fromkeys(known))
    return found


def _carriers(row: Message) -> tuple[str, ...]:
    names = tuple(row.deliver_using) or conf.deliver_using
    if row.resend_count and len(names) > 1:
        # In doubt, it leaves by the one that may have it and by no other.
        return (row.carrier or names[0],)
    return names


def _obstacle(status: Status) -> Obstacle | None:
    if status.all_paused_at is not None:
        return Obstacle(carrier="", reason=Reason.PAUSED, since=status.all_paused_at)
    if status.paused_at is not None:
        return Obstacle(carrier=status.name, reason=Reason.PAUSED, since=status.paused_at)
    if status.is_open:
        return Obstacle(
            carrier=status.name,
            reason=status.reason,
            failures=max(status.failure_count, 1),
            until=status.broken_until,
        )
    for quota in status.quotas:
        if not quota.remaining:
            return Obstacle(carrier=status.name, reason=Reason.QUOTA_EXCEEDED, until=quota.ends_at)
    return None
