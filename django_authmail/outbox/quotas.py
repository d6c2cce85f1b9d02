"""How much a carrier may take in a window: what its provider allows, counted by recipients."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django_authmail import mailers
from django_authmail.conf import conf
from django_authmail.exceptions import MailerUnusable
from django_authmail.outbox import counters
from django_authmail.outbox.counters import Limit, Use
from django_authmail.ranges import QUOTA_WINDOWS
from django_authmail.smtp.presets import preset

logger = logging.getLogger(__name__)

#: Of a quota; from there on, the log and the admin warn.
WARNING_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How one window of a carrier stands."""

    window: str
    used: int
    most: int
    #: None: nothing was sent in it yet.
    ends_at: datetime | None

    @property
    def remaining(self) -> int:
        return max(self.most - self.used, 0)

    @property
    def is_low(self) -> bool:
        return self.used >= WARNING_SHARE * self.most


def quotas_of(name: str) -> dict[str, int]:
    """Return what the carrier may take, by window: what the settings say, else its preset."""
    return conf.once(f"quotas of {name}", lambda: _quotas_of(name))


def _quotas_of(name: str) -> dict[str, int]:
    given = dict(conf.quotas.get(name, {}))
    if "day" not in given and (known := _daily_quota(name)) is not None:
        given["day"] = known
    return {window: given[window] for window in QUOTA_WINDOWS if given.get(window)}


def take(name: str, recipients: int) -> Use | None:
    """Count recipients against the quotas of the carrier; None where it has none."""
    limits = _limits(name)
    if not limits:
        return None
    use = counters.take(*limits, amount=recipients)
    if use.granted:
        for limit in limits:
            _warn_once(name, limit, use)
    return use


def close(name: str) -> bool:
    """Use up the longest window, since the provider says that it is; False where there is none."""
    limits = _limits(name)
    if not limits:
        return False
    counters.fill(max(limits, key=lambda limit: limit.window))
    return True


def standing(names: list[str]) -> dict[str, list[Quota]]:
    """Return how each window of each carrier stands."""
    most = {name: quotas_of(name) for name in names}
    used = counters.used(_key(name, window) for name in names for window in most[name])
    standings: dict[str, list[Quota]] = {}
    for name in names:
        standings[name] = []
        for window, limit in most[name].items():
            count, ends_at = used.get(_key(name, window), (0, None))
            standings[name].append(Quota(window=window, used=count, most=limit, ends_at=ends_at))
    return standings


def _limits(name: str) -> list[Limit]:
    return [
        Limit(key=_key(name, window), most=most, window=QUOTA_WINDOWS[window])
        for window, most in quotas_of(name).items()
    ]


def _key(name: str, window: str) -> str:
    return f"quota:{name}:{window}"


def _daily_quota(name: str) -> int | None:
    try:
        given = mailers.options(name).options
    except MailerUnusable:
        return None
    named = given.get("preset")
    return preset(str(named)).daily_quota if named else None


def _warn_once(name: str, limit: Limit, use: Use) -> None:
    used = use.used[limit.key]
    # The counts of all uses differ: exactly one of them, over all processes, crosses the line.
    if used - use.amounts[limit.key] < WARNING_SHARE * limit.most <= used:
        logger.warning(
            "email.quota_low carrier=%s window=%s used=%s most=%s",
            name,
            limit.key.rpartition(":")[2],
            used,
            limit.most,
        )
