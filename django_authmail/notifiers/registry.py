"""Which kinds of mail exist, by name."""

from __future__ import annotations

import re
import sys
from difflib import get_close_matches
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_authmail.conf import conf
from django_authmail.notifiers.base import Notifier

N = TypeVar("N", bound=type[Notifier])

# Of a folder of templates, a label of metrics and a part of a URL.
_NAME = re.compile("[a-z][a-z0-9]*(?:-[a-z0-9]+)*")

_KINDS: dict[str, type[Notifier]] = {}


def register(notifier: N) -> N:
    """Make a notifier class known under its `kind`; use it as a decorator.

    Registering the same class again (its module is reloaded, or imported by another name too)
    replaces it.

    Raises:
        ValueError: `kind` is no name of a kind, or another class has it.
    """
    if not _NAME.fullmatch(notifier.kind):
        raise ValueError(
            f"{notifier.__qualname__}.kind must be lower-case words with hyphens, such as "
            f"'parcel-sent', not {notifier.kind!r}"
        )
    known = _KINDS.get(notifier.kind)
    if known is not None and not _is_same(known, notifier):
        raise ValueError(
            f"the kind {notifier.kind!r} is taken by {known.__module__}.{known.__qualname__}; "
            "give this notifier another `kind`"
        )
    _KINDS[notifier.kind] = notifier
    return notifier


def get(kind: str) -> type[Notifier]:
    """Return the notifier class of `kind`, or raise LookupError with the nearest name."""
    known = _all()
    try:
        return known[kind]
    except KeyError:
        near = get_close_matches(kind, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
        raise LookupError(f"no notifier of the kind {kind!r}; {hint}") from None


def kinds() -> tuple[str, ...]:
    """Return the names of all registered kinds, sorted."""
    return tuple(sorted(_all()))


def configured(path: str) -> type[Notifier]:
    """Return the class of an entry of AUTHMAIL_NOTIFIERS, registered.

    Raises ImproperlyConfigured, with the reason, where it cannot be.
    """
    try:
        found = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"AUTHMAIL_NOTIFIERS: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Notifier)):
        raise ImproperlyConfigured(f"AUTHMAIL_NOTIFIERS: {path} is no subclass of Notifier")
    try:
        return register(found)
    except ValueError as error:
        raise ImproperlyConfigured(f"AUTHMAIL_NOTIFIERS: {error}") from None


def _is_same(one: type[Notifier], other: type[Notifier]) -> bool:
    if one.__qualname__ != other.__qualname__:
        return False
    return one.__module__ == other.__module__ or None is not _file(one) == _file(other)


def _file(notifier: type[Notifier]) -> str | None:
    return getattr(sys.modules.get(notifier.__module__), "__file__", None)


def _all() -> dict[str, type[Notifier]]:
    for path in conf.notifiers:
        configured(path)
    return _KINDS
