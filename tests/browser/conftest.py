"""A real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.services import require_program


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without any traffic of its own."""
    path = require_program("chromium", variable="CHROMIUM")
    options = (
        "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
        "--disable-background-networking --disable-component-update"
    ).split()
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright keeps an event loop in this thread, and Django then suspects async code.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        # A deadline that only a fault reaches; its own is 5 s.
        expect.set_options(timeout=60_000)
        chromium = playwright.chromium.launch(executable_path=path, args=options)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a context of its own. Whatever the browser complains about fails the test."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.extend(_complaint(message)))
    yield page
    context.close()
    assert complaints == []


def _complaint(message: ConsoleMessage) -> list[str]:
    # The tests' project has no icon.
    if message.type != "error" or message.location["url"].endswith("/favicon.ico"):
        return []
    return [f"{message.text} {message.location['url']}"]
