"""Django's admin: the send log, the mailers and the API keys."""

from django_authmail.admin.api_keys import ApiKeyAdmin
from django_authmail.admin.carriers import CarrierAdmin
from django_authmail.admin.send_log import MessageAdmin

__all__ = ["ApiKeyAdmin", "CarrierAdmin", "MessageAdmin"]
