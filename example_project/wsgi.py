"""The WSGI application: `gunicorn example_project.wsgi`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")
application = get_wsgi_application()

from example_project import web  # noqa: E402 - the check needs the apps that were just loaded

web.start()
