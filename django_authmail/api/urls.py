"""The addresses of the API: `path("", include("django_authmail.api.urls"))`."""

from __future__ import annotations

from django.urls import path, re_path

from django_authmail.api import docs, kinds, views

app_name = "authmail"

urlpatterns = [
    path("send", kinds.SendRawView.as_view(), name="send"),
    path("send/otp", kinds.SendOTPView.as_view(), name="send-otp"),
    path("send/magic-link", kinds.SendMagicLinkView.as_view(), name="send-magic-link"),
    path("send/password-reset", kinds.SendPasswordResetView.as_view(), name="send-password-reset"),
    path(
        "send/email-verification",
        kinds.SendEmailVerificationView.as_view(),
        name="send-email-verification",
    ),
    path("send/invitation", kinds.SendInvitationView.as_view(), name="send-invitation"),
    path("send/template", kinds.SendTemplateView.as_view(), name="send-template"),
    # Any text, not <uuid:>: what is no UUID gets a problem and not the project's HTML page.
    path("messages/<str:message_id>", views.MessageView.as_view(), name="message"),
    path("health", views.HealthView.as_view(), name="health"),
    path("health/live", views.LiveView.as_view(), name="live"),
    path("health/ready", views.ReadyView.as_view(), name="ready"),
    path("metrics", views.MetricsView.as_view(), name="metrics"),
    path("openapi.json", docs.OpenAPIView.as_view(), name="openapi"),
    path("docs", docs.DocsView.as_view(), name="docs"),
    path("redoc", docs.RedocView.as_view(), name="redoc"),
    path("docs/errors", docs.ErrorsView.as_view(), name="errors"),
    # What callers mistype. No more than that: a project may have addresses of its own below the
    # same prefix, and those of its other apps may come after these.
    re_path(r"^(?:send|health)/", views.NotFoundView.as_view()),
    path("messages/<uuid:message_id>/", views.NotFoundView.as_view()),
]
