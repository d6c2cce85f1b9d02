"""The page of the mailers: what it shows, and who may pause one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from django_authmail.clock import db_now
from django_authmail.models import Carrier
from django_authmail.outbox import carriers, counters
from django_authmail.outbox.counters import Limit

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def two(settings: Settings) -> None:
    backend = "django_authmail.smtp.EmailBackend"
    settings.MAILERS = {
        "primary": {"BACKEND": backend, "OPTIONS": {"host": "127.0.0.1"}},
        "backup": {"BACKEND": backend, "OPTIONS": {"host": "127.0.0.1"}},
    }
    settings.AUTHMAIL_DELIVER_USING = ["primary", "backup"]
    settings.AUTHMAIL_QUOTAS = {"primary": {"day": 500}}


def client_of(*permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def url() -> str:
    return reverse("admin:authmail_carrier_changelist")


@pytest.mark.usefixtures("two")
def test_shows_how_each_stands(admin_client: Client) -> None:
    counters.take(Limit(key="quota:primary:day", most=500, window=timedelta(days=1)), amount=425)
    Carrier.objects.create(
        name="backup",
        failure_count=5,
        broken_until=db_now("default") + timedelta(seconds=20),
        reason="auth_failed",
    )
    page = admin_client.get(url()).content.decode()
    assert "425 of 500 per day, 75 left" in page
    assert 'class="authmail-bar-low" style="width: 85%"' in page
    assert "unavailable" in page
    assert "5 failures in a row" in page
    assert "The mail server refused the user name or the password." in page


@pytest.mark.usefixtures("two")
def test_speaks_korean(admin_client: Client) -> None:
    page = admin_client.get(url(), headers={"accept-language": "ko"}).content.decode()
    assert "모두 일시 중지" in page
    assert "Pause" not in page


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize("name", ["primary", ""])
def test_pauses_and_resumes(name: str, admin_client: Client) -> None:
    page = admin_client.post(url(), {"name": name, "act": "pause"}, follow=True)
    assert "until you resume it" in page.content.decode()
    assert carriers.is_paused("primary")
    assert carriers.is_paused("backup") is (name == "")
    admin_client.post(url(), {"name": name, "act": "resume"})
    assert not carriers.is_paused("primary")


@pytest.mark.usefixtures("two")
def test_closes_a_breaker(admin_client: Client) -> None:
    Carrier.objects.create(name="primary", broken_until=db_now("default") + timedelta(hours=1))
    admin_client.post(url(), {"name": "primary", "act": "close"})
    assert Carrier.objects.get().broken_until is None


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(("name", "act"), [("nobody", "pause"), ("primary", "delete")])
def test_does_nothing_else(name: str, act: str, admin_client: Client) -> None:
    assert admin_client.post(url(), {"name": name, "act": act}).status_code == 302
    assert not Carrier.objects.exists()


@pytest.mark.usefixtures("two")
def test_who_may_look_may_not_pause() -> None:
    client = client_of("view_carrier")
    page = client.get(url()).content.decode()
    assert "primary" in page
    assert "<button" not in page.partition('id="content-main"')[2]
    assert client.post(url(), {"name": "", "act": "pause"}).status_code == 403
    assert not carriers.is_paused("primary")


@pytest.mark.usefixtures("two")
def test_others_see_nothing() -> None:
    assert client_of("view_message").get(url()).status_code == 403


@pytest.mark.usefixtures("two")
def test_a_foreign_page_cannot_pause(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(url(), {"name": "", "act": "pause"}).status_code == 403
