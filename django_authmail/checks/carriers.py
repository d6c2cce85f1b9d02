"""Checks of the mailers that queue, and of those that queued mail leaves by."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from django_authmail import mailers
from django_authmail.checks.found import Apps, Found, new_error, new_warning, unknown_option
from django_authmail.conf import Conf, conf
from django_authmail.exceptions import MailerUnusable, MissingExtra


def check_carriers(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether queued mail can leave by each mailer that is named for it."""
    found: Found = []
    for where, name, hint in _named_carriers():
        if (problem := mailers.carrier_problem(name)) is not None:
            # It may end in a question: "did you mean …?"
            end = "" if problem.endswith("?") else "."
            cure = _cure_of_a_missing_class(name) or hint
            found.append(new_error("E008", f"{where}{problem}{end}", cure))
    return found


def check_queues(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at the options of each mailer that queues."""
    return [message for alias, given in _queues() for message in _queue(alias, given)]


def check_quotas(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether each quota is that of a mailer."""
    if Conf.quotas.problem():
        return []  # E001 says so
    names = mailers.names()
    return [
        new_warning(
            "W010",
            f"AUTHMAIL_QUOTAS has {name!r}, and there is no such mailer: it limits nothing.",
            f"Mailers are {', '.join(map(repr, names))}.",
        )
        for name in conf.quotas
        if name not in names
    ]


def _queues() -> Iterator[tuple[str, mailers.MailerOptions]]:
    for alias in mailers.names():
        given = mailers.options(alias)
        if given.backend == mailers.OUTBOX:
            yield alias, given


def _named_carriers() -> Iterator[tuple[str, str, str]]:
    """Yield where each carrier is named, its name, and what to do if it is none."""
    has_one = f"give it one with the backend {mailers.OUR_SMTP}."
    if not Conf.deliver_using.problem() and not Conf.smtp_options.problem():  # E001 says so
        leaves_by = "AUTHMAIL_DELIVER_USING names the mailer that queued mail leaves by"
        for name in conf.deliver_using:
            yield "", name, f"{leaves_by}; {has_one}"
    for alias, given in _queues():
        named = given.options.get("deliver_using", ())
        where = f'MAILERS[{alias!r}]["OPTIONS"]["deliver_using"]'
        for name in named if isinstance(named, list | tuple) else (named,):
            if isinstance(name, str):  # E015 says so
                yield f"{where}: ", name, f"It names what queued mail leaves by; {has_one}"


def _cure_of_a_missing_class(name: str) -> str:
    """Say where the mailer's class is named, if there is none; empty if that is not the problem."""
    try:
        path = mailers.options(name).backend
    except MailerUnusable:
        return ""
    try:
        import_string(path)
    except ImportError:
        near = get_close_matches(path, mailers.BACKENDS, n=1, cutoff=0.85)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        return f"Name a class that is there in {mailers.backend_place(name)}{meant}"
    return ""


def _queue(alias: str, given: mailers.MailerOptions) -> Iterator[checks.CheckMessage]:
    backend = import_string(given.backend)
    # With EMAIL_*, the options are those of the account that queued mail leaves by.
    options = {} if conf.mailers is None else given.options
    unknown = backend.unknown_options(options)
    for name, near in unknown.items():
        where = f'MAILERS[{alias!r}]["OPTIONS"]["{name}"]'
        yield unknown_option(where, given.backend, near)
    try:
        known = {name: value for name, value in options.items() if name not in unknown}
        backend(alias=None if conf.mailers is None else alias, **known)
    except ImproperlyConfigured as error:
        problem, hint = str(error), "docs/settings.md has its options."
        if isinstance(error, MissingExtra):
            problem, hint = error.problem, f"Run: {error.command}"
        yield new_error("E015", f"{problem}.", hint)
