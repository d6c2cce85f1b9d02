"""The admin's page of mails in a real browser: frames that show mails, and can do nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from django_authmail.previews import previews
from django_authmail.previews.gallery import write

pytestmark = pytest.mark.django_db(transaction=True)


def test_frames_show_the_mail_in_light_and_dark(
    page: Page, live_server: LiveServer, tmp_path: Path
) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("admin"))
    cookie = {
        "name": settings.SESSION_COOKIE_NAME,
        "value": client.cookies[settings.SESSION_COOKIE_NAME].value,
        "url": live_server.url,
    }
    page.context.add_cookies([cookie])  # type: ignore[list-item] # a TypedDict of playwright's
    page.goto(f"{live_server.url}/admin/authmail/message/")
    page.get_by_role("link", name="What the mails look like").click()
    page.get_by_role("link", name="otp", exact=True).click()
    sample = page.locator("article").first
    expect(sample.locator("iframe")).to_have_count(4)
    grounds = {}
    for view in ("desktop", "phone", "dark", "text"):
        frame = sample.locator(f".am-{view} iframe").content_frame
        expect(frame.get_by_text("482901")).to_be_visible()
        grounds[view] = frame.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    page.screenshot(path=tmp_path / "previews.png", full_page=True)
    assert grounds["desktop"] == grounds["phone"] == "rgb(242, 244, 247)"
    assert grounds["dark"] == "rgb(20, 22, 26)"
    assert grounds["text"] == "rgb(255, 255, 255)"


@pytest.mark.parametrize("width", [1100, 1280, 1366, 1400, 1920])
def test_the_ways_to_see_a_mail_stand_side_by_side(page: Page, tmp_path: Path, width: int) -> None:
    list(write(tmp_path, previews(["otp"])))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((tmp_path / "index.html").as_uri())
    tops = (
        page.locator("article")
        .first.locator(".am-frame")
        .evaluate_all("frames => frames.map(frame => frame.getBoundingClientRect().top)")
    )
    page.screenshot(path=tmp_path / f"index-{width}.png")
    assert len(tops) == 4
    assert set(tops) == {tops[0]}
