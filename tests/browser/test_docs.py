"""The pages that show the API's description, in a browser that refuses what they may not load."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Request, expect
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


def _is_elsewhere(request: Request, live_server: LiveServer) -> bool:
    parts = urlsplit(request.url)
    return parts.scheme in ("http", "https") and parts.netloc != urlsplit(live_server.url).netloc
