"""Templates of a project that uses Jinja2. Imported only there: the package does not need it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from django.template import TemplateDoesNotExist
from jinja2 import Environment, StrictUndefined, TemplateNotFound, UndefinedError

from django_authmail.exceptions import InvalidContext
from django_authmail.notifiers.money import format_currency

_QUOTED = re.compile("'([^']*)'")


def in_jinja2(env: Environment, name: str, is_html: bool) -> Callable[[Mapping[str, object]], str]:
    """Return how to render a template, with the project's environment made strict.

    Raises TemplateDoesNotExist where it has none of this name.
    """
    try:
        template = _strict(env, is_html).get_template(name)
    except TemplateNotFound as error:
        raise TemplateDoesNotExist(str(error.name or name)) from None

    def render(values: Mapping[str, object]) -> str:
        try:
            return template.render(values)
        except UndefinedError as error:
            # "'absent' is undefined", "'str object' has no attribute 'absent'"
            missed = _QUOTED.findall(str(error))[-1:] or [name]
            raise InvalidContext(
                missed[0], f"{name} uses this name, and the notifier does not give it"
            ) from None

    return render


@lru_cache(maxsize=8)
def _strict(env: Environment, is_html: bool) -> Environment:
    strict = env.overlay(undefined=StrictUndefined, autoescape=is_html)
    strict.filters = {"format_currency": _format_currency, **env.filters}
    return strict


def _format_currency(amount: Any, currency: Any = "KRW", locale: str | None = None) -> str:
    for value in (amount, currency):
        if isinstance(value, StrictUndefined):
            str(value)  # raises UndefinedError with its name; as an amount it would be a wrong one
    return format_currency(amount, currency, locale)
