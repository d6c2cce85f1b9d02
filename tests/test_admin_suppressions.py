"""Suppressed addresses in the admin: seen, and lifted by who may."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import unquote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from django_authmail import keyring, outbox
from django_authmail.clock import db_now
from django_authmail.hashes import address_hash, mask
from django_authmail.keyring import Terms
from django_authmail.management import findings
from django_authmail.models import Suppression
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db

LIST = "/admin/authmail/suppression/"
HONG = "hong@example.com"


@pytest.fixture
def suppressed() -> Suppression:
    return suppress(HONG)


def lift(client: Client, *rows: Suppression, **data: str) -> str:
    chosen = {"action": "lift", "_selected_action": [str(row.pk) for row in rows]}
    return client.post(LIST, chosen | data, follow=True).content.decode()


def page_of(client: Client, address: str) -> str:
    return client.get(address).content.decode()


def suppress(address: str, owner: str = "site") -> Suppression:
    now = db_now("default")
    return Suppression.objects.create(
        owner=owner, address_hash=address_hash(address), masked=mask(address),
        reason="bad_recipient", created_at=now, ends_at=now + timedelta(days=30),
    )  # fmt: skip


def test_shows_whom_and_why_and_until_when(admin_client: Client, suppressed: Suppression) -> None:
    text = admin_client.get(LIST).content.decode()
    assert "h***@example.com" in text
    assert "<code>bad_recipient</code>" in text
    # What to do is on the page of each, to which its address leads.
    assert "There is no such mailbox" not in text
    assert f'href="{LIST}{suppressed.pk}/change/' in text
    assert suppressed.address_hash not in text
    assert admin_client.get(f"{LIST}add/").status_code == 403


@pytest.mark.parametrize(
    ("language", "advice", "button"),
    [
        ("en", "There is no such mailbox", "Send to this address again"),
        ("ko", "존재하지 않는 메일 주소입니다", "이 주소의 발송 차단 해제"),
    ],
)
def test_the_page_of_an_address_says_what_to_do_and_leads_to_lifting(
    admin_client: Client, suppressed: Suppression, language: str, advice: str, button: str
) -> None:
    admin_client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    text = page_of(admin_client, f"{LIST}{suppressed.pk}/change/")
    assert "h***@example.com" in text
    assert "<code>bad_recipient</code>" in text
    assert advice in text
    assert button in text
    assert f'action="{LIST}"' in text
    assert f'name="_selected_action" value="{suppressed.pk}"' in text
    assert "/delete/" not in text
    assert suppressed.address_hash not in text


def test_says_what_to_do_once_before_it_lifts(admin_client: Client) -> None:
    text = lift(admin_client, suppress(HONG), suppress("hana@example.com"))
    assert text.count("There is no such mailbox") == 1


def test_shows_the_whole_address_where_it_is_kept(
    admin_client: Client, suppressed: Suppression
) -> None:
    Suppression.objects.update(address=HONG)
    assert HONG in admin_client.get(LIST).content.decode()


def test_lifting_sends_again_and_is_on_record(
    admin_client: Client, suppressed: Suppression
) -> None:
    assert outbox.submit(auth_message(to=(HONG,))).state == "failed"
    assert "Mail is sent to 1 address again." in lift(admin_client, suppressed, confirmed="1")
    assert outbox.submit(auth_message(to=(HONG,))).state == "queued"
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.is_deletion()) == ("admin", True)
    assert entry.object_repr == "h***@example.com bad_recipient"


def test_who_may_only_look_cannot_lift(client: Client, suppressed: Suppression) -> None:
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_suppression"))
    client.force_login(viewer)
    assert "h***@example.com" in client.get(LIST).content.decode()
    assert 'value="lift"' not in page_of(client, f"{LIST}{suppressed.pk}/change/")
    lift(client, suppressed, confirmed="1")
    assert Suppression.objects.exists()


def test_asks_before_it_lifts_and_says_how_many(admin_client: Client) -> None:
    rows = [suppress(HONG), suppress("hana@example.com")]
    text = lift(admin_client, *rows)
    assert "Send mail to 2 addresses again?" in text
    assert text.count("h***@example.com") == 2
    assert Suppression.objects.count() == 2
    assert 'name="confirmed" value="2"' in text
    # One is gone since: another number than the one that was said yes to.
    Suppression.objects.filter(pk=rows[0].pk).delete()
    assert "Send mail to 1 address again?" in lift(admin_client, *rows, confirmed="2")
    assert "Mail is sent to 1 address again." in lift(admin_client, *rows[1:], confirmed="1")
    assert not Suppression.objects.exists()


def test_asks_in_korean(admin_client: Client, suppressed: Suppression) -> None:
    admin_client.defaults["HTTP_ACCEPT_LANGUAGE"] = "ko"
    text = lift(admin_client, suppressed)
    assert "주소 1개의 발송 차단을 해제할까요?" in text
    assert 'type="submit" value="발송 차단 해제"' in text


def test_lifts_all_pages_only_after_their_number_was_said(admin_client: Client) -> None:
    rows = [suppress(f"h{number}@example.com") for number in range(103)]
    text = lift(admin_client, rows[0], select_across="1")
    assert "Send mail to 103 addresses again?" in text
    assert 'name="select_across" value="1"' in text
    assert "and 3 more" in text
    lift(admin_client, rows[0], select_across="1", confirmed="103")
    assert not Suppression.objects.exists()


def test_finds_an_address_among_those_that_look_alike(admin_client: Client) -> None:
    rows = [suppress(address) for address in (HONG, "hana@example.com", "hyun@example.com")]
    assert 'id="changelist-search" method="post"' in admin_client.get(LIST).content.decode()
    for asked in (
        admin_client.post(f"{LIST}?owner=site", {"authmail_search": "1", "q": HONG}),
        admin_client.get(LIST, {"owner": "site", "q": HONG}),
    ):
        assert unquote(asked["Location"]).startswith(f"{LIST}?owner=site&q=recipient:")
        assert "hong" not in unquote(asked["Location"])
        found = admin_client.get(asked["Location"])
        assert list(found.context["cl"].result_list) == rows[:1]
        assert "Recipient: <strong>h***@example.com<" in found.content.decode()
    nothing = admin_client.post(LIST, {"authmail_search": "1", "q": "hong"}, follow=True)
    assert not nothing.context["cl"].result_list
    assert "This is no address" in nothing.content.decode()


def test_an_owner_has_its_name(
    admin_client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    key, _ = keyring.issue("billing", Terms())
    owner = f"key:{key.holder}"
    for number in range(30):
        suppress(f"h{number}@example.com", owner=owner)
    suppress(HONG)
    with django_assert_max_num_queries(20):
        text = admin_client.get(LIST).content.decode()
    assert text.count("billing (") >= 30
    assert "this project" in text
    assert f">{owner}<" not in text
    assert admin_client.get(LIST, {"owner": owner}).context["cl"].result_count == 30


def test_a_message_s_page_leads_to_what_stopped_it(
    admin_client: Client, client: Client, suppressed: Suppression
) -> None:
    suppress("hana@example.com")
    suppress(HONG, owner="setting")
    page = f"/admin/authmail/message/{outbox.submit(auth_message(to=(HONG,))).pk}/change/"
    link = re.search(
        'href="([^"]*/suppression/[^"]*q=recipient[^"]*)"', page_of(admin_client, page)
    )
    assert link is not None
    found = admin_client.get(html.unescape(link[1])).context["cl"].result_list
    assert list(found) == [suppressed]
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_message"))
    client.force_login(viewer)
    assert "/suppression/" not in page_of(client, page)
    suppressed.delete()
    assert "q=recipient" not in page_of(admin_client, page)


@pytest.mark.parametrize("stored", [True, False], ids=["address stored", "hash alone"])
def test_after_a_rotation_a_page_leads_to_what_an_older_key_has_hashed_if_it_has_the_address(
    admin_client: Client, settings: Settings, stored: bool
) -> None:
    settings.AUTHMAIL_STORE_ADDRESSES = stored
    settings.AUTHMAIL_HASH_KEYS = ["o" * 32]
    suppressed = suppress(HONG)
    settings.AUTHMAIL_HASH_KEYS = ["n" * 32, "o" * 32]
    row = outbox.submit(auth_message(to=(HONG,)))
    assert row.reason == "suppressed"
    text = page_of(admin_client, f"/admin/authmail/message/{row.pk}/change/")
    link = re.search('href="([^"]*/suppression/[^"]*q=recipient[^"]*)"', text)
    # Two hashes of one address by two keys have nothing in common.
    assert (link is not None) is stored
    if link is not None:
        found = admin_client.get(html.unescape(link[1])).context["cl"].result_list
        assert list(found) == [suppressed]
    # Whoever types the address finds both.
    answer = admin_client.post(LIST, {"authmail_search": "1", "q": HONG}, follow=True)
    assert list(answer.context["cl"].result_list) == [suppressed]
    assert [each["reason"] for each in findings.suppressions(HONG)] == ["bad_recipient"]
