"""Which endpoint of webhooks is meant by what was typed, and what is said of one."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandError
from django.db import router

from django_authmail.management.moments import iso
from django_authmail.models import ApiKey, WebhookEndpoint


def using() -> str:
    """Return the database that endpoints are in."""
    return router.db_for_write(WebhookEndpoint)


def endpoint(given: str) -> WebhookEndpoint:
    """Return the one endpoint that goes by an id or how that begins, a description or a URL."""
    rows = [row for row in WebhookEndpoint.objects.using(using()) if _is_meant(row, given)]
    if not rows:
        raise CommandError(
            "No endpoint has this id, description or URL. `authmail_webhook list` shows them all."
        )
    if len(rows) > 1:
        raise CommandError(f"{len(rows)} endpoints go by this. Give the id: {listed(rows)}")
    return rows[0]


def listed(rows: Iterable[WebhookEndpoint]) -> str:
    """Return the ids of endpoints, and what tells them apart."""
    oldest_first = sorted(rows, key=lambda row: row.created_at)
    return ", ".join(
        f"{row.pk} (made at {row.created_at:%Y-%m-%d %H:%M:%S} UTC)" for row in oldest_first
    )


def _is_meant(row: WebhookEndpoint, given: str) -> bool:
    begins = len(given) >= 4 and str(row.pk).startswith(given.lower())
    return begins or given in (row.pk.hex, row.description, row.url)


def owner(given: str) -> str:
    """Return whose messages are meant, as in `Message.owner`."""
    if given in ("", "site"):
        return given
    keys = ApiKey.objects.using(router.db_for_write(ApiKey))
    try:
        found = keys.filter(pk=uuid.UUID(given))
    except ValueError:
        prefix = given.removesuffix("…")
        # What all keys begin with names none of them.
        is_long = len(prefix) > len("am_live_")
        found = keys.filter(prefix__startswith=prefix) if is_long else keys.none()
    holders = set(found.values_list("holder", flat=True))
    if len(holders) != 1:
        raise CommandError(
            f"--owner: {len(holders) or 'no'} keys have this prefix or id. `authmail_key list` "
            "shows them all."
        )
    return f"key:{holders.pop()}"


def state(row: WebhookEndpoint) -> str:
    """Return whether an endpoint is sent to, and what is wrong with it."""
    if row.enabled:
        since = row.failing_since
        return "enabled" if since is None else f"failing since {since:%Y-%m-%d %H:%M} UTC"
    why = f" ({row.disabled_reason})" if row.disabled_reason else ""
    when = f" since {row.disabled_at:%Y-%m-%d %H:%M} UTC" if row.disabled_at else ""
    return f"disabled{when}{why}"


def facts(row: WebhookEndpoint) -> dict[str, Any]:
    """Return what is printed of an endpoint as JSON."""
    times = ("created_at", "failing_since", "disabled_at")
    return {
        "id": str(row.pk),
        "url": row.url,
        "description": row.description,
        "event_types": row.event_types,
        "owner": row.owner,
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        **{name: iso(getattr(row, name)) for name in times},
    }
