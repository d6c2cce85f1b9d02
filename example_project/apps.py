"""Wires the project together when Django starts."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks


class ExampleProjectConfig(AppConfig):
    name = "example_project"

    def ready(self) -> None:
        # The web server hands tasks to this Celery application: it must exist before the first.
        from example_project import celery  # noqa: F401
        from example_project.notices import check_environment

        checks.register(check_environment)
