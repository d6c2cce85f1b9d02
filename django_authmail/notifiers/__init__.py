"""Kinds of mail: each a class with a typed context and its own templates, in Korean and English."""

from __future__ import annotations

from django_authmail.notifiers.base import Notifier, Options, sends
from django_authmail.notifiers.email_verification import (
    EmailVerificationContext,
    EmailVerificationNotifier,
)
from django_authmail.notifiers.invitation import InvitationContext, InvitationNotifier
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.magic_link import MagicLinkContext, MagicLinkNotifier
from django_authmail.notifiers.money import format_currency
from django_authmail.notifiers.otp import OTPContext, OTPNotifier
from django_authmail.notifiers.password_reset import PasswordResetContext, PasswordResetNotifier
from django_authmail.notifiers.payment_receipt import (
    LineItem,
    PaymentReceiptContext,
    PaymentReceiptNotifier,
)
from django_authmail.notifiers.registry import get, kinds, register
from django_authmail.notifiers.security_notice import (
    SecurityEvent,
    SecurityNoticeContext,
    SecurityNoticeNotifier,
)
from django_authmail.notifiers.template import TemplateNotifier
from django_authmail.notifiers.values import clean_name
from django_authmail.notifiers.welcome import WelcomeContext, WelcomeNotifier

__all__ = [
    "EmailVerificationContext",
    "EmailVerificationNotifier",
    "InvitationContext",
    "InvitationNotifier",
    "LineItem",
    "LinkNotifier",
    "MagicLinkContext",
    "MagicLinkNotifier",
    "Notifier",
    "OTPContext",
    "OTPNotifier",
    "Options",
    "PasswordResetContext",
    "PasswordResetNotifier",
    "PaymentReceiptContext",
    "PaymentReceiptNotifier",
    "SecurityEvent",
    "SecurityNoticeContext",
    "SecurityNoticeNotifier",
    "TemplateNotifier",
    "WelcomeContext",
    "WelcomeNotifier",
    "clean_name",
    "format_currency",
    "get",
    "kinds",
    "register",
    "sends",
]
