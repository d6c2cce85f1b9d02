"""What callers of S0's client wrote, with nothing changed but the imports."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from django_authmail.client import (
    AsyncAuthmailClient,
    AsyncEmailServiceClient,
    AuthmailClient,
    EmailServiceClient,
    EmailServiceError,
)
from tests.client.scripted import Service, answer, problem


def test_the_names_of_s0_are_these_classes() -> None:
    assert EmailServiceClient is AuthmailClient
    assert AsyncEmailServiceClient is AsyncAuthmailClient


def test_the_calls_of_its_documentation(service: Service) -> None:
    service.script(answer(body={"status": "ok"}), answer(body={"sent": True}))
    with EmailServiceClient(service.url, "secret") as client:
        assert client.health() == {"status": "ok"}
        sent = client.send(
            to="user@example.com",
            subject="Hi",
            html_body="<p>Hello</p>",
            text_body="Hello",
            cc=["cc@example.com"],
            bcc=["bcc@example.com"],
        )
        assert sent == {"sent": True}
        assert sent["sent"] is True
        assert client.send_magic_link("user@example.com", "홍길동", "abc123").get("sent")
        assert client.send_otp("user@example.com", "홍길동", "482901", dry_run=True)
    assert [request.path for request in service.requests] == [
        "/health",
        "/send",
        "/send/magic-link",
        "/send/otp",
    ]
    assert service.requests[-1].headers["x-dry-run"] == "true"
    assert {request.headers["authorization"] for request in service.requests} == {"Bearer secret"}


def test_its_parameters_by_name(service: Service) -> None:
    service.script(answer())
    with EmailServiceClient(service.url, "secret") as client:
        by_name: Any = client
        by_name.send_otp(to="user@example.com", user_name="홍길동", code="482901")
        by_name.send_magic_link("user@example.com", user_name="홍길동", token="abc123")
        with pytest.raises(TypeError, match="multiple values"):
            by_name.send_otp("user@example.com", "홍길동", user_name="홍길동", code="482901")
    assert [request.json["user_name"] for request in service.requests] == ["홍길동"] * 2


def test_the_asynchronous_one(service: Service) -> None:
    service.script(answer())

    async def run() -> None:
        client: Any = AsyncEmailServiceClient(service.url, "secret")
        assert (await client.send_otp("user@example.com", user_name="홍길동", code="482901")).sent
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await client.health()

    asyncio.run(run())


def test_dry_run_is_no_positional_argument(service: Service) -> None:
    service.script(answer())
    with EmailServiceClient(service.url, "secret") as client:
        by_position: Any = client
        with pytest.raises(TypeError):
            by_position.send("a@example.com", "Hi", "<p>x</p>", True)
        with pytest.raises(TypeError):
            by_position.send_otp("a@example.com", "Kim", "123456", True)
    assert not service.requests


def test_an_answer_of_s0_itself_is_understood(service: Service) -> None:
    """While the service moves after its callers."""
    service.script(answer(202, {"sent": False, "status": "accepted"}))
    with EmailServiceClient(service.url, "secret") as client:
        accepted = client.send_otp("user@example.com", "홍길동", "482901")
    assert (accepted.sent, accepted.state, accepted["status"]) == (False, None, "accepted")


def test_a_mail_that_was_not_sent_is_its_own_error(service: Service) -> None:
    service.script(problem(502, "smtp_timeout", error_code="smtp_timeout"))
    with (
        EmailServiceClient(service.url, "secret") as client,
        pytest.raises(EmailServiceError) as caught,
    ):
        client.send_otp("user@example.com", "홍길동", "482901")
    assert (caught.value.error_code, caught.value.status_code) == ("smtp_timeout", 502)
    assert caught.value.message == "It is smtp_timeout."
    assert not isinstance(caught.value, httpx.HTTPError)


def test_a_502_of_s0_itself_is_that_error_too(service: Service) -> None:
    """While the service moves after its callers."""
    service.script(answer(502, {"detail": {"error_code": "smtp_timeout", "message": "timed out"}}))
    with (
        EmailServiceClient(service.url, "secret") as client,
        pytest.raises(EmailServiceError) as caught,
    ):
        client.send_otp("user@example.com", "홍길동", "482901")
    assert (caught.value.error_code, caught.value.status_code) == ("smtp_timeout", 502)
    assert (caught.value.message, caught.value.may_have_been_sent) == ("timed out", True)


@pytest.mark.parametrize("status", [401, 422, 429, 500, 503])
def test_other_refusals_are_httpx_s(service: Service, status: int) -> None:
    service.script(problem(status, "a_code"))
    with (
        EmailServiceClient(service.url, "secret") as client,
        pytest.raises(httpx.HTTPStatusError) as caught,
    ):
        client.send_otp("user@example.com", "홍길동", "482901")
    assert not isinstance(caught.value, EmailServiceError)
    assert caught.value.response.status_code == status


def test_a_lost_connection_is_httpx_s(dead_port: int) -> None:
    with (
        EmailServiceClient(f"http://127.0.0.1:{dead_port}", "secret", 0.3) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.send_otp("user@example.com", "홍길동", "482901")


def test_a_transport_of_the_caller_s(service: Service) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"sent": True})

    transport = httpx.MockTransport(handle)
    with EmailServiceClient("http://email-service:8000", "key", transport=transport) as client:
        assert client.send_otp("user@example.com", "홍길동", "482901")["sent"]


def test_it_is_closed_by_hand(service: Service) -> None:
    client = EmailServiceClient(service.url, "secret")
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.health()
