"""A person makes an endpoint in the admin, sees its secret once, tests it, and looks at what was
sent."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from django_authmail.clock import db_now
from django_authmail.models import WebhookDelivery, WebhookEndpoint
from django_authmail.sealing import seal
from django_authmail.webhooks import endpoints, verify
from django_authmail.webhooks.courier import run_beside
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def courier() -> Iterator[None]:
    """Send what is due, as `authmail_dispatch` does."""
    stop = threading.Event()
    thread = threading.Thread(target=run_beside, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join()


def test_makes_an_endpoint_and_tests_it(
    page: Page, live_server: LiveServer, receiver: Receiver, courier: None
) -> None:
    User.objects.create_superuser("admin", password="a-password-for-tests")
    page.goto(f"{live_server.url}/admin/authmail/webhookendpoint/add/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "a-password-for-tests")
    page.click("input[type=submit]")

    page.fill("#id_description", "shop")
    page.fill("#id_url", "ftp://127.0.0.1/hook")
    page.click("input[name=_save]")
    expect(page.locator(".errorlist").last).to_have_text("The URL must begin with https://.")
    page.fill("#id_url", receiver.url)
    page.check("input[value='email.failed']")
    page.click("input[name=_save]")
    secret = page.locator("#authmail-secret").inner_text()
    assert secret.startswith("whsec_")

    page.click("text=I have copied it")
    assert secret not in page.content()
    expect(page.locator(".field-status")).to_contain_text("Events are sent to it.")
    assert WebhookEndpoint.objects.get().event_types == ["email.failed"]

    page.click("text=Send a test event")
    # The page of the delivery looks again until there is something to see.
    expect(page.locator(".field-badge").first).to_contain_text("delivered")
    expect(page.locator("tr.form-row.has_original .field-answer")).to_have_text("204")
    [received] = receiver.received
    assert verify(received.body, received.headers, [secret])["type"] == "webhook.test"
    assert secret not in page.content()

    page.click("text=Send it again")
    expect(page.locator("tr.form-row.has_original")).to_have_count(2)
    assert list(receiver.ids.values()) == [2]


def test_the_list_fits_beside_the_filters(
    page: Page, live_server: LiveServer, receiver: Receiver
) -> None:
    User.objects.create_superuser("admin", password="a-password-for-tests")
    row, _ = endpoints.create(receiver.url, description="billing")
    now = db_now("default")
    # The longest that there are.
    WebhookDelivery.objects.create(
        endpoint=row, type="email.partially_accepted", host="hooks.billing.example.com",
        state="pending", sealed_payload=seal(b"{}"), created_at=now, due_at=now,
        attempt_count=2, reason="connection_refused",
    )  # fmt: skip
    page.goto(f"{live_server.url}/admin/authmail/webhookdelivery/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "a-password-for-tests")
    page.click("input[type=submit]")
    expect(page.locator("#result_list .field-outcome")).to_contain_text("connection_refused")
    results = page.locator(".results")
    assert results.evaluate("element => element.scrollWidth <= element.clientWidth")
