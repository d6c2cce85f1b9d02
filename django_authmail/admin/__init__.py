"""Django's admin: the send log, the mailers, the API keys and the suppressed addresses."""

from django_authmail.admin.api_keys import ApiKeyAdmin
from django_authmail.admin.carriers import CarrierAdmin
from django_authmail.admin.send_log import MessageAdmin
from django_authmail.admin.suppressions import SuppressionAdmin

__all__ = ["ApiKeyAdmin", "CarrierAdmin", "MessageAdmin", "SuppressionAdmin"]
