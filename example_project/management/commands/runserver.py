"""`manage.py runserver`, on HOST and PORT, and only when the API can work."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands.runserver import Command as RunserverCommand

from example_project.web import require_ready


class Command(RunserverCommand):
    def handle(self, *args: Any, **options: Any) -> str | None:
        # Before the autoreloader, which would wait for a change of the code instead of stopping.
        require_ready()
        if ":" in settings.HOST:
            self.default_addr_ipv6 = settings.HOST
            options["use_ipv6"] = True
        else:
            self.default_addr = settings.HOST
        self.default_port = str(settings.PORT)
        return super().handle(*args, **options)
