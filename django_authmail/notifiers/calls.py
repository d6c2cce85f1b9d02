"""How `send` and `build` are called: by which names, and with which recipients."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from django_authmail.exceptions import MissingName, RepeatedName, UnknownName
from django_authmail.guards import header_address


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Call:
    """The arguments of one call, by name."""

    to: str
    values: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def checked_call(
    function: Callable[..., object],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    *,
    options: Collection[str],
    payload: str,
) -> Call:
    """Sort the arguments of a call of `function`, a method whose first parameter is `to`.

    `to_email` is another name of `to`, and `payload` of the parameter that it names here.

    Raises:
        MissingName: a parameter without a default is not given.
        UnknownName: a name that is no parameter and no option.
        RepeatedName: one is given twice.
        TypeError: more positional arguments than parameters.
    """
    parameters = _parameters(function)
    others = {"to_email": "to"} | ({"payload": payload} if payload else {})
    given = dict(zip(parameters, args, strict=False))
    if len(args) > len(parameters):
        raise TypeError(f"takes {len(parameters)} positional values, not {len(args)}")
    for written, value in named.items():
        name = others.get(written, written)
        if name not in parameters and name not in options:
            raise UnknownName(written, list(parameters), options)
        if name in given:
            raise RepeatedName(name)
        given[name] = value
    for name, is_needed in parameters.items():
        if is_needed and name not in given:
            raise MissingName(name, list(parameters))
    return Call(
        to=given.pop("to"),
        values={name: value for name, value in given.items() if name in parameters},
        options={name: value for name, value in given.items() if name not in parameters},
    )


@lru_cache(maxsize=256)
def _parameters(function: Callable[..., object]) -> dict[str, bool]:
    """Return the names that a method takes, without `self`, and whether each must be given."""
    _, *parameters = inspect.signature(function).parameters.values()
    return {
        parameter.name: parameter.default is parameter.empty
        for parameter in parameters
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }


def checked_to(to: str) -> str:
    """Return the one recipient of a mail.

    Raises:
        TypeError: it is no string.
        InvalidAddress, UnsafeHeader: it is no address, or would break a header.
    """
    if not isinstance(to, str):
        raise TypeError(f"to is one address, a string, not {type(to).__name__}; send one mail each")
    header_address(to, "to")
    return to


def addresses(given: Iterable[str], name: str) -> tuple[str, ...]:
    """Return several addresses as a tuple; TypeError for one string, which is several letters."""
    if isinstance(given, str):
        raise TypeError(f"{name} takes a list or tuple of addresses, not one string")
    return tuple(given or ())
