"""The HTTP API. Include `django_authmail.api.urls` to serve it."""

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from django_authmail import extras

# Here, before any module below imports them: a missing one is then named, with what brings it.
for _module in ("rest_framework", "drf_spectacular", "drf_spectacular_sidecar"):
    extras.require(_module, extra="api", why="The HTTP API (django_authmail.api)")
# The models below would say that they have no app_label, which helps nobody.
if apps.apps_ready and not apps.is_installed("django_authmail"):
    raise ImproperlyConfigured(
        "The HTTP API (django_authmail.api) needs 'django_authmail' in INSTALLED_APPS"
    )
