"""Kinds of mail: each a class with a typed context and its own templates, in Korean and English."""

from __future__ import annotations

from django_authmail.notifiers.base import Notifier
from django_authmail.notifiers.otp import OTPContext, OTPNotifier
from django_authmail.notifiers.registry import get, kinds, register

__all__ = ["Notifier", "OTPContext", "OTPNotifier", "get", "kinds", "register"]
