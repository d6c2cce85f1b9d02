"""What must hold before the web server takes its first request."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections
from django.db.models import Q
from django.urls import get_resolver
from django.utils import timezone

from django_authmail import tasks
from django_authmail.management.database import told
from django_authmail.management.tables import missing_tables
from example_project.notices import log_notices

logger = logging.getLogger(__name__)


def require_ready() -> None:
    """Raise ImproperlyConfigured unless the tables are there, and a key that opens the API."""
    # In a thread, because uvicorn imports the application inside its event loop, where Django
    # refuses queries.
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(_look_into_the_database).result()


def start() -> None:
    """Check what the web server needs, and log what its operator should know."""
    require_ready()
    # Imports all that an answer needs: else the first caller of each worker waits for it.
    get_resolver().url_patterns  # noqa: B018 - a property that imports
    tasks.warm_publisher()
    log_notices()


def _look_into_the_database() -> None:
    try:
        if tables := missing_tables():
            raise ImproperlyConfigured(
                f"The database of DATABASE_URL has no table {tables[0]}. Run `manage.py migrate`."
            )
        if not settings.AUTHMAIL_API_KEY and not _has_a_key():
            raise ImproperlyConfigured(
                "API_KEY is not set and the database has no usable key, so nobody could call the"
                " API. Make one with `manage.py authmail_key create --name NAME`, or set API_KEY."
            )
    except Error as error:
        if settings.AUTHMAIL_API_KEY:
            # It may be restarting. Until it answers, so does this server, by 503.
            logger.warning("DATABASE_URL: %s", told(error))
            return
        raise ImproperlyConfigured(
            "API_KEY is not set, and DATABASE_URL leads to no database to look for a key in."
            f" {told(error)}"
        ) from None
    finally:
        connections.close_all()


def _has_a_key() -> bool:
    # Imported when called: models can be imported only after django.setup().
    from django_authmail.models import ApiKey

    usable = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(usable, revoked_at=None).exists()
