"""The pages that show the API's description, in a browser that refuses what they may not load."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect
from pytest_django.live_server_helper import LiveServer


def test_swagger_shows_the_description(page: Page, live_server: LiveServer) -> None:
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
    page.goto(f"{live_server.url}/docs")
    expect(page.get_by_text("Send a one-time code").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert asked <= {urlsplit(live_server.url).netloc, ""}


def test_redoc_shows_the_description_and_its_logo_is_not_asked_for(
    browser: Browser, live_server: LiveServer
) -> None:
    # Not the fixture `page`: that its maker's logo is refused is a complaint of the browser.
    with browser.new_context(locale="en-US") as context:
        page = context.new_page()
        errors: list[str] = []
        elsewhere: list[Request] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda r: elsewhere.append(r) if _is_elsewhere(r, live_server) else None)
        page.goto(f"{live_server.url}/redoc")
        heading = page.get_by_role("heading", name="Send a one-time code")
        expect(heading).to_be_visible()
        page.wait_for_load_state("networkidle")
        # The rules of its style sheet are there, although it writes them by script.
        assert heading.evaluate("e => getComputedStyle(e).fontWeight") == "400"
        assert {request.failure for request in elsewhere} == {"csp"}
        assert errors == []


@pytest.mark.parametrize("language", ["en-US", "ko-KR"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_errors_fit_a_phone_in_its_colours(
    browser: Browser, live_server: LiveServer, language: str, scheme: Literal["light", "dark"]
) -> None:
    size: ViewportSize = {"width": 390, "height": 844}
    with browser.new_context(locale=language, color_scheme=scheme, viewport=size) as context:
        page = context.new_page()
        page.goto(f"{live_server.url}/docs/errors")
        expect(page.locator("#smtp_timeout td").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall("[0-9]+", ground))) < 64) == (scheme == "dark")


def _is_elsewhere(request: Request, live_server: LiveServer) -> bool:
    parts = urlsplit(request.url)
    return parts.scheme in ("http", "https") and parts.netloc != urlsplit(live_server.url).netloc
