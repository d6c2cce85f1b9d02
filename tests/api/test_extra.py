"""What happens where the requirements of the API are not installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("missing", ["rest_framework", "drf_spectacular"])
def test_a_missing_requirement_is_named_with_its_extra(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None\nimport django_authmail.api.urls"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "django_authmail.exceptions.MissingExtra: The HTTP API (django_authmail.api) needs the "
        f"package {missing!r}, which is not installed; run: pip install 'django-authmail[api]'"
    )


def test_the_api_without_the_app_says_what_to_add() -> None:
    program = (
        "import django\nfrom django.conf import settings\n"
        "settings.configure(INSTALLED_APPS=['django.contrib.contenttypes'])\n"
        "django.setup()\nimport django_authmail.api.urls"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "django.core.exceptions.ImproperlyConfigured: The HTTP API (django_authmail.api) needs "
        "'django_authmail' in INSTALLED_APPS"
    )


def test_metrics_without_their_library_are_those_that_are_off() -> None:
    """As hwan-email-service answers; the hint tells the two apart."""
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "import django\nfrom django.conf import settings\n"
        "settings.configure(\n"
        "    INSTALLED_APPS=['django.contrib.contenttypes', 'django_authmail'], USE_TZ=True,\n"
        "    ALLOWED_HOSTS=['testserver'], ROOT_URLCONF='django_authmail.api.urls',\n"
        "    AUTHMAIL_METRICS_ENABLED=True,\n"
        ")\n"
        "django.setup()\nfrom django.test import Client\n"
        "print(Client().get('/metrics').content.decode())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    body = json.loads(done.stdout)
    assert (body["status"], body["detail"]) == (404, "metrics disabled")
    assert "django-authmail[metrics]" in body["hint"]
