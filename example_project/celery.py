"""The Celery application: `celery -A example_project worker` and `beat`."""

from __future__ import annotations

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import beat_init, celeryd_init, setup_logging
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

app = Celery("example_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_logging(**kwargs: Any) -> None:
    """Leave logging to LOGGING: with a receiver here, Celery does not set up its own."""


@celeryd_init.connect
@beat_init.connect
def require_broker(**kwargs: Any) -> None:
    """Stop a worker or beat that nobody would give a task."""
    # Not by the app's broker_url: Celery reads CELERY_BROKER_URL of the environment before its own.
    if not settings.AUTHMAIL_CELERY:
        sys.exit("CELERY_BROKER_URL is none: run `manage.py authmail_dispatch` instead of Celery.")


@celeryd_init.connect
@beat_init.connect
def log_notices(**kwargs: Any) -> None:
    """Report what the settings have to tell the operator."""
    # Imported when called: it reads the settings, which Celery loads after this module.
    from example_project import notices

    notices.log_notices()
