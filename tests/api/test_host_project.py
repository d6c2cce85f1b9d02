"""The API as a guest in a project with REST_FRAMEWORK, middleware and transactions of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.api import web
from tests.api.conftest import OTP
from tests.api.web import Service, request

BODY = json.dumps(OTP).encode()
MOUNT = "/internal/mail"


@pytest.fixture(scope="module")
def smtp(certificate: ServerCertificate) -> Iterator[servers.SmtpServer]:
    with servers.running(certificate) as server:
        yield server


@pytest.fixture(scope="module", params=web.SERVERS)
def host(
    request: pytest.FixtureRequest,
    smtp: servers.SmtpServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    with web.running(
        request.param,
        smtp,
        tmp_path_factory.mktemp("host"),
        DJANGO_SETTINGS_MODULE="tests.api.host_settings",
        METRICS_ENABLED="true",
    ) as running:
        yield running


def unexpected(host: Service) -> list[str]:
    # One test has a server refuse a mail, which is logged as it should be.
    return [line for line in host.errors() if " email.failed " not in line]


def test_sends_now_and_in_the_background(host: Service, smtp: servers.SmtpServer) -> None:
    before = len(smtp.mails)
    now = host.talk(request("POST", f"{MOUNT}/send/otp", BODY))
    assert (now.status, now.json()["state"]) == (200, "accepted"), now.content
    assert len(smtp.mails) == before + 1
    later = host.talk(request("POST", f"{MOUNT}/send/otp", BODY, Prefer="respond-async"))
    assert later.status == 202
    assert later.headers["location"] == f"{MOUNT}/messages/{later.json()['id']}"
    shown = host.talk(request("GET", later.headers["location"]))
    assert (shown.status, shown.json()["state"]) == (200, "queued")
    assert shown.headers["content-type"] == "application/json"
    # The project's own middleware ran, and had read the body before.
    assert now.headers["x-seen"] == str(len(BODY))
    assert unexpected(host) == []


def test_a_refused_mail_is_on_record_whatever_transactions_the_project_wants(
    host: Service, smtp: servers.SmtpServer
) -> None:
    before = len(host.rows("id"))
    smtp.refuse["hong@example.com"] = "550 5.7.1 not from you"
    try:
        answer = host.talk(request("POST", f"{MOUNT}/send/otp", BODY))
    finally:
        smtp.refuse.clear()
    assert answer.status == 502, answer.content
    assert len(host.rows("id")) == before + 1
    assert host.rows("state")[-1] == ("failed",)


def test_problems_are_those_of_the_api_and_lead_to_its_pages(host: Service) -> None:
    answer = host.talk(request("POST", f"{MOUNT}/send/otp", BODY, Authorization=""))
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == f"{MOUNT}/docs/errors#missing_credentials"
    assert "Send the header" in answer.json()["hint"]


@pytest.mark.parametrize("path", ["send/opt", "send/otp%0A", "health/%0A"])
def test_an_address_that_is_none_is_a_problem_too(host: Service, path: str) -> None:
    answer = host.talk(request("GET", f"{MOUNT}/{path}"))
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"{MOUNT}/health", id="health"),
        pytest.param(f"{MOUNT}/health/ready", id="readiness"),
        pytest.param(f"{MOUNT}/metrics", id="metrics"),
        pytest.param(f"{MOUNT}/openapi.json", id="the description"),
        pytest.param(f"{MOUNT}/docs", id="Swagger"),
        pytest.param(f"{MOUNT}/redoc", id="Redoc"),
        pytest.param(f"{MOUNT}/docs/errors", id="the page of errors"),
    ],
)
def test_nobody_has_to_log_in_for_what_is_open(host: Service, path: str) -> None:
    answer = host.talk(request("GET", path, Authorization=""))
    assert answer.status == 200, answer.content
    assert unexpected(host) == []


def test_a_browser_of_another_site_may_call_what_the_project_lets_it(host: Service) -> None:
    site = "https://app.example.com"
    asked = request(
        "OPTIONS",
        f"{MOUNT}/send/otp",
        Authorization="",
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization",
        Origin=site,
    )
    answer = host.talk(asked)
    assert answer.status == 200
    assert "authorization" in answer.headers["access-control-allow-headers"]
    for key, status in ((web.KEY, 422), ("a guess", 401)):
        path, given = f"{MOUNT}/send/otp", f"Bearer {key}"
        answer = host.talk(request("POST", path, b"{}", Authorization=given, Origin=site))
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == site


def test_the_project_s_own_views_are_as_it_wants_them(host: Service) -> None:
    answer = host.talk(request("GET", "/own"))
    assert answer.status == 418
    assert b"the project" in answer.content
    assert host.talk(request("GET", "/nothing")).headers["content-type"].startswith("text/html")
