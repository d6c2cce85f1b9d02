"""Wires the project together when Django starts."""

from __future__ import annotations

import sys
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

from example_project.commands import COUNTING, management_command
from example_project.environment import Environment
from example_project.files import make_folder
from example_project.metrics import share_metrics


class ExampleProjectConfig(AppConfig):
    name = "example_project"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Here and not in `ready`: this is the first app, and others import prometheus_client.
        if management_command(sys.argv) in COUNTING:
            share_metrics(Environment.load())

    def ready(self) -> None:
        if management_command(sys.argv) not in ("help", "version"):
            _make_folders()
        # The web server hands tasks to this Celery application: it must exist before the first.
        from example_project import celery  # noqa: F401
        from example_project.notices import check_environment

        checks.register(check_environment)


def _make_folders() -> None:
    """Make the folders that this process keeps things in, and the key that protects them."""
    # Here and not in the settings: to import them, or to ask for help, must leave no file behind.
    for folder in getattr(settings, "OWN_FOLDERS", ()):
        make_folder(folder, name="DATA_DIR")
    str(settings.SECRET_KEY)
