"""Kinds of mail: each a class with a typed context and its own templates, in Korean and English."""

from __future__ import annotations

from django_authmail.notifiers.base import Notifier, Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.magic_link import MagicLinkContext, MagicLinkNotifier
from django_authmail.notifiers.otp import OTPContext, OTPNotifier
from django_authmail.notifiers.password_reset import PasswordResetContext, PasswordResetNotifier
from django_authmail.notifiers.registry import get, kinds, register
from django_authmail.notifiers.values import clean_name

__all__ = [
    "LinkNotifier",
    "MagicLinkContext",
    "MagicLinkNotifier",
    "Notifier",
    "OTPContext",
    "OTPNotifier",
    "Options",
    "PasswordResetContext",
    "PasswordResetNotifier",
    "clean_name",
    "get",
    "kinds",
    "register",
    "sends",
]
