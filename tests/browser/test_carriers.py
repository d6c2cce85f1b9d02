"""The page of the mailers in a browser: pausing is one click, and what is wrong can be read."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail.clock import db_now
from django_authmail.models import Carrier
from django_authmail.outbox import carriers, counters
from django_authmail.outbox.counters import Limit
from tests.browser.test_send_log import staff

__all__ = ["staff"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_pauses_a_mailer_and_resumes_it(
    staff: Page, live_server: LiveServer, settings: Settings, tmp_path: Path
) -> None:
    backend = "django_authmail.smtp.EmailBackend"
    settings.MAILERS = {
        name: {"BACKEND": backend, "OPTIONS": {"host": "127.0.0.1"}}
        for name in ("primary", "backup", "reports")
    }
    settings.AUTHMAIL_DELIVER_USING = ["primary", "backup"]
    settings.AUTHMAIL_QUOTAS = {"primary": {"day": 500, "minute": 30}, "reports": {"day": 100}}
    for key, most, amount in (("primary:day", 500, 425), ("reports:day", 100, 100)):
        counters.take(Limit(key=f"quota:{key}", most=most, window=timedelta(days=1)), amount=amount)
    Carrier.objects.create(
        name="backup",
        failure_count=6,
        broken_until=db_now("default") + timedelta(seconds=25),
        reason="auth_failed",
    )
    page = staff
    page.set_viewport_size({"width": 1280, "height": 800})
    page.get_by_role("link", name="Carriers", exact=True).first.click()
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    page.screenshot(path=tmp_path / "carriers.png", full_page=True)
    row = page.locator("#result_list tbody tr", has_text="primary")
    row.get_by_role("button", name="Pause").click()
    expect(page.locator(".messagelist")).to_contain_text("Nothing is sent by primary")
    expect(row.locator(".authmail-state")).to_have_text("paused")
    assert carriers.is_paused("primary")
    page.screenshot(path=tmp_path / "paused.png", full_page=True)
    row.get_by_role("button", name="Resume").click()
    expect(row.locator(".authmail-state")).to_have_text("ready")
    assert not carriers.is_paused("primary")
