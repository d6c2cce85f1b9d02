"""What the request headers of this API mean."""

from __future__ import annotations

import re
import uuid

from django.http import HttpRequest

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


def request_id(request: HttpRequest) -> str:
    """Return the caller's X-Request-ID if it is harmless in logs and headers, else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def dry_run(request: HttpRequest) -> bool:
    """Tell whether X-Dry-Run asks to check everything and send nothing."""
    return request.headers.get("X-Dry-Run", "").strip().lower() in ("1", "true", "yes")


def respond_async(request: HttpRequest) -> bool:
    """Tell whether Prefer has `respond-async` (RFC 7240, 4.1)."""
    preferences = request.headers.get("Prefer", "").split(",")
    return any(p.partition(";")[0].strip().lower() == "respond-async" for p in preferences)
