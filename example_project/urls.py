"""The API at the root, the admin, and the demo's pages where there are some."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

urlpatterns: list[URLPattern | URLResolver] = [
    # Somebody who opens the address that the server printed; callers know theirs.
    path("", RedirectView.as_view(pattern_name="authmail:docs")),
    path("admin/", admin.site.urls),
    path("", include("django_authmail.api.urls")),
]
# The service is for other services, which read JSON.
handler400 = "django_authmail.api.views.bad_request"
handler404 = "django_authmail.api.views.not_found"
if settings.DEMO_INBOX_DIR:
    urlpatterns.insert(0, path("inbox/", include("example_project.inbox")))
if settings.DEMO_WEBHOOKS_DIR:
    urlpatterns.insert(0, path("webhooks/", include("example_project.webhook_inbox")))
