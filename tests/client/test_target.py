"""Where the client sends the key to, and where it refuses to."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from django_authmail.client import AsyncAuthmailClient, AuthmailClient
from tests.client.conftest import KEY
from tests.client.scripted import Service, answer


@pytest.mark.parametrize(
    ("given", "base_url"),
    [
        ("https://mail.example.com", "https://mail.example.com"),
        ("https://mail.example.com/", "https://mail.example.com"),
        ("https://mail.example.com:8443/authmail/", "https://mail.example.com:8443/authmail"),
        ("HTTPS://Mail.Example.com", "https://mail.example.com"),
        ("http://email-service:8000", "http://email-service:8000"),
        ("http://email_service:8000/", "http://email_service:8000"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://10.1.2.3", "http://10.1.2.3"),
        ("http://100.64.0.7", "http://100.64.0.7"),
        ("http://[fd00::7]", "http://[fd00::7]"),
        ("http://mail.default.svc", "http://mail.default.svc"),
        ("http://mail.default.svc.cluster.local", "http://mail.default.svc.cluster.local"),
        ("http://mail.corp.internal", "http://mail.corp.internal"),
    ],
)
def test_takes(given: str, base_url: str) -> None:
    with AuthmailClient(given, KEY) as client:
        assert client.base_url == base_url
        assert repr(client) == f"AuthmailClient({base_url!r})"


@pytest.mark.parametrize(
    "given",
    [
        "http://mail.example.com",
        "http://8.8.8.8",
        "http://[::ffff:8.8.8.8]",
        "http://[2001:4860:4860::8888]",
        "http://internal.example.com",
        "http://notlocalhost.example",
    ],
)
def test_the_key_crosses_no_public_network_in_the_clear(given: str) -> None:
    with pytest.raises(ValueError, match="is a public name: the key and the codes would"):
        AuthmailClient(given, KEY)
    AuthmailClient(given, KEY, allow_http=True).close()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "mail.example.com",
        "ftp://mail.example.com",
        "https://",
        "http://[",
        "http://a b",
        "http://a:99999",
        "a",
        None,
    ],
)
def test_an_address_that_is_none(given: str) -> None:
    with pytest.raises(ValueError, match="give one as https://mail.example.com"):
        AuthmailClient(given, KEY)


@pytest.mark.parametrize(
    "given",
    [
        "https://me:PASSWORD@mail.example.com",
        "https://mail.example.com/?key=PASSWORD",
        "https://mail.example.com/#PASSWORD",
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_shown(given: str) -> None:
    with pytest.raises(ValueError, match="'mail.example.com' has a user name") as caught:
        AuthmailClient(given, KEY)
    assert "PASSWORD" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "CANARY\n", "CAN ARY", "CANARY키", None, "CANARY\r\nX: y"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(key: str) -> None:
    for kind in (AuthmailClient, AsyncAuthmailClient):
        with pytest.raises(ValueError, match="api_key is empty, or has white space") as caught:
            kind("https://mail.example.com", key)
        assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_time_in_which_nothing_can_happen(timeout: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"timeout is {timeout!r}; give the seconds")):
        AuthmailClient("https://mail.example.com", KEY, timeout)


def test_paths_are_below_a_prefix(service: Service) -> None:
    service.script(answer())
    with AuthmailClient(f"{service.url}/authmail/", KEY) as client:
        client.send_otp("hong@example.com", "홍길동", "482901")
    assert service.requests[0].path == "/authmail/send/otp"


def test_a_proxy_of_the_environment_gets_no_plain_request(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.path)
            self.send_error(500)

    with HTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        service.script(answer())
        with AuthmailClient(service.url, KEY) as client:
            assert client.send_otp("hong@example.com", "홍길동", "482901").sent
        proxy.shutdown()
        thread.join(30)
    assert seen == []
    assert len(service.requests) == 1
