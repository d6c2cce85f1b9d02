"""What checks and hints call the settings that an operator of this project cannot write."""

from __future__ import annotations

from django_authmail.apps import AuthmailConfig
from django_authmail.conf import EMAIL_NAMES
from example_project.names import LINK_PATHS

#: Options of the mail account, and their names in the environment.
_ACCOUNT = {
    "host": "SMTP_HOST",
    "port": "SMTP_PORT",
    "username": "SMTP_USER",
    "password": "SMTP_PASSWORD",
    "use_tls": "SMTP_USE_TLS",
    "use_ssl": "SMTP_USE_SSL",
}


class ServiceMailConfig(AuthmailConfig):
    """django_authmail, with checks and hints that speak of the environment."""

    words = {
        **{f'MAILERS[\'default\']["OPTIONS"]["{name}"]': _ACCOUNT[name] for name in _ACCOUNT},
        **{EMAIL_NAMES[name]: _ACCOUNT[name] for name in _ACCOUNT},
        "AUTHMAIL_API_DOCS = False": "API_DOCS=false",
        "AUTHMAIL_API_DOCS": "API_DOCS",
        "; silence this check if": "; leave it if",
        "AUTHMAIL_API_KEY": "API_KEY",
        "AUTHMAIL_CAPTURE_DIR": "EMAIL_TEST_CAPTURE_DIR",
        "AUTHMAIL_CELERY is True": "CELERY_BROKER_URL is not none",
        "set AUTHMAIL_CELERY = False": "set CELERY_BROKER_URL=none",
        "Use Redis or RabbitMQ.": "Set CELERY_BROKER_URL to Redis or RabbitMQ.",
        "AUTHMAIL_IDEMPOTENCY_TTL_SECONDS": "API_IDEMPOTENCY_TTL_SECONDS",
        "AUTHMAIL_LINK_BASE_URL": "MAGIC_LINK_BASE_URL",
        **{
            f"AUTHMAIL_LINK_PATHS has {{token}} in the path for {kind!r}": f"{name} has {{token}}"
            for kind, name in LINK_PATHS.items()
        },
        "AUTHMAIL_METRICS_ENABLED is True": "METRICS_ENABLED is on",
        "AUTHMAIL_METRICS_ENABLED": "METRICS_ENABLED",
        "AUTHMAIL_METRICS_REQUIRE_AUTH = True": "METRICS_REQUIRE_AUTH=true",
        "AUTHMAIL_SMTP_CA_FILE": "SMTP_CA_FILE",
        "AUTHMAIL_SMTP_DEBUG to False": "EMAIL_SERVICE_DEBUG to false",
        "AUTHMAIL_SMTP_DEBUG": "EMAIL_SERVICE_DEBUG",
        "AUTHMAIL_TRUSTED_PROXIES": "TRUSTED_PROXIES",
        "AUTHMAIL_WEBHOOK_ALLOW_HOSTS": "WEBHOOK_ALLOW_HOSTS",
        "AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK is True": "WEBHOOK_ALLOW_LOOPBACK is on",
        "AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK": "WEBHOOK_ALLOW_LOOPBACK",
        "AUTHMAIL_WEBHOOK_CA_FILE": "WEBHOOK_CA_FILE",
        "AUTHMAIL_WEBHOOK_SIGNATURE_V1 is True": "WEBHOOK_SIGNATURE_V1 is on",
        "AUTHMAIL_WEBHOOK_SIGNATURE_V1 = False": "WEBHOOK_SIGNATURE_V1=false",
        "Use a cache that processes share: Redis or Memcached.": (
            "Set CACHE_URL to one that processes share: redis://host/1."
        ),
        "django-authmail[": ".[",
    }
