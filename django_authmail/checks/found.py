"""What every check returns, and how it is made."""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.core import checks

TAG = "authmail"


Apps = Sequence[AppConfig] | None


Found = list[checks.CheckMessage]


def new_error(number: str, problem: str, hint: str) -> checks.Error:
    return checks.Error(problem, hint=hint, id=f"{TAG}.{number}")


def new_warning(number: str, problem: str, hint: str) -> checks.Warning:
    return checks.Warning(problem, hint=hint, id=f"{TAG}.{number}")


def unknown_option(where: str, backend: str, near: str) -> checks.Error:
    """Say that an option is none, and which one was meant, if it can be known."""
    meant = f"Did you mean {near!r}?" if near else "Remove it."
    return new_error("E013", f"{where} is no option of {backend}.", meant)
