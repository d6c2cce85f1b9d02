"""Django's admin: send log, mailers, API keys, suppressed addresses, and webhooks."""

from django_authmail.admin.api_keys import ApiKeyAdmin
from django_authmail.admin.carriers import CarrierAdmin
from django_authmail.admin.send_log import MessageAdmin
from django_authmail.admin.suppressions import SuppressionAdmin
from django_authmail.admin.webhook_deliveries import WebhookDeliveryAdmin
from django_authmail.admin.webhook_endpoints import WebhookEndpointAdmin

__all__ = [
    "ApiKeyAdmin",
    "CarrierAdmin",
    "MessageAdmin",
    "SuppressionAdmin",
    "WebhookDeliveryAdmin",
    "WebhookEndpointAdmin",
]
