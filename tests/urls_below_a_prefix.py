"""The URLs of a project that has the API below others of its own."""

from django.urls import include, path

urlpatterns = [
    path("internal/", include([path("mail/", include("django_authmail.api.urls"))])),
]
