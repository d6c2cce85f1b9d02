"""Suppressed addresses in the admin: seen, and lifted by who may."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_authmail import outbox
from django_authmail.clock import db_now
from django_authmail.hashes import address_hash
from django_authmail.models import Suppression
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db

LIST = "/admin/authmail/suppression/"
HONG = "hong@example.com"


@pytest.fixture
def suppressed() -> Suppression:
    now = db_now("default")
    return Suppression.objects.create(
        owner="site", address_hash=address_hash(HONG), masked="h***@example.com",
        reason="bad_recipient", created_at=now, ends_at=now + timedelta(days=30),
    )  # fmt: skip


def lift(client: Client, row: Suppression) -> str:
    data = {"action": "lift", "_selected_action": [str(row.pk)]}
    return client.post(LIST, data, follow=True).content.decode()


def test_shows_whom_and_why_and_until_when(admin_client: Client, suppressed: Suppression) -> None:
    text = admin_client.get(LIST).content.decode()
    assert "h***@example.com" in text
    assert "<code>bad_recipient</code>" in text
    assert "There is no such mailbox" in text
    assert suppressed.address_hash not in text
    assert admin_client.get(f"{LIST}add/").status_code == 403


def test_shows_the_whole_address_where_it_is_kept(
    admin_client: Client, suppressed: Suppression
) -> None:
    Suppression.objects.update(address=HONG)
    assert HONG in admin_client.get(LIST).content.decode()


def test_lifting_sends_again_and_is_on_record(
    admin_client: Client, suppressed: Suppression
) -> None:
    assert outbox.submit(auth_message(to=(HONG,))).state == "failed"
    assert "Mail is sent to 1 address again." in lift(admin_client, suppressed)
    assert outbox.submit(auth_message(to=(HONG,))).state == "queued"
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.is_deletion()) == ("admin", True)
    assert entry.object_repr == "h***@example.com bad_recipient"


def test_who_may_only_look_cannot_lift(client: Client, suppressed: Suppression) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_suppression"))
    client.force_login(viewer)
    assert "h***@example.com" in client.get(LIST).content.decode()
    lift(client, suppressed)
    assert Suppression.objects.exists()
