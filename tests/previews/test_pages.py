"""The admin's page of mails: who sees it, and what its frames may do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.fixtures import Settings

from django_authmail.models import Message
from tests.kinds import SHIPPED

pytestmark = pytest.mark.django_db

INDEX = "/admin/authmail/message/previews/"
FRAME = f"{INDEX}otp/1/ko/phone/"


@pytest.fixture
def staff() -> Client:
    """Somebody who may look at messages and at nothing else."""
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_message"))
    client = Client()
    client.force_login(user)
    return client


def frames(response: Any) -> list[str]:
    return re.findall(r'<iframe src="([^"]+)" title="[^"]+" sandbox ', response.content.decode())


def test_shows_each_kind_in_every_language_and_view(staff: Client, settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    assert f'href="{INDEX}"' in staff.get("/admin/authmail/message/").content.decode()
    for kind in SHIPPED:
        response = staff.get(INDEX, {"kind": kind})
        assert response.status_code == 200
        shown = frames(response)
        assert {tuple(path.split("/")[-3:-1]) for path in shown} == {
            (locale, view)
            for locale in ("en", "ko")
            for view in ("desktop", "phone", "dark", "text")
        }
        assert staff.get(shown[0]).status_code == 200
        assert "am-findings" not in response.content.decode()
    assert not Message.objects.exists()


def test_the_reader_s_language_comes_first(staff: Client) -> None:
    for language in ("ko", "en"):
        response = staff.get(INDEX, headers={"Accept-Language": language})
        assert f"/{language}/desktop/" in frames(response)[0]


def test_a_frame_can_neither_run_nor_load_nor_leave(staff: Client) -> None:
    response = staff.get(FRAME)
    policy = response["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "frame-ancestors 'self'" in policy
    assert "script-src" not in response["Content-Security-Policy"]
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert "482901" in response.content.decode()


def test_the_page_keeps_a_strict_policy_of_the_project(staff: Client) -> None:
    html = staff.get(INDEX).content.decode()
    page = html[html.index('<div id="content"') :]
    assert "<style" not in page
    assert " style=" not in page
    assert "<script" not in page


def test_the_dark_frame_is_dark_and_the_text_is_text(staff: Client) -> None:
    assert "(prefers-color-scheme" not in staff.get(f"{INDEX}otp/1/ko/dark/").content.decode()
    assert "<pre>" in staff.get(f"{INDEX}otp/1/ko/text/").content.decode()


@pytest.mark.parametrize("path", [INDEX, FRAME])
def test_is_for_those_who_may_look_at_messages(path: str) -> None:
    anonymous = Client()
    assert anonymous.get(path).status_code == 302
    user = User.objects.create_user("staff", is_staff=True)
    client = Client()
    client.force_login(user)
    assert client.get(path).status_code == 403
    User.objects.update(is_staff=False)
    assert client.get(path).status_code == 302


@pytest.mark.parametrize(
    "path",
    [
        f"{INDEX}?kind=none",
        f"{INDEX}none/1/ko/phone/",
        f"{INDEX}otp/99/ko/phone/",
        f"{INDEX}otp/1/fr/phone/",
        f"{INDEX}otp/1/ko/none/",
    ],
)
def test_there_is_nothing_else(staff: Client, path: str) -> None:
    assert staff.get(path).status_code == 404


@pytest.mark.parametrize("path", [INDEX, FRAME])
def test_nothing_is_posted_here(staff: Client, path: str) -> None:
    assert staff.post(path).status_code == 405
