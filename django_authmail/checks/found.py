"""What every check returns, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

from django.apps import AppConfig
from django.core import checks

from django_authmail import wording

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


def saying(words: Mapping[str, str], check: Callable[..., Found]) -> Callable[..., Found]:
    """Return a check that says the same, with `words` in place of its own."""
    if not words:
        return check

    @wraps(check)
    def check_and_say(app_configs: Apps = None, **kwargs: Any) -> Found:
        found = check(app_configs, **kwargs)
        for message in found:
            message.msg = wording.replace(words, message.msg)
            message.hint = wording.replace(words, message.hint or "") or None
        return found

    return check_and_say
