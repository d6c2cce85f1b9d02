"""Endpoints and deliveries for tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import ProgrammingError, connection

from django_authmail.models import WebhookDelivery, WebhookEndpoint
from django_authmail.sealing import seal, unseal

URL = "https://hooks.example.com/mail"


def endpoint(**changes: Any) -> WebhookEndpoint:
    row = WebhookEndpoint(**{"url": URL} | changes)
    row.sealed_secrets = seal(json.dumps({"id": str(row.pk), "secrets": []}).encode())
    row.save()
    return row


def payload(delivery: WebhookDelivery) -> dict[str, Any]:
    """Return what is posted."""
    assert delivery.sealed_payload is not None
    value: dict[str, Any] = json.loads(unseal(bytes(delivery.sealed_payload)))
    return value


def only() -> dict[str, Any]:
    """Return what the one delivery posts."""
    return payload(WebhookDelivery.objects.get())


def types() -> list[str]:
    """Return the types of all deliveries, oldest first."""
    return [d.type for d in WebhookDelivery.objects.order_by("created_at")]


@contextmanager
def meanwhile(statement: str, act: Callable[[], object], *, time: int = 1) -> Iterator[None]:
    """Do something once, just before the `time`-th statement that begins so is run."""
    left = [time]

    def run(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(statement):
            left[0] -= 1
            if left[0] == 0:
                act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(run):
        yield


def refuse() -> None:
    raise ProgrammingError("refused by the test")
