"""GET /health and /metrics."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from tests.api.conftest import CODE, TO, Api, MakeKey, problem
from tests.smtp_server import SmtpServer


@pytest.mark.parametrize("path", ["/health", "/health/live"])
def test_health_touches_nothing(path: str) -> None:
    # Without the mark for it, pytest-django refuses any use of the database.
    response = Client().get(path, headers={"Accept": "text/html"})
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_metrics_are_off_unless_asked_for() -> None:
    body = problem(Client().get("/metrics"), 404, "not_found")
    assert body["detail"] == "metrics disabled"
    assert "AUTHMAIL_METRICS_ENABLED" in body["hint"]


def test_metrics_off_ask_for_no_key(settings: Settings) -> None:
    settings.AUTHMAIL_METRICS_REQUIRE_AUTH = True
    problem(Client().get("/metrics"), 404, "not_found")


@pytest.mark.django_db
def test_metrics_count_what_was_sent(api: Api, smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_METRICS_ENABLED = True
    api.post()
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3"
    response = Client().get("/metrics", headers={"Accept": accept})
    text = response.content.decode()
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain")
    assert 'email_send_total{error_code="",result="' in text
    for secret in (CODE, TO):
        assert secret not in text


@pytest.mark.django_db
def test_metrics_can_ask_for_a_key_of_any_scope(make_key: MakeKey, settings: Settings) -> None:
    settings.AUTHMAIL_METRICS_ENABLED = True
    settings.AUTHMAIL_METRICS_REQUIRE_AUTH = True
    problem(Client().get("/metrics"), 401, "missing_credentials")
    assert Api(key=make_key(scopes=("send:otp",))[1]).get("/metrics").status_code == 200
