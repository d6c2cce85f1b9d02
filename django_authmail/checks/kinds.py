"""Checks of the kinds of mail: those that the project adds, and the paths of their links."""

from __future__ import annotations

from difflib import get_close_matches
from inspect import signature
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_authmail.checks.found import Apps, Found, new_error, new_warning
from django_authmail.conf import Conf, conf
from django_authmail.notifiers import Notifier, registry


def check_kinds(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Load each entry of AUTHMAIL_NOTIFIERS, and look at AUTHMAIL_LINK_PATHS."""
    if Conf.notifiers.problem() or Conf.link_paths.problem():
        return []  # said already
    found: Found = []
    for path in conf.notifiers:
        try:
            registry.configured(path)
        except ImproperlyConfigured as error:
            hint = "Name a class, such as 'shop.mails.ParcelNotifier', with a `kind` of its own."
            found.append(new_error("E020", f"{error}.", hint))
    if found:
        return found
    kinds = registry.kinds()
    for kind in conf.link_paths:
        if kind not in kinds:
            near = get_close_matches(kind, kinds, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(kinds)}."
            problem = f"AUTHMAIL_LINK_PATHS has a path for {kind!r}, and there is no such kind."
            found.append(new_warning("W020", problem, hint))
        elif "{token}" in conf.link_paths[kind] and not _takes_token(registry.get(kind)):
            problem = (
                f"AUTHMAIL_LINK_PATHS has {{token}} in the path for {kind!r}, and these mails have "
                "no token: they go without a link."
            )
            hint = "Name a page that needs no token, such as '/start'."
            found.append(new_warning("W021", problem, hint))
    return found


def _takes_token(notifier: type[Notifier]) -> bool:
    return "token" in signature(notifier.send).parameters
