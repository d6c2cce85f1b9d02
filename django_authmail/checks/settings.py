"""Checks of the settings one by one: types, names, sender, key, requirements."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.urls import get_resolver

from django_authmail import mailers
from django_authmail.checks.found import Apps, Found, new_error, new_warning
from django_authmail.conf import PREFIX, Conf, conf
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.extras import installed
from django_authmail.guards import envelope_address, safe_header

#: Contract, section 4. 32 characters of hex are 128 bits.
MIN_KEY_LENGTH = 32


_WEBHOOKS = f"{PREFIX}WEBHOOK_"
#: Of a project that is nothing but the service: ROOT_URLCONF itself, without a namespace.
_API_URLS = "django_authmail.api.urls"

# Django's default, which no mail server on the internet accepts.
_DJANGO_FROM = "webmaster@localhost"


SHORT_KEY = f"AUTHMAIL_API_KEY has less than {MIN_KEY_LENGTH} characters: it can be guessed."


SHORT_KEY_HINT = (
    "Make one with: python -c 'import secrets; print(secrets.token_hex(32))'. Or leave it empty "
    "and use keys of `manage.py authmail_key create`."
)


def check_settings(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at each AUTHMAIL_* setting by itself, and at USE_TZ."""
    found: Found = []
    known = [setting.name for setting in conf.all()]
    for name in conf.unknown_names():
        # Compared without the prefix, which would make any two names look alike.
        near = get_close_matches(
            name.removeprefix(PREFIX), [n.removeprefix(PREFIX) for n in known], n=1
        )
        meant = f"Did you mean {PREFIX}{near[0]}?" if near else "Remove it."
        found.append(new_warning("W001", f"There is no setting {name}; it has no effect.", meant))
    for setting in conf.all():
        if problem := setting.problem():
            hint = f"Correct it, or remove it to get the default, {setting.default!r}."
            found.append(new_error("E001", f"{setting.name} {problem}.", hint))
    if has_short_key():
        found.append(new_warning("W002", SHORT_KEY, SHORT_KEY_HINT))
    if not conf.use_tz:
        found.append(
            new_error(
                "E010",
                "USE_TZ is False: due times and leases would be compared with local times.",
                "Set USE_TZ = True. Pages may still show local time, by TIME_ZONE.",
            )
        )
    return found


def check_sender(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Look at DEFAULT_FROM_EMAIL, which every mail of this package is from."""
    hint = 'Set DEFAULT_FROM_EMAIL = "Your service <no-reply@your-domain.example>".'
    address = conf.default_from_email
    try:
        safe_header(address, "DEFAULT_FROM_EMAIL")
    except UnsafeHeader as error:
        return [new_error("E003", f"{error}.", f"It is one line. {hint}")]
    if address == _DJANGO_FROM:
        problem = f"DEFAULT_FROM_EMAIL is not set: mails would be from {_DJANGO_FROM}."
        return [new_error("E002", problem, hint)]
    try:
        envelope_address(address, "DEFAULT_FROM_EMAIL")
    except InvalidAddress as error:
        return [new_error("E002", f"{error}.", hint)]
    return []


def check_requirements(app_configs: Apps = None, **kwargs: Any) -> Found:
    """Ask whether what the settings switch on is installed."""
    found: Found = []
    if conf.metrics_enabled and not installed("prometheus_client"):
        found.append(
            new_warning(
                "W005",
                "AUTHMAIL_METRICS_ENABLED is True and prometheus-client is not installed: "
                "/metrics answers 404.",
                "Run: pip install 'django-authmail[metrics]'.",
            )
        )
    given = [s.name for s in conf.all() if s.name.startswith(_WEBHOOKS) and s.is_given()]
    if given and not installed("httpcore2"):
        found.append(
            new_warning(
                "W009",
                f"{given[0]} is set and httpcore2 is not installed: this process sends no webhook, "
                "and the API refuses requests that want one.",
                "Run: pip install 'django-authmail[webhooks]'. Or remove the setting.",
            )
        )
    if _serves_docs() and not apps.is_installed("drf_spectacular_sidecar"):
        found.append(
            new_warning(
                "W007",
                "AUTHMAIL_API_DOCS is on and drf_spectacular_sidecar is not in INSTALLED_APPS: "
                "/docs has no static files, and shows the bare description.",
                'Add "drf_spectacular_sidecar" to INSTALLED_APPS, or set AUTHMAIL_API_DOCS = '
                "False.",
            )
        )
    if mailers.unread():
        found.append(
            new_warning(
                "W008",
                "MAILERS is set, and this Django does not read it: send_mail(), and every app that "
                "uses it, goes to Django's own backend on localhost.",
                f'Set EMAIL_BACKEND = "{mailers.OUR_SMTP}" and the account in EMAIL_*. MAILERS '
                "holds for what goes through django_authmail.",
            )
        )
    return found


def mounts_api() -> bool:
    """Tell whether the project's URLs lead to the HTTP API, whatever stands before them."""
    urls = conf.root_urlconf
    return bool(urls) and (urls == _API_URLS or "authmail" in get_resolver().app_dict)


def _serves_docs() -> bool:
    return mounts_api() and not Conf.api_docs.problem() and conf.api_docs


def has_short_key() -> bool:
    return not Conf.api_key.problem() and 0 < len(conf.api_key) < MIN_KEY_LENGTH
