"""What a project that is nothing but this service answers for Django itself."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import include, path
from pytest_django.fixtures import Settings

from tests.api.conftest import problem

urlpatterns = [
    path("admin/", admin.site.urls),
    path("mail/", include("django_authmail.api.urls")),
]
handler400 = "django_authmail.api.views.bad_request"
handler404 = "django_authmail.api.views.not_found"


@pytest.fixture(autouse=True)
def _service(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__


@pytest.mark.parametrize(
    ("path", "host", "status", "code"),
    [
        pytest.param("/nothing", "testserver", 404, "not_found", id="an unknown address"),
        pytest.param("/mail/send/opt", "testserver", 404, "not_found", id="one below the API's"),
        pytest.param("/mail/health", "evil.example", 400, "bad_request", id="another host"),
    ],
)
def test_answers_with_a_problem(path: str, host: str, status: int, code: str) -> None:
    response = Client(raise_request_exception=False).get(path, headers={"Host": host})
    body = problem(response, status, code)
    assert body["type"] == f"/mail/docs/errors#{code}"
    assert not response.has_header("Allow")


@pytest.mark.parametrize(("path", "host"), [("/nothing", "testserver"), ("/", "evil.example")])
def test_a_browser_gets_a_page(path: str, host: str) -> None:
    headers = {"Host": host, "Accept": "text/html,*/*;q=0.8", "X-Request-ID": "call-1"}
    response = Client(raise_request_exception=False).get(path, headers=headers)
    assert response.status_code in (400, 404)
    assert response["X-Request-ID"] == "call-1"
    assert response["Content-Type"].startswith("text/html")


def test_any_method_gets_the_same(settings: Settings) -> None:
    client = Client(enforce_csrf_checks=True)
    for method in ("POST", "PUT", "OPTIONS", "BREW"):
        body = problem(client.generic(method, "/mail/send/otp/"), 404, "not_found")
        assert body["hint"].startswith("Check the path: ")
        assert "messages" not in body["hint"]
