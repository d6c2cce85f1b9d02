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
