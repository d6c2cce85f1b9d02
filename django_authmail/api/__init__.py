"""The HTTP API. Include `django_authmail.api.urls` to serve it."""

from django_authmail import extras

# Here, before any module below imports them: a missing one is then named, with what brings it.
for _module in ("rest_framework", "drf_spectacular", "drf_spectacular_sidecar"):
    extras.require(_module, extra="api", why="The HTTP API (django_authmail.api)")
