"""`{% load authmail %}`: what templates of mails need besides Django's own."""

from __future__ import annotations

from django.template import Library

from django_authmail.notifiers.money import format_currency

register = Library()
register.filter("format_currency", format_currency)
