"""The addresses of the page of received webhooks alone."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [path("webhooks/", include("example_project.webhook_inbox"))]
