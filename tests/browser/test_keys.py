"""A person makes a key in the admin, rotates it, and sees each of the two once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from django_authmail import keyring
from django_authmail.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)


def test_makes_and_rotates_a_key(page: Page, live_server: LiveServer) -> None:
    User.objects.create_superuser("admin", password="a-password-for-tests")
    page.goto(f"{live_server.url}/admin/authmail/apikey/add/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "a-password-for-tests")
    page.click("input[type=submit]")

    page.fill("#id_name", "shop")
    page.fill("#id_networks", "10.0.0.0/8\n127.0.0.1")
    page.fill("#id_recipients", "example.com")
    page.click("input[name=_save]")
    first = page.locator("#authmail-key").inner_text()
    assert keyring.find(first).owner == f"key:{ApiKey.objects.get().pk}"

    page.click("text=I have copied it")
    page.click("text=shop")
    assert first not in page.content()
    page.click("text=Rotate")
    page.fill("#id_hours", "2")
    page.click("input[type=submit][value='Rotate a key']")
    second = page.locator("#authmail-key").inner_text()
    expect(page.locator("#content-main")).to_contain_text("ends at")
    assert keyring.find(first) == keyring.find(second)

    page.reload()  # the browser sends the form again
    expect(page.locator(".messagelist")).to_contain_text("was replaced by")
    assert second not in page.content()
    assert ApiKey.objects.count() == 2
