"""The suite's URLs: the admin, and the API at the root as the example project mounts it."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("django_authmail.api.urls")),
]
