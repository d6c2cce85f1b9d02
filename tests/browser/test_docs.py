"""The pages that show the API's description, in a browser that refuses what they may not load."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, Request, ViewportSize, expect
from pytest_django.live_server_helper import LiveServer


def test_swagger_shows_the_description(page: Page, live_server: LiveServer) -> None:
    asked: list[Request] = []
    page.on("request", lambda request: asked.append(request))
    page.goto(f"{live_server.url}/docs")
    _expect_operations(page.locator(".opblock-summary-description"), live_server)
    _wait_for_ends(asked)
    hosts = {urlsplit(request.url).netloc for request in asked}
    assert hosts <= {urlsplit(live_server.url).netloc, ""}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_swagger_has_the_colours_of_the_screen(
    browser: Browser, live_server: LiveServer, scheme: Literal["light", "dark"]
) -> None:
    with browser.new_context(color_scheme=scheme) as context:
        page = context.new_page()
        page.goto(f"{live_server.url}/docs")
        expect(page.locator(".opblock-summary-description").first).to_be_visible()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall("[0-9]+", ground))) < 64) == (scheme == "dark")


def test_redoc_shows_the_description_and_its_logo_is_not_asked_for(
    browser: Browser, live_server: LiveServer
) -> None:
    # Not the fixture `page`: that its maker's logo is refused is a complaint of the browser.
    with browser.new_context(locale="en-US") as context:
        page = context.new_page()
        errors: list[str] = []
        asked: list[Request] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: asked.append(request))
        logo = page.expect_request(lambda r: _is_elsewhere(r, live_server), timeout=60_000)
        with logo:
            page.goto(f"{live_server.url}/redoc")
        headings = page.locator("h2:has(a[href*='/operation/'])")
        _expect_operations(headings, live_server)
        _wait_for_ends(asked)
        elsewhere = [request for request in asked if _is_elsewhere(request, live_server)]
        # The rules of its style sheet are there, although it writes them by script.
        assert headings.first.evaluate("e => getComputedStyle(e).fontWeight") == "400"
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


def _expect_operations(names: Locator, live_server: LiveServer) -> None:
    """Wait until the page shows each operation that the description has, in any order."""
    paths = names.page.request.get(f"{live_server.url}/openapi.json").json()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    expect(names).to_have_count(len(operations))
    shown = sorted(name.strip() for name in names.all_inner_texts())
    assert shown == sorted(operation["summary"] for operation in operations)
    assert "Send a one-time code" in shown
    expect(names.first).to_be_visible()


def _wait_for_ends(asked: list[Request]) -> None:
    """Wait until each request was answered or refused, and those that are made meanwhile."""
    # Not "networkidle", which is 500 ms without one: a busy machine may not find them.
    for request in asked:
        if response := request.response():
            response.finished()


def _is_elsewhere(request: Request, live_server: LiveServer) -> bool:
    parts = urlsplit(request.url)
    return parts.scheme in ("http", "https") and parts.netloc != urlsplit(live_server.url).netloc
