"""The admin's pages on screens of all sizes: nothing is cut, and tools stand in line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from django_authmail import keyring, outbox
from django_authmail.clock import db_now
from django_authmail.hashes import mask
from django_authmail.keyring import Terms
from django_authmail.models import Message, Suppression, WebhookDelivery
from django_authmail.sealing import seal
from django_authmail.webhooks import endpoints
from tests.outbox.factories import auth_message, suppress
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

LISTS = ["apikey", "carrier", "message", "suppression", "webhookdelivery", "webhookendpoint"]
TO = "hong.gildong@subsidiary.example.co.kr"

_CUT = """() => ['html', '.results', '#content'].filter(name => {
  const element = document.querySelector(name);
  return element && element.scrollWidth > element.clientWidth;
})"""


@pytest.fixture(params=["en-US", "ko-KR"])
def staff(
    request: pytest.FixtureRequest, browser: Browser, live_server: LiveServer
) -> Iterator[Page]:
    """A page of an administrator, in each language."""
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context = browser.new_context(locale=request.param, base_url=live_server.url)
    context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}]
    )
    yield context.new_page()
    context.close()


@pytest.fixture
def rows(receiver: Receiver) -> None:
    """A row of everything, with long values."""
    now = db_now("default")
    key, _ = keyring.issue("shopping-mall", Terms(), expires=now + timedelta(days=3))
    owner = f"key:{key.pk}"
    message = outbox.submit(auth_message(to=(TO,), kind="email-verification"), owner=owner)
    Message.objects.filter(pk=message.pk).update(
        error_code="recipient_refused", reason="policy_rejected"
    )
    suppress(TO, owner=owner)
    Suppression.objects.update(masked=mask(TO))
    endpoint, _ = endpoints.create(
        receiver.url,
        description="billing.shopping-mall",
        event_types=["email.failed", "email.partially_accepted"],
        owner=owner,
    )
    WebhookDelivery.objects.create(
        endpoint=endpoint, type="email.partially_accepted", host="hooks.billing.example.com",
        state="pending", sealed_payload=seal(b"{}"), created_at=now, due_at=now,
        attempt_count=2, reason="connection_refused",
    )  # fmt: skip


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("name", LISTS)
def test_no_list_is_cut(staff: Page, tmp_path: Path, name: str) -> None:
    cut = {}
    for width in (390, 1200):
        staff.set_viewport_size({"width": width, "height": 800})
        staff.goto(f"/admin/authmail/{name}/")
        expect(staff.locator("#result_list tbody tr")).to_have_count(1)
        staff.screenshot(path=tmp_path / f"{name}-{width}.png", full_page=True)
        if elements := staff.evaluate(_CUT):
            cut[width] = elements
    assert cut == {}


@pytest.mark.usefixtures("rows")
@pytest.mark.parametrize("name", ["apikey", "suppression", "webhookendpoint"])
def test_what_can_be_done_with_a_row_stands_in_one_line(staff: Page, name: str) -> None:
    staff.set_viewport_size({"width": 1280, "height": 800})
    staff.goto(f"/admin/authmail/{name}/")
    staff.locator("#result_list tbody :is(th, td) a").first.click()
    tools = staff.locator(".object-tools :is(a, button)")
    expect(tools.nth(1)).to_be_visible()
    tops = tools.evaluate_all("tools => tools.map(tool => tool.getBoundingClientRect().top)")
    assert set(tops) == {tops[0]}


@pytest.mark.parametrize("width", [390, 1200])
def test_a_search_for_an_address_leaves_room_to_type_the_next(staff: Page, width: int) -> None:
    staff.set_viewport_size({"width": width, "height": 800})
    staff.goto("/admin/authmail/message/")
    staff.fill("#searchbar", TO)
    staff.press("#searchbar", "Enter")
    expect(staff.locator(".authmail-searched")).to_be_visible()
    box = staff.locator("#searchbar").bounding_box()
    assert box is not None
    assert box["width"] > 100
    assert staff.evaluate(_CUT) == []


@pytest.mark.usefixtures("rows")
def test_a_button_is_not_underlined(staff: Page) -> None:
    staff.goto("/admin/authmail/apikey/")
    staff.locator("#result_list tbody th a").click()
    staff.locator(".object-tools a[href$='/revoke/']").click()
    expect(staff.locator("#content a.button").first).to_be_visible()
    for element in staff.locator("#content a.button").all():
        line = element.evaluate("element => getComputedStyle(element).textDecorationLine")
        assert line == "none"
    staff.goto("/admin/authmail/message/previews/")
    line = staff.locator(".am-kinds a").first.evaluate(
        "e => getComputedStyle(e).textDecorationLine"
    )
    assert line == "none"


@pytest.mark.parametrize(
    ("name", "options"), [("apikey", "#id_scopes"), ("webhookendpoint", "#id_event_types")]
)
def test_no_choice_of_a_form_is_cut(staff: Page, name: str, options: str) -> None:
    staff.set_viewport_size({"width": 390, "height": 800})
    staff.goto(f"/admin/authmail/{name}/add/")
    widths = staff.locator(f"{options} label").evaluate_all(
        "labels => labels.map(label => label.getBoundingClientRect().width)"
    )
    assert len(widths) > 5
    assert min(widths) > 200
