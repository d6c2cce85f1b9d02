"""Which kinds of mail exist, by name."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TypeVar

from django_authmail.notifiers.base import Notifier

N = TypeVar("N", bound=type[Notifier])

_KINDS: dict[str, type[Notifier]] = {}


def register(notifier: N) -> N:
    """Make a notifier class known under its `kind`; use it as a decorator.

    Registering the same class again (a module imported under two names while reloading) replaces
    it. Raises ValueError where another class already has the name.
    """
    known = _KINDS.get(notifier.kind)
    if known is not None and known.__qualname__ != notifier.__qualname__:
        raise ValueError(
            f"the kind {notifier.kind!r} is taken by {known.__module__}.{known.__qualname__}; "
            "give this notifier another `kind`"
        )
    _KINDS[notifier.kind] = notifier
    return notifier


def get(kind: str) -> type[Notifier]:
    """Return the notifier class of `kind`, or raise LookupError with the nearest name."""
    try:
        return _KINDS[kind]
    except KeyError:
        near = get_close_matches(kind, _KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(kinds())}"
        raise LookupError(f"no notifier of the kind {kind!r}; {hint}") from None


def kinds() -> tuple[str, ...]:
    """Return the names of all registered kinds, sorted."""
    return tuple(sorted(_KINDS))
