"""The ASGI application: `uvicorn example_project.asgi:application`."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
django_application = get_asgi_application()

# Each request has a thread of its own here, so a connection kept for the next one is only leaked.
for database in connections.settings.values():
    database["CONN_MAX_AGE"] = 0

# These need the apps that were just loaded.
from django_authmail.api.asgi import limit_bodies  # noqa: E402
from example_project import web  # noqa: E402

application = limit_bodies(django_application)
web.start()
