"""Which optional requirements are installed, and a clear error where one is not."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from django_authmail.exceptions import MissingExtra


def installed(module: str) -> bool:
    """Tell whether `module` could be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return False


def require(module: str, *, why: str, extra: str = "", distribution: str = "") -> ModuleType:
    """Import `module`, or raise MissingExtra, which says what needs it and what brings it.

    That is an extra of this package, or a distribution that the project chooses itself.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the module is there, something that it needs is not: that is another problem
        wanted = f"'django-authmail[{extra}]'" if extra else distribution
        raise MissingExtra(
            f"{why} needs the package {module.partition('.')[0]!r}, which is not installed",
            f"pip install {wanted}",
        ) from None
