"""The pages that describe the API."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.contrib.staticfiles import finders
from django.test import Client, modify_settings
from django.urls import clear_url_caches, include, path
from drf_spectacular.validation import validate_schema
from pytest_django.fixtures import Settings

from django_authmail import keys
from django_authmail.api import schema
from django_authmail.api.codes import KINDS
from tests.api.conftest import Api, problem

SENT = [
    scope.removeprefix("send:")
    for scope in keys.SCOPES
    if scope.startswith("send:") and scope != "send:raw"
]

urlpatterns = [
    path("deep/mail/", include("django_authmail.api.urls")),
    path(
        "<slug:tenant>/<int:number>/",
        include("django_authmail.api.urls", namespace="tenants"),
        {"a": "value that nobody captures"},
    ),
]


@pytest.fixture
def mounted_deep(settings: Settings) -> Iterator[None]:
    settings.ROOT_URLCONF = __name__
    clear_url_caches()
    yield
    clear_url_caches()


def test_the_description_is_valid_openapi() -> None:
    document = Client().get("/openapi.json").json()
    validate_schema(document)  # type: ignore[no-untyped-call] # untyped there
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {
        "/send",
        *(f"/send/{kind}" for kind in SENT),
        "/messages/{message_id}",
        "/health",
        "/health/live",
        "/health/ready",
        "/metrics",
    }
    assert document["paths"]["/send/otp"]["post"]["security"] == [{"apiKey": []}]
    forms = {
        name: form
        for name, form in document["components"]["schemas"].items()
        if name.startswith("Send") and not name.endswith("Answer")
    }
    assert len(forms) == len(SENT) + 1
    for form in (*forms.values(), document["components"]["schemas"]["AttachmentForm"]):
        assert form["additionalProperties"] is False
    assert "servers" not in document


def test_the_project_s_spectacular_settings_do_not_shine_through(
    settings: Settings,
) -> None:
    settings.SPECTACULAR_SETTINGS = {"TITLE": "The project", "OAS_VERSION": "3.0.3"}
    schema._document.cache_clear()
    assert Client().get("/openapi.json").json()["info"]["title"] == "django-authmail"


@pytest.mark.usefixtures("db", "mounted_deep")
def test_addresses_follow_the_mount() -> None:
    document = Client().get("/deep/mail/openapi.json").json()
    assert document["servers"] == [{"url": "/deep/mail"}]
    assert 'data-url="/deep/mail/openapi.json"' in Client().get("/deep/mail/docs").content.decode()
    body = problem(Client().post("/deep/mail/send/otp"), 401, "missing_credentials")
    assert body["type"] == "/deep/mail/docs/errors#missing_credentials"


@pytest.mark.usefixtures("db", "mounted_deep")
def test_the_mount_may_capture_values(api: Api) -> None:
    document = Client().get("/acme/7/openapi.json").json()
    assert document["servers"] == [{"url": "/acme/7"}]
    assert Client().get("/acme/7/health").json() == {"status": "ok"}
    queued = api.post("/acme/7/send/otp", Prefer="respond-async")
    assert queued["Location"] == f"/acme/7/messages/{queued.json()['id']}"
    assert api.get(queued["Location"]).json()["state"] == "queued"
    body = problem(api.get("/acme/7/messages/none"), 404, "not_found")
    assert body["type"] == "/acme/7/docs/errors#not_found"


@pytest.mark.parametrize("address", ["/docs", "/redoc", "/docs/errors"])
def test_pages_load_from_this_site_only(address: str) -> None:
    response = Client().get(address)
    html = response.content.decode()
    assert response["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in response["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    assert files
    assert all(finders.find(name.removeprefix("/static/")) for name in files)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
    assert "<style" not in html
    assert "<script>" not in html


def test_static_files_of_another_host_are_allowed(settings: Settings) -> None:
    settings.STATIC_URL = "https://cdn.example.com/s/"
    policy = Client().get("/docs")["Content-Security-Policy"]
    assert "script-src 'self' https://cdn.example.com;" in policy
    assert "connect-src 'self';" in policy


def test_the_page_of_errors_is_korean_for_koreans() -> None:
    html = Client().get("/docs/errors", headers={"Accept-Language": "ko"}).content.decode()
    assert [kind.title for kind in KINDS.values() if f">{kind.title}<" in html] == []
    assert '<td data-head="의미">API 키가 없습니다</td>' in html


def test_what_is_code_looks_like_code(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"the mail settings": "`mail.toml`"}
    monkeypatch.setattr(apps.get_app_config("authmail"), "words", words)
    html = Client().get("/docs/errors").content.decode()
    assert "`" not in html
    codes, reasons = html.split("<h2>")
    assert "<code>Idempotency-Key</code>" in codes
    assert "has to check <code>mail.toml</code> and the network" in reasons


def test_every_code_has_its_place_on_the_page_of_errors() -> None:
    html = Client().get("/docs/errors").content.decode()
    assert [code for code in KINDS if f'id="{code}"' not in html] == []


@pytest.mark.parametrize("address", ["/docs", "/redoc", "/docs/errors", "/openapi.json"])
def test_pages_can_be_switched_off(address: str, settings: Settings) -> None:
    settings.AUTHMAIL_API_DOCS = False
    assert "AUTHMAIL_API_DOCS" in problem(Client().get(address), 404, "not_found")["hint"]


@modify_settings(INSTALLED_APPS={"remove": "drf_spectacular_sidecar"})
@pytest.mark.parametrize("address", ["/docs", "/redoc"])
def test_without_the_app_that_has_the_viewers(address: str) -> None:
    body = problem(Client().get(address), 404, "not_found")
    assert "Add `drf_spectacular_sidecar` to INSTALLED_APPS" in body["hint"]
    html = Client().get("/docs/errors").content.decode()
    assert re.findall('rel="stylesheet" href="([^"]+)"', html) == ["/static/authmail/docs.css"]
    assert Client().get("/openapi.json").status_code == 200
