"""What must be installed, for the project itself and for what the environment names."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from django_authmail.extras import installed

#: Imported by every process of the project.
SERVICE = (
    "celery",
    "cryptography",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "httpcore2",
    "rest_framework",
    "whitenoise",
)
#: As CELERY_BROKER_URL: no Celery, `manage.py authmail_dispatch` sends.
NO_BROKER = "none"
#: The modules of which one must be there for an engine or a scheme, and the extra that brings one.
_DRIVERS = {
    "django.db.backends.postgresql": (("psycopg", "psycopg2"), "postgres"),
    "django.db.backends.mysql": (("MySQLdb",), "mysql"),
    "django.core.cache.backends.redis.RedisCache": (("redis",), "redis"),
    "redis": (("redis",), "redis"),
    "rediss": (("redis",), "redis"),
    "sentinel": (("redis",), "redis"),
}


def require_service() -> None:
    """Raise ImproperlyConfigured where the extra `service` was not installed."""
    missing = [module for module in SERVICE if not installed(module)]
    if missing:
        _stop("The example project", missing, "service")


def require_demo() -> None:
    """Raise ImproperlyConfigured where the extra `demo` was not installed."""
    missing = [module for module in (*SERVICE, "aiosmtpd", "uvicorn") if not installed(module)]
    if missing:
        _stop("The demo", missing, "demo")


def require_driver(name: str, what: str) -> None:
    """Raise ImproperlyConfigured where what the variable `name` asks for needs an extra."""
    modules, extra = _DRIVERS.get(what, ((), ""))
    if modules and not any(map(installed, modules)):
        _stop(name, modules[:1], extra)


def broker(name: str, value: str) -> str:
    """Return a broker's URL, or several for failover, if Celery has a transport for it."""
    # Imported when called: `require_service` comes first.
    from kombu.transport import TRANSPORT_ALIASES

    for url in value.split(";"):
        # Errors never show the URL: it may hold a password.
        try:
            scheme = urlsplit(url.strip()).scheme
        except ValueError:
            raise ImproperlyConfigured(f"{name} is not a valid URL.") from None
        # redis+socket:///path/of/it
        scheme = scheme.partition("+")[0]
        if "://" not in url or not scheme:
            raise ImproperlyConfigured(f"{name} must be a URL (scheme://…), or {NO_BROKER}.")
        if scheme not in TRANSPORT_ALIASES:
            raise ImproperlyConfigured(
                f"{name} must start with redis://, amqp:// or filesystem://, or with another"
                f" scheme that Celery knows, not {scheme}://."
            )
        require_driver(name, scheme)
    return value


def _stop(what: str, missing: Sequence[str], extra: str) -> None:
    are = "is" if len(missing) == 1 else "are"
    raise ImproperlyConfigured(
        f"{what} needs {', '.join(missing)}, which {are} not installed. In the folder of"
        f" manage.py, run: pip install '.[{extra}]'"
    )
