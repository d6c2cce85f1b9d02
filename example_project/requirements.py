"""What must be installed, for the project itself and for what the environment names."""

from __future__ import annotations

import re
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

#: Transports whose URLs kombu splits as urlsplit does, and of them those with a number for a path.
_AMQP, _REDIS = frozenset({"amqp", "amqps", "pyamqp"}), frozenset({"redis", "rediss", "sentinel"})
#: A URL of which it is clear where its secrets are: before the only @, and behind the ?.
_CLEAR = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#@]*@)?"
    # More digits than a port has are a password that has lost its host.
    r"(?P<place>(?:[\w.-]+|\[[0-9a-f:.]+\])?(?::[0-9]{1,5})?(?:/[^?#@]*)?)(?P<query>\?[^#@]*)?",
    re.IGNORECASE,
)


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
    """Return a broker's URL, or several for failover, if Celery can use it."""
    # Imported when called: `require_service` comes first.
    from kombu.transport import TRANSPORT_ALIASES

    urls = [url.strip() for url in value.split(";")]
    if not all(re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://", url) for url in urls):
        # Shown in no part: a password with a semicolon in it is split there too.
        raise ImproperlyConfigured(f"{name} must be a URL (scheme://…), or {NO_BROKER}.")
    for url in urls:
        # redis+socket:///path/of/it
        scheme, _, way = url.partition("://")[0].lower().partition("+")
        problem = ""
        if scheme not in TRANSPORT_ALIASES:
            problem = (
                "it must start with redis://, amqp:// or filesystem://, or with another scheme"
                " that Celery knows"
            )
        elif scheme in _AMQP | _REDIS and not way:
            problem = _problem(url, numbered=scheme in _REDIS)
        if problem:
            raise ImproperlyConfigured(f"{name} is {_without_secrets(url)!r}; {problem}.")
        require_driver(name, scheme)
    return value


def _problem(url: str, *, numbered: bool) -> str:
    """Say what kombu could not read of a URL, in an error that shows parts of the password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it validates it
    except ValueError:
        return (
            "behind its host may be a port, up to 65535, and in a password / is %2F, # is %23 and"
            " ? is %3F"
        )
    if numbered and not re.fullmatch(r"/?|//|/[0-9]+", parts.path):
        return "its database must be a number, as in redis://host/0"
    return ""


def _without_secrets(url: str) -> str:
    """Return a URL with *** for user, password and query; its scheme alone if they are unclear."""
    clear = _CLEAR.fullmatch(url)
    if clear is None:
        return f"{url.partition('://')[0]}://***"
    user, query = "***@" if clear["user"] else "", "?***" if clear["query"] else ""
    return f"{clear['scheme']}{user}{clear['place']}{query}"


def _stop(what: str, missing: Sequence[str], extra: str) -> None:
    are = "is" if len(missing) == 1 else "are"
    raise ImproperlyConfigured(
        f"{what} needs {', '.join(missing)}, which {are} not installed. In the folder of"
        f" manage.py, run: pip install '.[{extra}]'"
    )
