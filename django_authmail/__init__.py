"""Authentication mail for Django, through the team's own SMTP account."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from django_authmail.notifiers import (
        MagicLinkNotifier,
        Notifier,
        OTPNotifier,
        TemplateNotifier,
    )
    from django_authmail.outcomes import SendResult
    from django_authmail.smtp import SmtpConfig, SmtpSender

# Where each public name lives. Resolved at first use (PEP 562), because INSTALLED_APPS imports this
# module before settings and apps are ready, and because the SMTP core must not load the rest.
_HOMES = {
    "MagicLinkNotifier": "django_authmail.notifiers",
    "Notifier": "django_authmail.notifiers",
    "OTPNotifier": "django_authmail.notifiers",
    "SendResult": "django_authmail.outcomes",
    "SmtpConfig": "django_authmail.smtp",
    "SmtpSender": "django_authmail.smtp",
    "TemplateNotifier": "django_authmail.notifiers",
}

__all__ = [
    "MagicLinkNotifier",
    "Notifier",
    "OTPNotifier",
    "SendResult",
    "SmtpConfig",
    "SmtpSender",
    "TemplateNotifier",
]


def __getattr__(name: str) -> object:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
