"""What the demo's pages have in common: they are only read, and may do next to nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

PAGE_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}';"
    " connect-src 'self'; frame-src 'self'; img-src 'self' data:; form-action 'none';"
    " base-uri 'none'; frame-ancestors 'none'"
)


def reading(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Let a view be read only, and its answer be kept by nobody: it may show a code."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = "no-referrer"
        return response

    return require_safe(never_cache(guarded))


def page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """Return a page that runs its own script and style, and nothing that came in from outside."""
    nonce = secrets.token_urlsafe(16)
    response = render(request, template, {**context, "nonce": nonce})
    response["Content-Security-Policy"] = PAGE_POLICY.format(nonce=nonce)
    return response
