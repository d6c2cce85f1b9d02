"""A person looks a mail up in the admin; what they see, and what they do not."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from django_authmail import keys
from django_authmail.models import ApiKey, Message
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

CODE = "CANARY-7391"

_LINES = """(cells, id) => cells.flatMap(cell => {
  const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const start = texts.currentNode.data.indexOf(id);
    if (start < 0) continue;
    const range = document.createRange();
    range.setStart(texts.currentNode, start);
    range.setEnd(texts.currentNode, start + id.length);
    return [range.getClientRects().length];
  }
  return [];
})"""

TO = "hong.gildong@example.com"


@pytest.fixture
def key() -> str:
    key = keys.generate()
    ApiKey.objects.create(
        name="shop", prefix=keys.prefix(key), digest=keys.digest(key), scopes=list(keys.SCOPES)
    )
    return key


@pytest.fixture
def staff(page: Page, live_server: LiveServer) -> Page:
    """A page where an administrator has logged in."""
    User.objects.create_superuser("admin", password="a-password-for-tests")
    page.goto(f"{live_server.url}/admin/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "a-password-for-tests")
    page.click("input[type=submit]")
    return page


def _ask(live_server: LiveServer, key: str, to: str, **headers: str) -> None:
    body = json.dumps({"to": to, "user_name": "홍길동", "code": CODE}).encode()
    request = urllib.request.Request(f"{live_server.url}/send/otp", body)
    request.add_header("Authorization", f"Bearer {key}")
    request.add_header("Content-Type", "application/json")
    for name, value in headers.items():
        request.add_header(name, value)
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        error.close()


def test_finds_a_mail_and_its_outcome_but_not_its_code(
    staff: Page, live_server: LiveServer, smtp_server: SmtpServer, key: str, tmp_path: Path
) -> None:
    smtp_server.refuse["nobody@example.com"] = "550 5.1.1 no such user"
    _ask(live_server, key, "nobody@example.com")
    _ask(live_server, key, "later@example.com", Prefer="respond-async")
    _ask(live_server, key, TO)
    assert CODE in smtp_server.mails[0].text
    message = Message.objects.get(state="accepted")
    page = staff

    page.get_by_role("link", name="Messages", exact=True).first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    page.screenshot(path=tmp_path / "list.png", full_page=True)
    assert CODE not in page.content()

    page.fill("#searchbar", TO)
    page.click("#changelist-search input[type=submit]")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    assert "gildong" not in page.url
    expect(page.locator("#result_list .authmail-state")).to_have_text("accepted")
    assert CODE not in page.content()

    page.locator("#result_list tbody th a").click()
    expect(page.locator("body")).to_contain_text(message.message_id)
    expect(page.locator("body")).to_contain_text("h***@example.com")
    expect(page.locator("body")).to_contain_text("queued as")
    expect(page.locator(".field-badge .authmail-state").first).to_have_text("accepted")
    page.screenshot(path=tmp_path / "detail.png", full_page=True)
    for secret in (CODE, TO, key, "홍길동"):
        assert secret not in page.content()


@pytest.mark.parametrize(
    "id",
    [
        pytest.param("4ZkT7r2X9Qz1mW", id="Postfix"),
        pytest.param("20261120-070824-9f8a3c", id="hyphens"),
    ],
)
def test_the_id_that_a_server_gave_is_not_cut_in_two(
    staff: Page, live_server: LiveServer, smtp_server: SmtpServer, key: str, tmp_path: Path, id: str
) -> None:
    smtp_server.refuse["nobody@example.com"] = "550 5.1.1 no such user"
    _ask(live_server, key, TO)
    _ask(live_server, key, "nobody@example.com")
    Message.objects.filter(state="accepted").update(provider_id=f"2.0.0 Ok: queued as {id}")
    page = staff
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{live_server.url}/admin/authmail/message/")
    page.screenshot(path=tmp_path / "ids.png", full_page=True)
    lines = page.locator("#result_list td.field-outcome").evaluate_all(_LINES, id)
    assert lines == [1]


def test_makes_a_key_that_works(
    staff: Page, live_server: LiveServer, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    page = staff
    page.goto(f"{live_server.url}/admin/authmail/apikey/add/")
    page.fill("#id_name", "shop")
    page.screenshot(path=tmp_path / "add.png", full_page=True)
    page.click("input[name=_save]")
    key = page.locator("#authmail-key").inner_text()
    page.screenshot(path=tmp_path / "created.png", full_page=True)
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.screenshot(path=tmp_path / "keys.png", full_page=True)
    assert key not in page.content()
    _ask(live_server, key, TO)
    assert CODE in smtp_server.mails[0].text


def test_the_api_s_page_works_without_any_other_site(
    page: Page, live_server: LiveServer, tmp_path: Path
) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{live_server.url}/docs")
    expect(page.get_by_text("Send a one-time code")).to_be_visible()
    page.get_by_text("Send a one-time code").click()
    expect(page.get_by_text("482901").first).to_be_visible()
    page.screenshot(path=tmp_path / "docs.png", full_page=True)
    assert all(re.match(rf"{re.escape(live_server.url)}/|data:", url) for url in asked)
    page.goto(f"{live_server.url}/docs/errors#smtp_timeout")
    page.screenshot(path=tmp_path / "errors.png", full_page=True)
    expect(page.locator("#smtp_timeout")).to_be_in_viewport()


def test_every_column_is_in_sight_at_1200_px(
    staff: Page, live_server: LiveServer, key: str, smtp_server: SmtpServer
) -> None:
    _ask(live_server, key, TO)
    smtp_server.refuse[TO] = "550 5.7.1 not from here"
    _ask(live_server, key, TO)
    staff.set_viewport_size({"width": 1200, "height": 700})
    staff.goto(f"{live_server.url}/admin/authmail/message/")
    expect(staff.get_by_text("policy_rejected")).to_be_visible()
    assert staff.locator(".results").evaluate("element => element.scrollWidth") == staff.locator(
        ".results"
    ).evaluate("element => element.clientWidth")


_PLACES = """boxes => boxes.map(box => {
  const [label, value] = ["label", ".readonly"].map(name => {
    const range = document.createRange();
    range.selectNodeContents(box.querySelector(name));
    return range.getBoundingClientRect();
  });
  const beside = value.left - label.right, below = value.top - label.bottom;
  if (0 < beside && beside < 30) return "beside";
  if (0 < below && below < 30 && Math.abs(value.left - label.left) < 4) return "below";
  return `apart by ${beside}, ${below}`;
})"""


def test_each_value_is_at_its_label(
    staff: Page, live_server: LiveServer, key: str, smtp_server: SmtpServer
) -> None:
    _ask(live_server, key, TO)
    staff.set_viewport_size({"width": 1280, "height": 800})
    staff.goto(f"{live_server.url}/admin/authmail/message/{Message.objects.get().pk}/change/")
    # But the first of a row, which is aligned with the rows above it. Before Django 6.1, each is
    # in one more box.
    boxes = staff.locator(
        ".form-multiline > div + div > .fieldBox, .form-multiline > div + .fieldBox"
    )
    places = boxes.evaluate_all(_PLACES)
    # From Django 6.1 on, labels are above their values.
    assert places in (["beside"] * 6, ["below"] * 6)
