"""Checks of what is a risk in production alone (`check --deploy`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import connections, router

from django_authmail import counting, metrics, tasks
from django_authmail.checks.accounts import place, smtp_mailers
from django_authmail.checks.found import Apps, Found, new_error, new_warning
from django_authmail.checks.queues import _WITHOUT_BROKER
from django_authmail.checks.settings import SHORT_KEY, SHORT_KEY_HINT, has_short_key, mounts_api
from django_authmail.conf import Conf, conf
from django_authmail.models import Message


def check_deployed_settings(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look for settings that are for development and tests."""
    found: Found = []
    if has_short_key():
        found.append(new_error("E101", SHORT_KEY, SHORT_KEY_HINT))
    serves_api = mounts_api()
    if serves_api and conf.metrics_enabled and not conf.metrics_require_auth:
        found.append(
            new_warning(
                "W102",
                "/metrics answers everybody: volumes and failures are readable without a key.",
                "Set AUTHMAIL_METRICS_REQUIRE_AUTH = True, or keep the path off the internet.",
            )
        )
    if conf.metrics_enabled and metrics.available() and not metrics.shared():
        found.append(
            new_warning(
                "W110",
                "Each process counts for itself: /metrics shows what the one that answers did, and "
                "nothing that a worker sent.",
                "Before the web server and the workers start, set the environment variable "
                "PROMETHEUS_MULTIPROC_DIR to one folder for all of them.",
            )
        )
    for where in _where_set("smtp_debug", "debug"):
        found.append(
            new_warning(
                "W103",
                f"{where} is on: the SMTP dialogue goes to the logs. It has no content, no login "
                "and no whole address, but it fills them.",
                f"Set {where} to False.",
            )
        )
    for where in _where_set("capture_dir", "capture_dir"):
        found.append(
            new_error(
                "E104",
                f"{where} is set: mails are written into a folder, and none is sent.",
                f"Remove {where}; it is for tests.",
            )
        )
    if conf.webhook_allow_loopback:
        found.append(
            new_error(
                "E105",
                "AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK is True: whoever has an API key can make this "
                "server send requests to itself and to its private network.",
                "Remove AUTHMAIL_WEBHOOK_ALLOW_LOOPBACK; it is for tests.",
            )
        )
    if conf.webhook_allow_http:
        found.append(
            new_warning(
                "W112",
                "AUTHMAIL_WEBHOOK_ALLOW_HTTP is True: webhooks may cross the internet readable, "
                "and anybody on the way can answer them.",
                "Remove it, and name receivers of your own network in "
                "AUTHMAIL_WEBHOOK_ALLOW_HOSTS.",
            )
        )
    if conf.webhook_signature_v1:
        found.append(
            new_warning(
                "W113",
                "AUTHMAIL_WEBHOOK_SIGNATURE_V1 is True: webhooks have a signature too that does "
                "not cover the time, so that whoever saw one can send it again.",
                "Set AUTHMAIL_WEBHOOK_SIGNATURE_V1 = False when receivers verify "
                "X-Email-Service-Signature-V2 or webhook-signature: docs/webhooks.md.",
            )
        )
    if conf.has_proxy and not conf.trusted_proxies:
        found.append(
            new_warning(
                "W111",
                "SECURE_PROXY_SSL_HEADER says that there is a proxy, and AUTHMAIL_TRUSTED_PROXIES "
                "that there is none: all clients have its address, so that keys bound to a network "
                "fit everybody or nobody.",
                "Set AUTHMAIL_TRUSTED_PROXIES to how many proxies add to X-Forwarded-For.",
            )
        )
    if serves_api and conf.api_docs:
        found.append(
            new_warning(
                "W106",
                "/docs and /openapi.json are open to everybody.",
                "Set AUTHMAIL_API_DOCS = False if the API is reachable from the internet; silence "
                "this check if the docs are meant to be public.",
            )
        )
    return found


def check_deployed_services(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at the cache, the broker and the database that the project names."""
    found: Found = []
    # Only the API counts there.
    if mounts_api() and (why := counting.why_not_exact()):
        found.append(
            new_warning(
                "W107",
                f"The cache {conf.limits_cache!r} {why}: requests of API keys are counted in the "
                "database, one more write for each, and failed authentications not for all "
                "processes together.",
                "Use a cache that processes share: Redis or Memcached.",
            )
        )
    if options := counting.missing_timeouts():
        found.append(
            new_warning(
                "W114",
                f"The cache {conf.limits_cache!r} has no timeout: where its server accepts "
                "connections and is silent, requests wait as long as its client library does, for "
                "ever with most versions.",
                f'Add {options} to CACHES[{conf.limits_cache!r}]["OPTIONS"].',
            )
        )
    # The rest of the URL may hold a password.
    scheme = (tasks.broker_url() or "").partition("://")[0] if conf.celery else ""
    if scheme in ("filesystem", "memory"):
        found.append(
            new_error(
                "E108",
                f"The Celery broker is {scheme}://, which loses tasks when a worker stops, or "
                "never passes them to another process.",
                f"Use Redis or RabbitMQ. {_WITHOUT_BROKER}",
            )
        )
    alias = router.db_for_write(Message)
    database = connections[alias]
    mode = str(database.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED").upper()
    if database.vendor == "sqlite" and mode == "DEFERRED":
        found.append(
            new_warning(
                "W109",
                f"The database {alias!r} is SQLite without transaction_mode IMMEDIATE: two workers "
                'that write at once get "database is locked".',
                f'Set DATABASES[{alias!r}]["OPTIONS"]["transaction_mode"] = "IMMEDIATE".',
            )
        )
    return found


def _where_set(setting: str, option: str) -> Iterator[str]:
    """Yield the places where an option of our SMTP backend is on: the setting, then MAILERS."""
    if getattr(conf, setting):
        yield getattr(Conf, setting).name
    for alias, given in smtp_mailers():
        if given.options.get(option):
            yield place(alias, option)
