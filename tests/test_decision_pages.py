"""Deciding about a held message in the admin: who may, what it says, what becomes of it."""

from __future__ import annotations

import html
import uuid

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from django_authmail.message import OnUnknown
from django_authmail.models import Message
from django_authmail.outbox import queue
from tests.outbox.factories import CODE, auth_message
from tests.outbox.test_queue import UNKNOWN, failed

pytestmark = pytest.mark.django_db

LOG = "/admin/authmail/message/"


@pytest.fixture
def held() -> Message:
    row = queue.submit(auth_message(on_unknown=OnUnknown.HOLD, expires_in=None))
    claim = queue.claim(row.id)
    assert claim is not None
    return queue.settle(claim, failed(claim, UNKNOWN), carrier="default")


def text_of(client: Client, address: str, language: str = "en") -> str:
    response = client.get(address, headers={"Accept-Language": language})
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def test_the_page_of_a_held_message_says_what_to_decide(
    admin_client: Client, held: Message
) -> None:
    text = text_of(admin_client, f"{LOG}{held.pk}/change/")
    assert "authmail-state-held" in text
    assert "The mail server may have taken this mail" in text
    for word in queue.Decision:
        assert f"{LOG}{held.pk}/decide/{word}/" in text
    assert CODE not in text
    korean = text_of(admin_client, f"{LOG}{held.pk}/change/", "ko")
    for words in ("다시 보내기", "전달되었음", "포기하기"):
        assert words in korean


def test_only_a_held_message_is_to_be_decided(admin_client: Client) -> None:
    row = queue.submit(auth_message())
    assert "/decide/" not in text_of(admin_client, f"{LOG}{row.pk}/change/")
    response = admin_client.post(f"{LOG}{row.pk}/decide/give_up/", follow=True)
    assert "It is not held any more" in response.content.decode()
    row.refresh_from_db()
    assert row.state == "queued"


@pytest.mark.parametrize(
    ("word", "state"),
    [("send_again", "queued"), ("delivered", "accepted"), ("give_up", "unknown")],
)
def test_asks_before_it_does_what_was_decided(
    admin_client: Client, held: Message, word: str, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = f"{LOG}{held.pk}/decide/{word}/"
    assert held.message_id in text_of(admin_client, address)
    held.refresh_from_db()
    assert held.state == "held"
    response = admin_client.post(address)
    assert response["Location"] == f"{LOG}{held.pk}/change/"
    held.refresh_from_db()
    assert held.state == state
    admin = User.objects.get()
    assert f"email.decided id={held.pk} decision={word} by=user:{admin.pk}" in caplog.text
    entry = LogEntry.objects.get()
    assert (entry.user_id, entry.object_id) == (admin.pk, str(held.pk))


def test_of_two_who_decide_the_second_is_told(admin_client: Client, held: Message) -> None:
    admin_client.post(f"{LOG}{held.pk}/decide/delivered/")
    response = admin_client.post(f"{LOG}{held.pk}/decide/send_again/", follow=True)
    assert "It is not held any more" in response.content.decode()
    held.refresh_from_db()
    assert held.state == "accepted"


def test_to_see_is_not_to_decide(client: Client, held: Message) -> None:
    staff = User.objects.create_user("staff", password="x", is_staff=True)
    staff.user_permissions.add(Permission.objects.get(codename="view_message"))
    client.force_login(staff)
    text = text_of(client, f"{LOG}{held.pk}/change/")
    assert "you need the permission to change messages" in text
    assert "/decide/" not in text
    address = f"{LOG}{held.pk}/decide/give_up/"
    assert client.get(address).status_code == client.post(address).status_code == 403
    held.refresh_from_db()
    assert held.state == "held"
    staff.user_permissions.add(Permission.objects.get(codename="change_message"))
    assert client.post(address).status_code == 302
    # Nor does it let anybody edit the row.
    assert client.post(f"{LOG}{held.pk}/change/", {"state": "failed"}).status_code == 403


def test_what_is_not_there(admin_client: Client, held: Message) -> None:
    assert admin_client.post(f"{LOG}{held.pk}/decide/whatever/").status_code == 404
    assert admin_client.post(f"{LOG}{uuid.uuid4()}/decide/give_up/").status_code == 404
    assert admin_client.put(f"{LOG}{held.pk}/decide/give_up/").status_code == 405


def test_needs_a_login(client: Client, held: Message) -> None:
    response = client.post(f"{LOG}{held.pk}/decide/give_up/")
    assert response.status_code == 302
    assert "/login/" in response["Location"]
