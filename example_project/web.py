"""What must hold before the web server takes its first request."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone

from example_project.notices import log_notices


def require_key() -> None:
    """Raise ImproperlyConfigured unless some key opens the API: nobody could call it."""
    if settings.AUTHMAIL_API_KEY:
        return
    # In a thread, because uvicorn imports the application inside its event loop, where Django
    # refuses queries.
    with ThreadPoolExecutor(max_workers=1) as thread:
        found = thread.submit(_database_has_a_key).result()
    if not found:
        raise ImproperlyConfigured(
            "API_KEY is not set and the database has no usable key, so nobody could call the API."
            " Make one with `manage.py authmail_key create --name NAME`, or set API_KEY."
        )


def start() -> None:
    """Check what the web server needs, and log what its operator should know."""
    require_key()
    log_notices()


def _database_has_a_key() -> bool:
    # Imported when called: models can be imported only after django.setup().
    from django_authmail.models import ApiKey

    usable = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    try:
        return ApiKey.objects.filter(usable, revoked_at=None).exists()
    except DatabaseError as error:
        raise ImproperlyConfigured(
            "API_KEY is not set, and DATABASE_URL leads to no database to look for a key in"
            f" ({error}). Run `manage.py migrate`, or set API_KEY."
        ) from None
    finally:
        connection.close()
