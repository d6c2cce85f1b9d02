"""From Django to an SMTP server: a core without Django, and the email backend on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_authmail.smtp.config import SmtpConfig
from django_authmail.smtp.errors import DeliveryFailed
from django_authmail.smtp.sender import SmtpSender

if TYPE_CHECKING:
    from django_authmail.smtp.backend import EmailBackend

__all__ = ["DeliveryFailed", "EmailBackend", "SmtpConfig", "SmtpSender"]


def __getattr__(name: str) -> object:
    # The backend class is Django's subclass; the core above must load without it (PEP 562).
    if name == "EmailBackend":
        from django_authmail.smtp.backend import EmailBackend

        return EmailBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
