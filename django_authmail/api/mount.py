"""Where the project has this API: below which prefix, under which namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

# The prefix may capture values of its own, as `<slug:tenant>/mail/` does.
_OWN = frozenset(("message_id",))


def own(captured: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that an address of this API captures, without those of its prefix."""
    return {name: value for name, value in captured.items() if name in _OWN}


def link(request: HttpRequest, name: str, **values: Any) -> str:
    """Return the path of another address of this API, at the mount that `request` came to.

    Raises:
        NoReverseMatch: the request came to no mount, and the project has none that needs no value.
    """
    match = request.resolver_match
    # A project's handler404 answers for addresses that are not of this API, too.
    if match is None or match.app_names[-1:] != ["authmail"]:
        return reverse(f"authmail:{name}", kwargs=values)
    given = match.extra_kwargs  # type: ignore[attr-defined] # the stubs do not have it
    others = _OWN.union(given or ())
    prefix = {name: value for name, value in match.kwargs.items() if name not in others}
    return reverse(f"{match.namespace}:{name}", kwargs=prefix | values)
