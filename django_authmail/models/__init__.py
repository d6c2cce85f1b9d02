"""The rows: what is recorded about messages, the API's keys, and webhooks. No behaviour here."""

from __future__ import annotations

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

if not apps.is_installed("django_authmail"):
    raise ImproperlyConfigured(
        "The outbox has tables: add 'django_authmail' to INSTALLED_APPS, and run manage.py migrate."
    )

from django_authmail.models.keys import ApiKey
from django_authmail.models.outbox import (
    OPEN_STATES,
    Attempt,
    Carrier,
    Counter,
    IdempotencyRecord,
    Message,
    Priority,
    Recipient,
    State,
    Suppression,
)
from django_authmail.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "OPEN_STATES",
    "ApiKey",
    "Attempt",
    "Carrier",
    "Counter",
    "IdempotencyRecord",
    "Message",
    "Priority",
    "Recipient",
    "State",
    "Suppression",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
