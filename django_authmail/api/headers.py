"""What the request headers of this API mean."""

from __future__ import annotations

import re
import uuid

from django.http import HttpRequest

from django_authmail.api.problems import Problem

# draft-ietf-httpapi-idempotency-key-header has a string of RFC 8941 3.3.3: in quotes, with escapes.
# Bare is how most callers send it.
_BARE_KEY = r"[!#-~][!-~]{0,254}"
_QUOTED_KEY = r'"(?:[!#-\[\]-~]|\\["\\]){1,255}"'
#: What an Idempotency-Key looks like.
IDEMPOTENCY_KEY = f"^(?:{_BARE_KEY}|{_QUOTED_KEY})$"

# What stands between the commas of a list, quoted strings whole (RFC 9110 5.6.1 and 5.6.4).
_LISTED = re.compile(r'(?:[^,"]++|"(?:[^"\\]|\\.)*+"?)++')

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


def request_id(request: HttpRequest) -> str:
    """Return the caller's X-Request-ID if it is harmless in logs and headers, else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())


def idempotency_key(request: HttpRequest) -> str | None:
    """Return the Idempotency-Key, the same whether it is quoted or bare; None without one.

    Raises:
        Problem: idempotency_key_invalid.
    """
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    given = given.strip(" \t")
    if not re.fullmatch(IDEMPOTENCY_KEY, given):
        raise Problem("idempotency_key_invalid")
    return re.sub(r"\\(.)", r"\1", given[1:-1]) if given.startswith('"') else given


def dry_run(request: HttpRequest) -> bool:
    """Tell whether X-Dry-Run asks to check everything and send nothing."""
    return request.headers.get("X-Dry-Run", "").strip().lower() in ("1", "true", "yes")


def respond_async(request: HttpRequest) -> bool:
    """Tell whether Prefer has `respond-async` (RFC 7240, 4.1)."""
    return "respond-async" in _preferences(request)


def applied(request: HttpRequest) -> dict[str, str]:
    """Return the header that says that `respond-async` was heeded (RFC 7240, 3); none without."""
    return {"Preference-Applied": "respond-async"} if respond_async(request) else {}


def is_strict(request: HttpRequest) -> bool:
    """Tell whether Prefer has `handling=strict` (RFC 7240, 4.4): all that is asked, or an error."""
    return _preferences(request).get("handling") == "strict"


def _preferences(request: HttpRequest) -> dict[str, str]:
    found: dict[str, str] = {}
    for preference in _LISTED.findall(request.headers.get("Prefer", "")):
        name, _, value = preference.partition(";")[0].partition("=")
        # The first one counts (RFC 7240, 2).
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return found
