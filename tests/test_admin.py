"""The send log and the keys in the admin: who sees what, and what nobody sees."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from django_authmail import dispatch, keyring, keys, outbox
from django_authmail.clock import db_now
from django_authmail.keyring import Terms
from django_authmail.models import ApiKey, Message
from django_authmail.notifiers import OTPNotifier
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

CODE = "CANARY-7391"
TO = "Hong.Gildong@example.com"
LOG = "/admin/authmail/message/"
KEYS = "/admin/authmail/apikey/"


@pytest.fixture
def queued() -> Message:
    """A message that waits, its body sealed in the row."""
    mail = OTPNotifier().build(TO, user_name="홍길동", code=CODE)
    return outbox.submit(mail, owner="site", request_id="call-1")


@pytest.fixture
def refused(smtp_server: SmtpServer) -> Message:
    """A message that the server refused."""
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    mail = OTPNotifier().build(TO, user_name="홍길동", code=CODE)
    return dispatch.send_now(mail, owner="setting", request_id="call-2")


def _text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def test_says_so_when_no_worker_takes_a_message(admin_client: Client, queued: Message) -> None:
    page = f"{LOG}{queued.pk}/change/"
    assert "It waits to be sent." in _text(admin_client, page)
    Message.objects.update(due_at=db_now("default") - timedelta(seconds=40))
    text = _text(admin_client, page)
    assert re.search(r"It has been due for 4\d s and no worker took it: run", text)
    assert "It waits to be sent." not in text


def test_lists_messages_with_state_and_reason(
    admin_client: Client, queued: Message, refused: Message
) -> None:
    text = _text(admin_client, LOG)
    assert "authmail-state-queued" in text
    assert "authmail-state-failed" in text
    assert "<code>recipient_refused</code> / <code>bad_recipient</code>" in text
    # What to do is on the page of each.
    assert "There is no such mailbox" not in text
    assert "H***@example.com" in text
    for secret in (CODE, TO, "홍길동"):
        assert secret not in text


def test_a_message_s_page_says_what_to_do(admin_client: Client, refused: Message) -> None:
    text = _text(admin_client, f"{LOG}{refused.pk}/change/")
    assert "There is no such mailbox" in text
    assert "550 5.1.1 no such user" in text
    assert "the key in AUTHMAIL_API_KEY" in text
    assert refused.message_id in text
    for secret in (CODE, TO, "홍길동"):
        assert secret not in text


@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_is_code_in_a_hint_looks_like_code(
    admin_client: Client, queued: Message, language: str
) -> None:
    Message.objects.update(reason="mailer_unusable", error_code="unknown")
    page = f"{LOG}{queued.pk}/change/"
    response = admin_client.get(page, headers={"Accept-Language": language})
    assert "<code>manage.py check</code>" in response.content.decode()


def test_the_sealed_body_is_neither_shown_nor_read(
    admin_client: Client, queued: Message, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    assert queued.sealed
    sealed = bytes(queued.sealed).decode("ascii")
    for address in (LOG, f"{LOG}{queued.pk}/change/"):
        with django_assert_max_num_queries(20) as queries:
            text = _text(admin_client, address)
        assert sealed[:40] not in text
        assert "sealed" not in text
        assert "sealed" not in " ".join(str(query["sql"]) for query in queries.captured_queries)


def test_nobody_changes_a_message(admin_client: Client, queued: Message) -> None:
    assert admin_client.get(f"{LOG}add/").status_code == 403
    assert admin_client.get(f"{LOG}{queued.pk}/delete/").status_code == 403
    assert admin_client.post(f"{LOG}{queued.pk}/change/", {"state": "failed"}).status_code == 403
    admin_client.post(
        LOG, {"action": "delete_selected", "_selected_action": str(queued.pk), "post": "yes"}
    )
    queued.refresh_from_db()
    assert queued.state == "queued"


def test_the_log_needs_its_permission(client: Client, queued: Message) -> None:
    staff = User.objects.create_user("staff", password="x", is_staff=True)
    client.force_login(staff)
    assert client.get(LOG).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="view_message"))
    assert client.get(LOG).status_code == 200
    assert client.get(KEYS).status_code == 403


@pytest.mark.parametrize(
    "term",
    [
        pytest.param(TO, id="the address"),
        pytest.param(f"  {TO} ", id="with spaces around it"),
        pytest.param("Hong.Gildong@EXAMPLE.com", id="the domain in upper case"),
        pytest.param("call-1", id="the request id"),
        pytest.param("{message_id}", id="the Message-ID"),
        pytest.param("{bare_message_id}", id="the Message-ID without brackets"),
        pytest.param("{id}", id="the id"),
    ],
)
def test_finds_a_message_by(admin_client: Client, queued: Message, term: str) -> None:
    other = OTPNotifier().build("other@example.com", user_name="", code="1111")
    outbox.submit(other, owner="site", request_id="call-3")
    term = term.format(
        message_id=queued.message_id, bare_message_id=queued.message_id.strip("<>"), id=queued.pk
    )
    response = admin_client.post(LOG, {"authmail_search": "1", "q": term}, follow=True)
    text = html.unescape(response.content.decode())
    assert f"{LOG}{queued.pk}/change/" in text
    assert "o***@example.com" not in text
    # Old links and habits: ?q= finds it as well.
    assert f"{LOG}{queued.pk}/change/" in _text_of(admin_client, term)


def _text_of(client: Client, term: str) -> str:
    return html.unescape(client.get(LOG, {"q": term}, follow=True).content.decode())


@pytest.mark.parametrize("term", ["nobody@example.com", "Hong", "example.com", "<x@y>", "a@b@c"])
def test_finds_nothing_by(admin_client: Client, queued: Message, term: str) -> None:
    assert f"{LOG}{queued.pk}/change/" not in _text_of(admin_client, term)


def test_a_search_keeps_addresses_out_of_the_access_log(
    admin_client: Client, queued: Message
) -> None:
    assert 'id="changelist-search" method="post"' in _text(admin_client, LOG)
    address = f"{LOG}?state__exact=queued&p=2"
    response = admin_client.post(address, {"authmail_search": "1", "q": TO})
    assert response.status_code == 302
    location = unquote(response["Location"])
    assert "gildong" not in location.lower()
    assert location.startswith(f"{LOG}?state__exact=queued&q=recipient:")
    assert f"{LOG}{queued.pk}/change/" in _text(admin_client, response["Location"])


@pytest.mark.parametrize(
    "term",
    [
        pytest.param("hong@example..com", id="two dots"),
        pytest.param("hong @example.com", id="a space"),
        pytest.param("hong@@example.com", id="two at signs"),
        pytest.param("<hong@example.com>", id="in angle brackets"),
        pytest.param("<hong@example.com", id="in one of them"),
        pytest.param("hong@example.com,", id="a comma"),
        pytest.param("hong.example.com", id="no at sign"),
        pytest.param("recipient:hong@example.com", id="after the word of the search"),
        pytest.param("hong\uff20example.com", id="a full-width at sign"),
        pytest.param("\ud64d@example.com", id="Korean"),
    ],
)
def test_a_mistyped_address_stays_out_of_the_access_log_too(
    admin_client: Client, queued: Message, term: str
) -> None:
    response = admin_client.post(LOG, {"authmail_search": "1", "q": term})
    location = unquote(response["Location"])
    assert "hong" not in location
    assert "example" not in location
    text = _text(admin_client, response["Location"])
    assert f"{LOG}{queued.pk}/change/" not in text
    assert "This is no address" in text


@pytest.mark.parametrize(
    "term", [TO, f" {TO}", "nobody@example.com", "hong@example..com", "hong.gildong", f"{TO}\0"]
)
def test_what_follows_an_address_in_a_link_is_without_it(
    admin_client: Client, queued: Message, term: str
) -> None:
    response = admin_client.get(LOG, {"state__exact": "queued", "q": term, "p": "2"})
    assert response.status_code == 302
    location = unquote(response["Location"])
    assert location.startswith(f"{LOG}?state__exact=queued&q=recipient:")
    for part in ("gildong", "example", "nobody"):
        assert part not in location.lower()
        assert part not in html.unescape(response.content.decode()).lower()
    # The links of filters and pages have the search in them.
    text = _text(admin_client, response["Location"])
    assert TO not in text
    assert term.strip("\0 ") not in text


@pytest.mark.parametrize(
    ("language", "term", "words"),
    [
        pytest.param("en", TO, "Recipient: <strong>H***@example.com<", id="masked"),
        pytest.param("ko", TO, "수신자: <strong>H***@example.com<", id="masked, in Korean"),
        pytest.param(
            "en", "nobody@example.com", "<strong>the address that you searched for<", id="unknown"
        ),
        pytest.param("ko", "nobody@example.com", "<strong>검색한 주소<", id="unknown, in Korean"),
    ],
)
def test_a_search_for_an_address_shows_whom_it_was_for(
    admin_client: Client, queued: Message, language: str, term: str, words: str
) -> None:
    data = {"authmail_search": "1", "q": term}
    response = admin_client.post(LOG, data, follow=True, headers={"Accept-Language": language})
    text = html.unescape(response.content.decode())
    assert words in text
    assert 'name="q" value=""' in text
    assert "Recipient: <strong>" not in _text(admin_client, f"{LOG}?q=call-1")


def test_a_message_id_of_another_s_making_is_searched_for_as_it_is(
    admin_client: Client, queued: Message
) -> None:
    Message.objects.filter(pk=queued.pk).update(message_id="<1234.5678@mail.example.com>")
    for term in ("<1234.5678@mail.example.com>", "call-1"):
        response = admin_client.post(LOG, {"authmail_search": "1", "q": term})
        assert unquote(response["Location"]) == f"{LOG}?q={term}"
        assert f"{LOG}{queued.pk}/change/" in _text(admin_client, response["Location"])


def test_a_search_can_be_sent_again(admin_client: Client, queued: Message) -> None:
    for term in (TO, "nobody@example.com"):
        first = admin_client.post(LOG, {"authmail_search": "1", "q": term})["Location"]
        query = unquote(first).partition("?q=")[2]
        again = admin_client.post(LOG, {"authmail_search": "1", "q": query})["Location"]
        assert again == first
        assert "This is no address" not in _text(admin_client, again)


def test_a_search_needs_the_permission_to_see(client: Client, queued: Message) -> None:
    client.force_login(User.objects.create_user("staff", password="x", is_staff=True))
    for term in ("call-1", TO, "nothing"):
        assert client.post(LOG, {"authmail_search": "1", "q": term}).status_code == 403


def test_finds_messages_of_before_a_key_was_rotated(
    admin_client: Client, settings: Settings
) -> None:
    settings.AUTHMAIL_HASH_KEYS = ["o" * 32]
    mail = OTPNotifier().build(TO, user_name="", code=CODE)
    row = outbox.submit(mail, owner="site", request_id="call-9")
    settings.AUTHMAIL_HASH_KEYS = ["n" * 32, "o" * 32]
    response = admin_client.post(LOG, {"authmail_search": "1", "q": TO}, follow=True)
    assert f"{LOG}{row.pk}/change/" in response.content.decode()


def test_shows_what_took_a_failed_message_up_again(
    admin_client: Client, queued: Message, refused: Message
) -> None:
    Message.objects.filter(pk=queued.pk).update(retry_of=refused)
    for shown, other in ((queued, refused), (refused, queued)):
        text = _text(admin_client, f"{LOG}{shown.pk}/change/")
        assert "Other tries of the request" in text
        assert f'<a href="{LOG}{other.pk}/change/">' in text
        assert f'<a href="{LOG}{shown.pk}/change/">' not in text


def test_the_title_of_a_message_is_in_the_reader_s_language(
    admin_client: Client, queued: Message
) -> None:
    response = admin_client.get(f"{LOG}{queued.pk}/change/", headers={"Accept-Language": "ko"})
    text = html.unescape(response.content.decode())
    title = re.search("<title>(.*?)</title>", text, re.DOTALL)
    assert title
    assert "otp H***@example.com 대기 중" in title[1]
    assert "otp H***@example.com queued" not in text


@pytest.mark.parametrize(
    ("language", "title_of_one", "titles"),
    [
        pytest.param(
            "ko",
            "메시지",
            ("메시지", "API 키", "발송 차단 주소", "웹훅 전달", "웹훅 엔드포인트"),
            id="Korean",
        ),
        pytest.param(
            "en",
            "Message",
            (
                "Messages",
                "API keys",
                "Suppressed addresses",
                "Webhook deliveries",
                "Webhook endpoints",
            ),
            id="English",
        ),
    ],
)
def test_a_page_is_called_by_what_it_shows(
    admin_client: Client, queued: Message, language: str, title_of_one: str, titles: tuple[str, ...]
) -> None:
    admin_client.defaults["HTTP_ACCEPT_LANGUAGE"] = language
    models = ("message", "apikey", "suppression", "webhookdelivery", "webhookendpoint")
    for model, title in zip(models, titles, strict=True):
        text = _text(admin_client, f"/admin/authmail/{model}/")
        assert f"<h1>{title}</h1>" in text
        assert f"<title>{title} |" in text
    text = _text(admin_client, f"{LOG}{queued.pk}/change/")
    assert f"<h1>{title_of_one}</h1>" in text


def test_who_may_only_look_at_a_key_is_not_told_to_change_it(client: Client) -> None:
    key, _ = keyring.issue("shop", Terms())
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(viewer)
    assert "<h1>API key</h1>" in _text(client, f"{KEYS}{key.pk}/change/")
    viewer.user_permissions.add(Permission.objects.get(codename="change_apikey"))
    assert "<h1>Change API key</h1>" in _text(client, f"{KEYS}{key.pk}/change/")


def test_filters_by_error_code(admin_client: Client, queued: Message, refused: Message) -> None:
    text = _text(admin_client, f"{LOG}?error_code=recipient_refused")
    assert str(refused.pk) in text
    assert str(queued.pk) not in text


def test_filters_by_kind(admin_client: Client, queued: Message, refused: Message) -> None:
    Message.objects.filter(pk=refused.pk).update(kind="payment-receipt")
    text = _text(admin_client, f"{LOG}?kind=payment-receipt")
    assert str(refused.pk) in text
    assert str(queued.pk) not in text
    assert '<a href="?kind=otp">otp</a>' in re.sub(r"\s*(<|>)\s*", r"\1", text)
    # A kind of a project's own that is no class of a notifier.
    Message.objects.filter(pk=queued.pk).update(kind="newsletter")
    text = _text(admin_client, f"{LOG}?kind=newsletter")
    assert str(queued.pk) in text
    assert str(refused.pk) not in text


def test_a_new_key_is_shown_once(admin_client: Client) -> None:
    response = admin_client.post(
        f"{KEYS}add/", {"name": "shop", "scopes": ["send:otp"], "expires_at_0": "", "_save": "1"}
    )
    shown = re.search(r'id="authmail-key">(am_live_\w+)<', response.content.decode())
    assert shown is not None
    key = shown[1]
    row = ApiKey.objects.get()
    assert keys.well_formed(key)
    assert (row.digest, row.prefix, row.scopes) == (
        keys.digest(key),
        keys.prefix(key),
        ["send:otp"],
    )
    assert "no-store" in response["Cache-Control"]
    assert key not in str(admin_client.cookies)
    assert key not in str(dict(admin_client.session))
    for address in (KEYS, f"{KEYS}{row.pk}/change/", f"{KEYS}{row.pk}/history/", "/admin/"):
        text = _text(admin_client, address)
        assert key not in text
        assert row.digest not in text


@pytest.mark.parametrize("given", [{"scopes": []}, {"scopes": ["everything"]}, {"name": ""}])
def test_a_key_needs_a_name_and_known_scopes(
    admin_client: Client, given: dict[str, object]
) -> None:
    form = {"name": "shop", "scopes": ["send:otp"], "_save": "1"} | given
    response = admin_client.post(f"{KEYS}add/", form)
    assert "errornote" in response.content.decode()
    assert not ApiKey.objects.exists()


def test_only_a_key_s_name_can_be_changed(admin_client: Client) -> None:
    row = ApiKey.objects.create(name="shop", prefix="am_live_abcdef", digest="d", scopes=["a"])
    admin_client.post(
        f"{KEYS}{row.pk}/change/",
        {"name": "store", "scopes": ["send:otp"], "prefix": "x", "digest": "y", "_save": "1"},
    )
    row.refresh_from_db()
    assert (row.name, row.scopes, row.prefix, row.digest) == (
        "store",
        ["a"],
        "am_live_abcdef",
        "d",
    )
    assert admin_client.get(f"{KEYS}{row.pk}/delete/").status_code == 403


def test_a_new_key_has_the_terms_of_its_form(admin_client: Client) -> None:
    form = {
        "name": "staging",
        "is_test": "on",
        "scopes": ["send:otp", "messages:read"],
        "networks": " 10.0.0.0/8\r\n\r\n203.0.113.7 ",
        "recipients": "Example.com\r\nHong@example.org",
        "rate_per_minute": "0",
        "expires_at_0": "2099-01-01",
        "expires_at_1": "00:00",
        "_save": "1",
    }
    response = admin_client.post(f"{KEYS}add/", form)
    shown = re.search(r'id="authmail-key">(am_test_\w+)<', response.content.decode())
    assert shown is not None
    row = ApiKey.objects.get()
    assert row.digest == keys.digest(shown[1])
    assert row.scopes == ["send:otp", "messages:read"]
    assert row.networks == ["10.0.0.0/8", "203.0.113.7/32"]
    assert row.recipients == ["@example.com", "hong@example.org"]
    assert (row.rate_per_minute, row.holder) == (0, row.pk)
    assert row.expires_at is not None
    text = _text(admin_client, f"{KEYS}{row.pk}/change/")
    for term in ("10.0.0.0/8, 203.0.113.7/32", "@example.com, hong@example.org", "no limit"):
        assert term in text
    assert "as in the settings" not in text
    ApiKey.objects.update(rate_per_minute=None)
    assert "60, as in the settings" in _text(admin_client, f"{KEYS}{row.pk}/change/")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"networks": "10.0.0.1/8"}, "Write 10.0.0.0/8, or the address alone"),
        ({"recipients": "a@"}, "is neither an address nor a domain"),
        ({"rate_per_minute": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_key_is_not_made_with_terms_that_are_none(
    admin_client: Client, given: dict[str, str], error: str
) -> None:
    form = {"name": "shop", "scopes": ["send:otp"], "_save": "1"} | given
    assert error in admin_client.post(f"{KEYS}add/", form).content.decode()
    assert not ApiKey.objects.exists()


def test_rotates_a_key(admin_client: Client) -> None:
    old, _ = keyring.issue("shop", Terms(scopes=("send:otp",)))
    page = f"{KEYS}{old.pk}/rotate/"
    assert page in _text(admin_client, f"{KEYS}{old.pk}/change/")
    assert "“shop”" in _text(admin_client, page)
    assert "Ensure this value" in admin_client.post(page, {"hours": "-1"}).content.decode()
    response = admin_client.post(page, {"hours": "2"})
    text = response.content.decode()
    shown = re.search(r'id="authmail-key">(am_live_\w+)<', text)
    assert shown is not None
    assert "no-store" in response["Cache-Control"]
    new = ApiKey.objects.get(digest=keys.digest(shown[1]))
    old.refresh_from_db()
    assert (new.holder, new.scopes) == (old.holder, ["send:otp"])
    assert old.expires_at == new.created_at + timedelta(hours=2)
    assert f"The key that it replaces, {old.prefix}…, ends at" in text
    for row in (old, new):
        history = _text(admin_client, f"{KEYS}{row.pk}/history/")
        assert "rotated" in history
        assert shown[1] not in history
    again = admin_client.post(page, {"hours": "2"}, follow=True).content.decode()
    assert f"was replaced by {new.prefix}…" in again
    at_once = admin_client.post(f"{KEYS}{new.pk}/rotate/", {"hours": "0"}).content.decode()
    assert f"The key that it replaces, {new.prefix}…, has ended." in at_once
    new.refresh_from_db()
    assert new.revoked_at is not None
    assert "/rotate/" not in _text(admin_client, f"{KEYS}{new.pk}/change/")


@pytest.mark.parametrize("permissions", [["view"], ["view", "change"], ["view", "add"]], ids=str)
def test_to_rotate_a_key_needs_the_permissions_to_make_and_to_change_one(
    client: Client, permissions: list[str]
) -> None:
    user = User.objects.create_user("op", is_staff=True)
    wanted = [f"{permission}_apikey" for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(user)
    row, _ = keyring.issue("shop", Terms())
    assert client.post(f"{KEYS}{row.pk}/rotate/", {"hours": "0"}).status_code == 403
    assert ApiKey.objects.get().revoked_at is None
    assert "/rotate/" not in _text(client, f"{KEYS}{row.pk}/change/")


def test_a_message_of_a_test_says_that_nobody_gets_it(admin_client: Client) -> None:
    row = dispatch.send_now(auth_message(), is_test=True)
    assert "authmail-state-test" in _text(admin_client, LOG)
    assert "A key for tests sent it" in _text(admin_client, f"{LOG}{row.pk}/change/")


def test_a_message_s_page_names_the_newest_key_of_its_holder(admin_client: Client) -> None:
    old, _ = keyring.issue("shop", Terms())
    row = outbox.submit(auth_message(), owner=f"key:{old.holder}")
    new, _ = keyring.rotate(old, overlap=timedelta(hours=1))
    assert new.prefix in _text(admin_client, f"{LOG}{row.pk}/change/")


def test_revokes_keys(admin_client: Client) -> None:
    rows = [ApiKey.objects.create(name=name, prefix="am_live_abcdef", digest=name) for name in "ab"]
    form = {"action": "revoke", "_selected_action": [str(row.pk) for row in rows]}
    text = admin_client.post(KEYS, form, follow=True).content.decode()
    assert "2 keys were revoked." in text
    assert "authmail-state-failed" in text
    first = ApiKey.objects.values_list("revoked_at", flat=True).first()
    assert first is not None
    assert "0 keys were revoked." in admin_client.post(KEYS, form, follow=True).content.decode()
    assert ApiKey.objects.filter(revoked_at=first).count() == 2
    history = _text(admin_client, f"{KEYS}{rows[0].pk}/history/")
    assert "revoked" in history.lower()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("apikey", "manage.py authmail_key create"),
        ("message", "manage.py authmail_find ADDRESS"),
        ("suppression", "no such mailbox"),
        ("webhookdelivery", "told to endpoints"),
        ("webhookendpoint", "manage.py authmail_webhook create"),
    ],
)
def test_an_empty_list_says_what_gets_into_it(admin_client: Client, name: str, says: str) -> None:
    assert says in _text(admin_client, f"/admin/authmail/{name}/")


def test_a_list_with_rows_does_not(admin_client: Client, queued: Message) -> None:
    says = "manage.py authmail_find ADDRESS"
    assert says not in _text(admin_client, LOG)
    assert says in _text(admin_client, f"{LOG}?state__exact=failed")


def test_times_name_their_zone(admin_client: Client, queued: Message, settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Seoul"
    created = f"{queued.created_at.astimezone(ZoneInfo('Asia/Seoul')):%Y-%m-%d %H:%M:%S}"
    seoul = f'{created}\xa0<span class="authmail-zone">KST</span>'
    assert seoul in _text(admin_client, LOG)
    assert seoul in _text(admin_client, f"{LOG}{queued.pk}/change/")
    assert queued.expires_at is not None
    valid_until = queued.expires_at.astimezone(ZoneInfo("Asia/Seoul"))
    assert f"{valid_until:%Y-%m-%d %H:%M:%S} KST" in _text(
        admin_client, f"{LOG}{queued.pk}/change/"
    )


def test_the_page_of_a_key_leads_to_its_revocation(admin_client: Client) -> None:
    row, _ = keyring.issue("shop", Terms())
    other, _ = keyring.issue("other", Terms())
    page = f"{KEYS}{row.pk}/revoke/"
    assert page in _text(admin_client, f"{KEYS}{row.pk}/change/")
    asked = _text(admin_client, page)
    assert "That cannot be undone." in asked
    assert admin_client.post(page).status_code == 405
    form = dict(
        re.findall(r'type="hidden" name="(action|_selected_action)" value="([^"]+)"', asked)
    )
    assert "1 key was revoked." in admin_client.post(KEYS, form, follow=True).content.decode()
    assert list(ApiKey.objects.filter(revoked_at=None)) == [other]
    assert "/revoke/" not in _text(admin_client, f"{KEYS}{row.pk}/change/")


def test_to_revoke_a_key_needs_the_permission_to_change_one(client: Client) -> None:
    user = User.objects.create_user("op", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_apikey"))
    client.force_login(user)
    row, _ = keyring.issue("shop", Terms())
    assert client.get(f"{KEYS}{row.pk}/revoke/").status_code == 403
    assert "/revoke/" not in _text(client, f"{KEYS}{row.pk}/change/")


def test_each_scope_is_explained_where_a_key_is_made(admin_client: Client) -> None:
    page = _text(admin_client, f"{KEYS}add/")
    meanings = re.findall(r'<code>([a-z:-]+)</code> <span class="quiet">(.+?)</span>', page)
    assert [scope for scope, meaning in meanings] == list(keys.SCOPES)
    assert "Save and add another" not in _text(
        admin_client, f"{KEYS}{keyring.issue('shop', Terms())[0].pk}/change/"
    )
