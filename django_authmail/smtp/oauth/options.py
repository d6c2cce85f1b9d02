"""From the option `oauth` of a mailer to the provider that it describes."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_authmail.smtp.config import TokenProvider
from django_authmail.smtp.oauth.function import TokenFunction, name_of


def provider_from(option: object) -> TokenProvider | None:
    """Return the provider that the option `oauth` of a mailer describes; None for None or empty.

    The option is a mapping (`provider`: class or its dotted path; the rest: its arguments), a
    function that returns a token or its dotted path, or a provider. The same description gives the
    same provider again: backends are made anew for each use, and the token must outlive them.

    Raises:
        ImproperlyConfigured: it describes none.
        MissingExtra: what it needs is not installed.
    """
    if option is None or option == "" or option == {}:
        return None
    if _provides(option) and not isinstance(option, type):
        return cast("TokenProvider", option)
    if isinstance(option, Mapping):
        arguments = dict(option)
        named = arguments.pop("provider", None)
        if not named:
            raise ImproperlyConfigured(
                "oauth: 'provider' is missing; name a class, such as "
                "'django_authmail.smtp.oauth.GoogleRefreshToken'"
            )
        return _once((named, _frozen(arguments)), partial(_construct, named, arguments))
    if isinstance(option, str) or callable(option):
        return _once((option, None), partial(_resolve, option))
    raise ImproperlyConfigured(
        f"oauth: a {type(option).__name__} is no token provider; give a mapping with 'provider', "
        "a function that returns a token, or the dotted path of one"
    )


# More accounts than any process has mailers; bounded for those that make them up as they go.
_MAX_PROVIDERS = 256
_providers: dict[Hashable, TokenProvider] = {}
_providers_lock = threading.RLock()


def _begin_anew() -> None:
    # Another thread may have held it at the fork, and in the child nobody would give it back.
    global _providers_lock
    _providers_lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_anew)


def _once(key: Hashable, make: Callable[[], TokenProvider]) -> TokenProvider:
    try:
        hash(key)
    except TypeError:
        return make()
    with _providers_lock:
        if key not in _providers:
            provider = make()
            while len(_providers) >= _MAX_PROVIDERS:
                del _providers[next(iter(_providers))]
            _providers[key] = provider
        return _providers[key]


def _frozen(value: object) -> object:
    if isinstance(value, Mapping):
        return tuple((key, _frozen(value[key])) for key in sorted(value, key=str))
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value


def _construct(named: object, arguments: dict[str, Any]) -> TokenProvider:
    provider_class = _imported(named) if isinstance(named, str) else named
    if not isinstance(provider_class, type) or not _provides(provider_class):
        raise ImproperlyConfigured(
            f"oauth: {name_of(named)} is no class with the methods token and refresh"
        )
    try:
        inspect.signature(provider_class).bind(**arguments)
    except TypeError as error:  # its text names arguments and shows no values
        raise ImproperlyConfigured(f"oauth: {name_of(provider_class)}: {error}") from None
    return cast("TokenProvider", provider_class(**arguments))


def _resolve(option: object) -> TokenProvider:
    target = _imported(option) if isinstance(option, str) else option
    if isinstance(target, type) and _provides(target):
        return _construct(target, {})
    if _provides(target):
        return cast("TokenProvider", target)
    if callable(target):
        return TokenFunction(target)
    raise ImproperlyConfigured(
        f"oauth: {name_of(option)} is neither a function nor a token provider"
    )


def _imported(path: str) -> object:
    try:
        return cast("object", import_string(path))
    except ImportError as error:
        raise ImproperlyConfigured(f"oauth: {path!r} cannot be imported: {error}") from error


def _provides(candidate: object) -> bool:
    return all(callable(getattr(candidate, name, None)) for name in ("token", "refresh"))
