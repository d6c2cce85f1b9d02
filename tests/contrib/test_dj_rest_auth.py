"""dj-rest-auth without django-allauth: its password reset sends a mail of this package."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django.fixtures import Settings

from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

TO = "hong@example.com"

urlpatterns = [
    path("api/", include("dj_rest_auth.urls")),
    # The page of the project that the link leads to.
    path(
        "reset/<uidb64>/<token>/",
        lambda request, uidb64, token: HttpResponse(),
        name="password_reset_confirm",
    ),
]


@pytest.fixture(autouse=True)
def _project(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"


def ask(email: str, **headers: str) -> Any:  # the test client's response
    return Client().post("/api/password/reset/", {"email": email}, headers=headers)


def test_the_link_in_the_mail_sets_a_new_password(smtp_server: SmtpServer) -> None:
    user = User.objects.create_user("hong", email=TO, password="a-password")
    known, unknown = ask(TO, Host="evil.example"), ask("nobody@example.com", Host="evil.example")
    assert (known.status_code, known.json()) == (unknown.status_code, unknown.json())
    assert known.status_code == 200
    [received] = smtp_server.mails
    assert received.mail["Subject"] == "Reset your password"
    assert "evil" not in received.text + received.html
    [(uid, token)] = re.findall(r"https://app\.example\.com/reset/(\w+)/(\S+)/", received.text)
    new = {"new_password1": "another-password-9", "new_password2": "another-password-9"}
    response = Client().post("/api/password/reset/confirm/", {"uid": uid, "token": token, **new})
    assert response.status_code == 200, response.content
    user.refresh_from_db()
    assert user.check_password("another-password-9")
