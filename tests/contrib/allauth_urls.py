"""Addresses of the project with django-allauth and dj-rest-auth."""

from allauth.account import views
from django.http import HttpResponse
from django.urls import include, path

urlpatterns = [
    path("api/", include("dj_rest_auth.urls")),
    path("api/registration/", include("dj_rest_auth.registration.urls")),
    # The page of the project that dj-rest-auth's links lead to.
    path(
        "reset/<uidb64>/<token>/",
        lambda request, uidb64, token: HttpResponse(),
        name="password_reset_confirm",
    ),
    # allauth adds these if a setting is on while it is imported; one test switches it on later.
    path(
        "accounts/password/reset/confirm/",
        views.confirm_password_reset_code,
        name="account_confirm_password_reset_code",
    ),
    path(
        "accounts/password/reset/complete/",
        views.complete_password_reset,
        name="account_complete_password_reset",
    ),
    # Last: dj-rest-auth has one page of allauth's under the same name.
    path("accounts/", include("allauth.urls")),
]
