"""The composition root: what is registered and connected when Django starts."""

from __future__ import annotations

from collections.abc import Mapping

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class AuthmailConfig(AppConfig):
    name = "django_authmail"
    label = "authmail"
    verbose_name = _("Authentication mail")
    default_auto_field = "django.db.models.BigAutoField"

    #: What checks and hints say in place of words of theirs: for a project whose operators write
    #: something else than settings. Override it in a subclass, and name that in INSTALLED_APPS.
    words: Mapping[str, str] = {}

    def ready(self) -> None:
        # Models must be loaded before these.
        from django_authmail import checks, metrics, tasks
        from django_authmail.notifiers.delivery import ask_before_sending
        from django_authmail.outbox import gauges, limits
        from django_authmail.signals import message_changed

        checks.register(self.words)
        tasks.connect()
        message_changed.connect(metrics.count_message, dispatch_uid="django_authmail.metrics")
        metrics.read_at_scrape(gauges.readings)
        ask_before_sending(limits.admit_for_notifier)
        # A project's own kinds of mail, as the admin finds `admin` modules.
        autodiscover_modules("authmail")
