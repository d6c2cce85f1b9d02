"""What the values of settings may be: each function says what is wrong with one, or None."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django_authmail.exceptions import AuthmailError, InvalidAddress, UnsafeHeader, UnsafeLink
from django_authmail.guards import envelope_address, host_name, link_base, link_path

#: The windows that AUTHMAIL_QUOTAS may name, and their lengths.
QUOTA_WINDOWS = {"minute": timedelta(minutes=1), "day": timedelta(days=1)}


def positive(value: timedelta) -> str | None:
    return None if value > timedelta(0) else "must be longer than zero"


def not_negative(value: timedelta) -> str | None:
    return None if value >= timedelta(0) else "must not be negative"


def up_to_a_minute(value: timedelta) -> str | None:
    if timedelta(0) < value <= timedelta(minutes=1):
        return None
    return "must be longer than zero, and a minute at most"


def limits(value: list[Any] | tuple[Any, ...]) -> str | None:
    for pair in value:
        match pair:
            case (int(most), timedelta() as window) if most >= 1 and window > timedelta(0):
                continue
        return "must hold pairs such as (5, timedelta(minutes=10))"
    windows = [window for _, window in value]
    if any(window.microseconds for window in windows):
        return "must have windows of whole seconds"
    return None if len(set(windows)) == len(windows) else "must name each window once"


def at_least_zero(value: int) -> str | None:
    return None if value >= 0 else "must be 0 or more"


def at_least_one(value: int) -> str | None:
    return None if value >= 1 else "must be 1 or more"


def seconds_of_a_year(value: int) -> str | None:
    return None if 0 <= value <= 31_536_000 else "must be from 0 to 31,536,000, a year in seconds"


def keys(value: list[str] | tuple[str, ...]) -> str | None:
    if all(isinstance(key, str) and len(key) >= 32 for key in value):
        return None
    return "must hold strings of at least 32 characters, newest first"


def addresses(value: list[str] | tuple[str, ...]) -> str | None:
    for address in value:
        try:
            envelope_address(address, "it")
        except (AttributeError, TypeError, AuthmailError) as error:
            return f"must hold email addresses: {error}"
    return None


def mailer_names(value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return one name or several as a tuple of names."""
    return (value,) if isinstance(value, str) else tuple(value)


def mailers(value: str | list[str] | tuple[str, ...]) -> str | None:
    names = mailer_names(value)
    if not names or not all(isinstance(name, str) and name for name in names):
        return "must be the name of a mailer, or a list of names"
    return None if len(set(names)) == len(names) else "must name each mailer once"


def quotas(value: dict[Any, Any]) -> str | None:
    for mailer, windows in value.items():
        if not isinstance(mailer, str) or not isinstance(windows, dict):
            return 'must be like {"default": {"day": 500, "minute": 30}}'
        for window, most in windows.items():
            if window not in QUOTA_WINDOWS:
                return f"must have the windows {' and '.join(QUOTA_WINDOWS)}, not {window!r}"
            if not isinstance(most, int) or isinstance(most, bool) or most < 0:
                return f"must have whole numbers from 0, not {most!r}"
    return None


def one_of(*words: str) -> Callable[[str], str | None]:
    def problem(value: str) -> str | None:
        return None if value in words else f"must be one of {', '.join(map(repr, words))}"

    return problem


def read_link_base(value: str) -> str:
    return link_base(value, "AUTHMAIL_LINK_BASE_URL") if value else ""


def base_url(value: str) -> str | None:
    try:
        read_link_base(value)
    except UnsafeLink as error:
        return str(error).removeprefix(f"{error.field} ")
    return None


def paths(value: dict[Any, Any]) -> str | None:
    for kind, path in value.items():
        if not isinstance(kind, str) or not isinstance(path, str):
            return "must map names of kinds to paths"
        try:
            link_path(path, f"the path of {kind!r}")
        except UnsafeLink as error:
            return f"is wrong: {error}"
    return None


def domain(value: str) -> str | None:
    try:
        envelope_address(f"a@{value}", "it") if value else None
    except (InvalidAddress, UnsafeHeader):
        return "must be the name of a domain, such as example.com"
    return None


def read_hosts(value: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Return hosts in the one form that those of URLs are compared in."""
    return tuple(host_name(host.strip().removeprefix("[").removesuffix("]")) for host in value)


def hosts(value: list[str] | tuple[str, ...]) -> str | None:
    try:
        read_hosts(value)
    except (AttributeError, ValueError):
        return "must hold names or addresses of hosts, as 'hooks.example.com', without port"
    return None


def ports(value: list[int] | tuple[int, ...]) -> str | None:
    if all(type(port) is int and 1 <= port <= 65_535 for port in value):
        return None
    return "must hold numbers of ports, from 1 to 65,535"


#: A receiver that was away for longer than a week is told nothing new by an old event.
_LONGEST_WAIT = 604_800


def waits(value: list[float] | tuple[float, ...]) -> str | None:
    if len(value) <= 50 and all(
        type(wait) in (int, float) and 0 <= wait <= _LONGEST_WAIT for wait in value
    ):
        return None
    return "must hold 50 numbers of seconds at most, each up to 604,800, a week"


def dotted_paths(value: list[str] | tuple[str, ...]) -> str | None:
    if all(isinstance(path, str) and "." in path for path in value):
        return None
    return "must hold dotted paths, such as 'shop.notifiers.ParcelNotifier'"


_BRAND_KEYS = ("name", "logo", "logo_width", "colour", "footer", "support")
_LOGO_TYPES = (".gif", ".jpeg", ".jpg", ".png")
#: It goes along with every mail. A mail of 14 kB arrives in one round trip.
_MAX_LOGO = 20_000


def brand(value: dict[str, Any]) -> str | None:
    for key, text in value.items():
        if key not in _BRAND_KEYS:
            return f"has no part {key!r}; it has {', '.join(_BRAND_KEYS)}"
        if key in ("logo", "logo_width"):
            continue
        by_locale = isinstance(text, dict) and key in ("name", "footer")
        if not all(isinstance(one, str) for one in (text.values() if by_locale else [text])):
            return f"[{key!r}] must be str"
    if not re.fullmatch("#[0-9A-Fa-f]{6}", value.get("colour", "#000000")):
        return "['colour'] must be written as #rrggbb"
    if support := value.get("support", ""):
        try:
            if support.startswith("https://"):
                link_base(support, "support")
            else:
                envelope_address(support, "support")
        except (InvalidAddress, UnsafeHeader, UnsafeLink):
            return "['support'] must be an email address or begin with https://"
    width = value.get("logo_width", 120)
    if not isinstance(width, int) or not 16 <= width <= 480:
        return "['logo_width'] must be a number of pixels from 16 to 480"
    return _logo(value["logo"]) if "logo" in value else None


def _logo(path: Any) -> str | None:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path).endswith(_LOGO_TYPES):
        return f"['logo'] must be the path of a file {', '.join(_LOGO_TYPES)}"
    try:
        size = os.stat(path).st_size
    except OSError as error:
        return f"['logo'] cannot be read: {error.strerror}"
    return None if size <= _MAX_LOGO else f"['logo'] has {size:,} octets; at most {_MAX_LOGO:,} go"
