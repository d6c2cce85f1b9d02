"""The composition root: what is registered and connected when Django starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _


class AuthmailConfig(AppConfig):
    name = "django_authmail"
    label = "authmail"
    verbose_name = _("Authentication mail")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django_authmail import checks, tasks  # models must be loaded before these

        checks.register()
        tasks.connect()
        # A project's own kinds of mail, as the admin finds `admin` modules.
        autodiscover_modules("authmail")
