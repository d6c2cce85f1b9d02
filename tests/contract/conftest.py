"""The service of this test run, and who calls it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail.client import AuthmailClient
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.api import web
from tests.contract.callers import KEY, Caller, Client, Socket


@pytest.fixture
def url(live_server: LiveServer, settings: Settings) -> str:
    """The address of the service; KEY may do everything."""
    settings.AUTHMAIL_API_KEY = KEY
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    return live_server.url


@pytest.fixture
def raw(url: str) -> Socket:
    return Socket(url=url)


@pytest.fixture(params=["socket", "client"])
def caller(request: pytest.FixtureRequest, url: str) -> Iterator[Caller]:
    if request.param == "socket":
        yield Socket(url=url)
        return
    with AuthmailClient(url, KEY, 30) as client:
        yield Client(client=client)


@pytest.fixture(scope="module")
def gunicorn(
    certificate: ServerCertificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[web.Service]:
    """The example project as it is run: Django's own server makes up headers that are missing."""
    folder = tmp_path_factory.mktemp("gunicorn")
    with (
        servers.running(certificate) as smtp,
        web.running("gunicorn", smtp, folder) as service,
    ):
        yield service
