"""Webhooks in the admin: endpoints made and switched, deliveries seen and sent again, no secret."""

from __future__ import annotations

import html
import re
import threading
import uuid
from datetime import timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from django_authmail import keyring
from django_authmail.clock import db_now
from django_authmail.keyring import Terms
from django_authmail.models import Message, WebhookDelivery, WebhookEndpoint
from django_authmail.outbox import queue
from django_authmail.outbox.intake import Intake
from django_authmail.sealing import seal
from django_authmail.secret import Secret
from django_authmail.webhooks import endpoints, replaying
from django_authmail.webhooks.callbacks import Callback
from django_authmail.webhooks.courier import Courier
from django_authmail.webhooks.settlement import FAILING_FOR
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import accepted
from tests.webhooks.receiver import Receiver
from tests.webhooks.rows import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)

ENDPOINTS = "/admin/authmail/webhookendpoint/"
DELIVERIES = "/admin/authmail/webhookdelivery/"
MESSAGES = "/admin/authmail/message/"
#: Of a request: neither is ever shown.
TOKEN = "a-token-of-the-caller"
CALLER_SECRET = "a-secret-of-the-caller"
State = WebhookDelivery.State


def text_of(client: Client, address: str, language: str = "en") -> str:
    response = client.get(address, headers={"Accept-Language": language})
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def posted(client: Client, address: str, **data: object) -> str:
    response = client.post(address, data, follow=True)
    assert response.status_code == 200
    return html.unescape(response.content.decode())


def deliver() -> int:
    return Courier(4).run(threading.Event(), until_empty=True)


def sent_mail(callback: Callback | None = None) -> Message:
    row = queue.submit(auth_message(), intake=Intake(callback=callback), request_id="r-7")
    claim = queue.claim(row.id)
    assert claim is not None
    queue.settle(claim, accepted(claim), carrier="default")
    return row


def of_a_request(receiver: Receiver) -> Callback:
    return Callback(url=Secret(f"{receiver.url}?t={TOKEN}"), secret=Secret(CALLER_SECRET))


def staff(client: Client, *permissions: str) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return client


# -- endpoints -------------------------------------------------------------------------------


def test_a_new_endpoint_s_secret_is_shown_once(admin_client: Client, receiver: Receiver) -> None:
    response = admin_client.post(
        f"{ENDPOINTS}add/",
        {"url": receiver.url, "description": "shop", "event_types": ["email.failed"], "owner": ""},
    )
    found = re.search("whsec_[^<]+", html.unescape(response.content.decode()))
    assert found is not None
    assert "no-store" in response["Cache-Control"]
    row = WebhookEndpoint.objects.get()
    assert endpoints.secrets_of(row, db_now("default")) == (found[0],)
    assert (row.url, row.description, row.event_types) == (receiver.url, "shop", ["email.failed"])
    for page in (ENDPOINTS, f"{ENDPOINTS}{row.pk}/change/", f"{ENDPOINTS}{row.pk}/history/"):
        assert "whsec_" not in text_of(admin_client, page)
    assert LogEntry.objects.get().object_repr == "shop"


def test_warns_of_a_second_endpoint_with_the_same_url(
    admin_client: Client, receiver: Receiver
) -> None:
    endpoints.create(receiver.url, description="shop")
    given = {"url": receiver.url, "description": "till", "owner": ""}
    text = posted(admin_client, f"{ENDPOINTS}add/", **given)
    assert "This URL is also that of “shop” (20" in text
    assert "whsec_" in text
    page = f"{ENDPOINTS}{WebhookEndpoint.objects.get(description='till').pk}/change/"
    changed = given | {"url": f"{receiver.url}/2"}
    assert "also that of" not in posted(admin_client, page, **changed, enabled="on")
    assert "also that of “shop”" in posted(admin_client, page, **given, enabled="on")


@pytest.mark.parametrize(
    ("url", "english", "korean"),
    [
        ("https://10.0.0.1/", "leads to no address on the internet", "주소로 연결되지 않습니다"),
        ("ftp://example.com/", "must begin with https://", "https://로 시작해야 합니다"),
        ("https://example.com:25/", "has a port that is none of 80, 443, 8443", "80, 443, 8443 중"),
        ("https://u:p@example.com/", "must have no user", "사용자 이름과 비밀번호를 넣을 수"),
    ],
)
def test_says_why_a_url_is_refused(
    admin_client: Client, url: str, english: str, korean: str
) -> None:
    for language, words in (("en", f"The URL {english}"), ("ko", korean)):
        response = admin_client.post(
            f"{ENDPOINTS}add/", {"url": url, "owner": ""}, headers={"Accept-Language": language}
        )
        assert words in html.unescape(response.content.decode())
    assert not WebhookEndpoint.objects.exists()


def test_an_endpoint_is_changed_and_switched_in_its_form(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    key, _ = keyring.issue("shop", Terms())
    page = f"{ENDPOINTS}{row.pk}/change/"
    assert "shop (am_live_" in text_of(admin_client, page)
    changed = {"url": f"{receiver.url}/2", "description": "till", "owner": f"key:{key.holder}"}
    posted(admin_client, page, **changed, event_types=["email.held", "email.failed"])
    row.refresh_from_db()
    assert (row.url, row.description, row.owner) == tuple(changed.values())
    assert (row.event_types, row.enabled) == (["email.failed", "email.held"], False)
    assert "Somebody disabled it at 20" in text_of(admin_client, page)
    assert "shop (am_live_" in text_of(admin_client, ENDPOINTS)
    posted(admin_client, page, **changed, enabled="on")
    row.refresh_from_db()
    assert (row.event_types, row.enabled, row.disabled_at) == ([], True, None)


def test_the_owner_stays_where_its_key_is_gone(admin_client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url, owner="key:gone")
    page = f"{ENDPOINTS}{row.pk}/change/"
    posted(admin_client, page, url=row.url, owner="key:gone", description="x", enabled="on")
    row.refresh_from_db()
    assert (row.owner, row.description) == ("key:gone", "x")


def test_says_that_one_fails_and_why_one_is_disabled(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    page = f"{ENDPOINTS}{row.pk}/change/"
    assert "Events are sent to it." in text_of(admin_client, page)
    WebhookEndpoint.objects.update(failing_since=db_now("default") - FAILING_FOR / 2)
    assert "Nothing that was tried since 20" in text_of(admin_client, page)
    assert "failing" in text_of(admin_client, ENDPOINTS)
    for reason, words, korean in (
        (endpoints.GONE, "it answered 410", "410으로 응답했기 때문입니다"),
        (endpoints.FAILING, "nothing had succeeded for 5 days", "5일 동안 한 번도"),
    ):
        endpoints.disable(row.pk, reason=reason)
        assert words in text_of(admin_client, page)
        assert korean in text_of(admin_client, page, "ko")
        WebhookEndpoint.objects.update(enabled=True)


def test_a_rotation_shows_the_new_secret_once(admin_client: Client, receiver: Receiver) -> None:
    row, first = endpoints.create(receiver.url, description="shop")
    page = f"{ENDPOINTS}{row.pk}/rotate/"
    mark = re.search('name="of" value="([0-9a-f]+)"', text_of(admin_client, page))
    assert mark is not None
    text = posted(admin_client, page, hours="2", of=mark[1])
    assert "signs too for 2 hours" in text
    found = re.search("whsec_[^<]+", text)
    assert found is not None
    row.refresh_from_db()
    assert endpoints.secrets_of(row, db_now("default")) == (found[0], first)
    change = text_of(admin_client, f"{ENDPOINTS}{row.pk}/change/")
    assert "Current secret: signs until it is rotated." in change
    assert "Previous secret: signs too until 20" in change
    assert "whsec_" not in change
    again = posted(admin_client, page, hours="2", of=mark[1])  # the browser sends it once more
    assert "It was rotated since; nothing was done." in again
    row.refresh_from_db()
    assert endpoints.secrets_of(row, db_now("default")) == (found[0], first)


def test_says_what_to_do_where_too_many_secrets_sign(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    for _ in range(endpoints.MOST_SECRETS - 1):
        endpoints.rotate(row.pk, overlap=timedelta(hours=24))
    page = f"{ENDPOINTS}{row.pk}/rotate/"
    mark = re.search('name="of" value="([0-9a-f]+)"', text_of(admin_client, page))
    assert mark is not None
    text = posted(admin_client, page, hours="1", of=mark[1])
    assert "10 secrets sign already: give 0, which ends all of them, or wait until 20" in text
    assert "whsec_" not in text
    assert "whsec_" in posted(admin_client, page, hours="0", of=mark[1])


def test_a_rotation_at_the_same_time_as_another_is_not_done(
    admin_client: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, first = endpoints.create(receiver.url)
    page = f"{ENDPOINTS}{row.pk}/rotate/"
    mark = re.search('name="of" value="([0-9a-f]+)"', text_of(admin_client, page))
    assert mark is not None
    rotate = endpoints.rotate
    theirs: list[Secret] = []

    def meanwhile(id: uuid.UUID, **options: Any) -> Secret:
        if not theirs:
            theirs.append(rotate(id, overlap=timedelta(hours=1)))
        return rotate(id, **options)

    monkeypatch.setattr(endpoints, "rotate", meanwhile)
    text = posted(admin_client, page, hours="0", of=mark[1])
    assert "It was rotated since; nothing was done." in text
    row.refresh_from_db()
    assert endpoints.secrets_of(row, db_now("default")) == (theirs[0], first)


def test_a_secret_that_no_key_opens_is_said_and_can_be_replaced(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    WebhookEndpoint.objects.update(sealed_secrets=b"nonsense")
    assert "cannot be opened" in text_of(admin_client, f"{ENDPOINTS}{row.pk}/change/")
    page = f"{ENDPOINTS}{row.pk}/rotate/"
    mark = re.search('name="of" value="([0-9a-f]+)"', text_of(admin_client, page))
    assert mark is not None
    assert "so it signs no more: give 0." in posted(admin_client, page, hours="1", of=mark[1])
    assert "whsec_" in posted(admin_client, page, hours="0", of=mark[1])


def test_a_test_event_is_sent_and_its_page_shows_how_it_goes(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    assert "Send a test event" in text_of(admin_client, f"{ENDPOINTS}{row.pk}/change/")
    text = posted(admin_client, f"{ENDPOINTS}{row.pk}/test/")
    assert 'http-equiv="refresh"' in text
    assert "This page looks again by itself." in text
    deliver()
    sent = WebhookDelivery.objects.get()
    text = text_of(admin_client, f"{DELIVERIES}{sent.pk}/change/")
    assert 'http-equiv="refresh"' not in text
    assert "The receiver took it." in text
    assert "none: it is a test" in text
    assert receiver.received[0].json["type"] == "webhook.test"


def test_says_that_nobody_takes_what_waits(admin_client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    sent = endpoints.send_test(row.pk)
    WebhookDelivery.objects.update(due_at=db_now("default") - timedelta(minutes=1))
    text = text_of(admin_client, f"{DELIVERIES}{sent.pk}/change/")
    assert "Does a worker run: manage.py authmail_dispatch" in text


def test_a_disabled_endpoint_is_not_tested(admin_client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    endpoints.disable(row.pk)
    assert "Send a test event" not in text_of(admin_client, f"{ENDPOINTS}{row.pk}/change/")
    assert "It is disabled; nothing was sent." in posted(admin_client, f"{ENDPOINTS}{row.pk}/test/")
    assert not WebhookDelivery.objects.exists()


def test_several_are_switched_and_deleted_at_once(admin_client: Client, receiver: Receiver) -> None:
    rows = [endpoints.create(receiver.url)[0] for _ in range(2)]
    sent_mail()
    chosen = {"_selected_action": [str(row.pk) for row in rows]}
    said = posted(admin_client, ENDPOINTS, action="disable", **chosen)
    assert "2 endpoints were disabled." in said
    assert "2 webhooks that waited will not be sent. They can be sent again once" in said
    assert not WebhookEndpoint.objects.filter(enabled=True).exists()
    assert "2 endpoints were enabled." in posted(admin_client, ENDPOINTS, action="enable", **chosen)
    asked = posted(admin_client, ENDPOINTS, action="delete_selected", **chosen)
    assert "Webhook deliveries: 2" in asked
    posted(admin_client, ENDPOINTS, action="delete_selected", post="yes", **chosen)
    assert not WebhookEndpoint.objects.exists()
    assert not WebhookDelivery.objects.exists()


def test_one_is_deleted_with_what_was_sent_to_it(admin_client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    sent_mail()
    page = f"{ENDPOINTS}{row.pk}/delete/"
    assert "Webhook deliveries: 1" in text_of(admin_client, page)
    posted(admin_client, page, post="yes")
    assert not WebhookDelivery.objects.exists()


def test_who_may_only_look_changes_nothing(client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    sent_mail()
    deliver()
    sent = WebhookDelivery.objects.get()
    viewer = staff(client, "view_webhookendpoint", "view_webhookdelivery")
    text = text_of(viewer, f"{ENDPOINTS}{row.pk}/change/")
    assert "Send a test event" not in text
    assert "Rotate" not in text
    text = text_of(viewer, f"{DELIVERIES}{sent.pk}/change/")
    assert "Send it again" not in text
    assert "needs the permission to change webhook deliveries" in text
    for address in (
        f"{ENDPOINTS}{row.pk}/test/",
        f"{ENDPOINTS}{row.pk}/rotate/",
        f"{DELIVERIES}{sent.pk}/replay/",
    ):
        assert viewer.post(address).status_code == 403
    viewer.post(DELIVERIES, {"action": "replay", "_selected_action": [str(sent.pk)]})
    sent.refresh_from_db()
    assert sent.state == "delivered"


# -- deliveries ------------------------------------------------------------------------------


def test_the_list_says_what_became_of_each(admin_client: Client, receiver: Receiver) -> None:
    endpoints.create(receiver.url, description="shop")
    receiver.statuses = [503]
    sent_mail()
    deliver()
    sent_mail(of_a_request(receiver))
    deliver()
    text = text_of(admin_client, DELIVERIES)
    for words in ("shop", "of a request", "127.0.0.1", "503", "http_status", "to be tried again"):
        assert words in text
    korean = text_of(admin_client, DELIVERIES, "ko")
    for words in ("요청에 지정됨", "재시도 대기", "전달됨"):
        assert words in korean
    # What to do about it is on the page of each.
    assert "Its log says why." not in text
    failed = WebhookDelivery.objects.get(state=State.PENDING)
    assert "Its log says why." in text_of(admin_client, f"{DELIVERIES}{failed.pk}/change/")
    page = f"{ENDPOINTS}{failed.endpoint_id}/change/"
    assert "to be tried again" in text_of(admin_client, page)
    assert "재시도 대기" in text_of(admin_client, page, "ko")


def test_what_is_not_believed_is_looked_for_at_the_secret_that_signed_it(
    admin_client: Client, receiver: Receiver
) -> None:
    endpoints.create(receiver.url)
    receiver.statuses = [401, 401]
    sent_mail(of_a_request(receiver))
    deliver()
    for sent in WebhookDelivery.objects.all():
        is_own = sent.endpoint_id is None
        page = f"{DELIVERIES}{sent.pk}/change/"
        text, korean = text_of(admin_client, page), text_of(admin_client, page, "ko")
        # For the delivery, and for its one attempt.
        assert text.count("the <code>webhook_secret</code> of the request") == (2 if is_own else 0)
        assert text.count("the secret that was shown last") == (0 if is_own else 2)
        assert ("요청의 <code>webhook_secret</code>" in korean) == is_own


@pytest.mark.parametrize("count", [1, 6])
def test_the_list_asks_as_often_for_many_as_for_few(
    admin_client: Client, receiver: Receiver, count: int
) -> None:
    for _ in range(count):
        endpoints.create(receiver.url)
    sent_mail()
    with CaptureQueriesContext(connection) as captured:
        text_of(admin_client, DELIVERIES)
    assert len(captured) <= 8


def test_filters_by_receiver_event_and_state(admin_client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url, description="shop")
    sent_mail(of_a_request(receiver))
    endpoints.send_test(row.pk)
    for query, count in (
        (f"receiver={row.pk}", 2),
        ("receiver=request", 1),
        ("receiver=nonsense", 0),
        ("type=webhook.test", 1),
        ("state__exact=delivered", 0),
    ):
        rows = admin_client.get(f"{DELIVERIES}?{query}").context["cl"].result_count
        assert (query, rows) == (query, count)


def test_finds_a_delivery_by_what_people_know_of_it(
    admin_client: Client, receiver: Receiver
) -> None:
    endpoints.create(receiver.url)
    message = sent_mail()
    queue.submit(auth_message())
    sent = WebhookDelivery.objects.get()
    for term in (
        f"msg_{sent.pk.hex}", str(sent.pk), str(message.pk), message.message_id, "r-7",
    ):  # fmt: skip
        found = admin_client.get(DELIVERIES, {"q": term}).context["cl"].result_list
        assert (term, [row.pk for row in found]) == (term, [sent.pk])
    assert (
        not admin_client.get(DELIVERIES, {"q": "elsewhere"}, follow=True).context["cl"].result_list
    )


def test_finds_deliveries_by_the_address_of_a_recipient(
    admin_client: Client, receiver: Receiver
) -> None:
    endpoints.create(receiver.url)
    sent_mail()
    sent = WebhookDelivery.objects.get()
    for address, rows in (("hong@example.com", [sent]), ("nobody@example.com", [])):
        for asked in (
            admin_client.post(DELIVERIES, {"authmail_search": "1", "q": address}),
            admin_client.get(DELIVERIES, {"q": address}),
        ):
            assert unquote(asked["Location"]).startswith(f"{DELIVERIES}?q=recipient:")
            assert address not in unquote(asked["Location"])
            found = admin_client.get(asked["Location"])
            assert list(found.context["cl"].result_list) == rows
            assert address not in found.content.decode()


def test_one_is_sent_again_where_that_can_be(admin_client: Client, receiver: Receiver) -> None:
    endpoints.create(receiver.url)
    sent_mail()
    deliver()
    sent = WebhookDelivery.objects.get()
    assert "Send it again" in text_of(admin_client, f"{DELIVERIES}{sent.pk}/change/")
    text = posted(admin_client, f"{DELIVERIES}{sent.pk}/replay/")
    assert "It waits to be sent." in text
    assert "Send it again" not in text
    assert "It was not sent again; why is said below." in posted(
        admin_client, f"{DELIVERIES}{sent.pk}/replay/"
    )
    deliver()
    assert list(receiver.ids.values()) == [2]
    assert LogEntry.objects.get().object_id == str(sent.pk)


def test_says_why_one_cannot_be_sent_again(admin_client: Client, receiver: Receiver) -> None:
    row, _ = endpoints.create(receiver.url)
    sent_mail(of_a_request(receiver))
    deliver()
    own = WebhookDelivery.objects.get(endpoint=None)
    kept = WebhookDelivery.objects.get(endpoint=row)
    endpoints.disable(row.pk)
    for sent, words, korean in (
        (own, "its URL and secret were erased when this ended", "URL과 비밀 키를 지웠습니다"),
        (kept, "once its endpoint is enabled", "엔드포인트를 다시 사용하면"),
    ):
        page = f"{DELIVERIES}{sent.pk}/change/"
        assert words in text_of(admin_client, page)
        assert korean in text_of(admin_client, page, "ko")
        assert "Send it again" not in text_of(admin_client, page)
    WebhookDelivery.objects.filter(pk=kept.pk).update(sealed_payload=None)
    endpoints.enable(row.pk)
    assert "is not kept any more" in text_of(admin_client, f"{DELIVERIES}{kept.pk}/change/")
    kept.refresh_from_db()
    assert replaying.obstacle(kept, db_now("default")) == replaying.Obstacle.ERASED


def test_several_are_sent_again_and_the_others_are_counted(
    admin_client: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = endpoints.create(receiver.url)
    sent_mail(of_a_request(receiver))
    deliver()
    chosen = [str(pk) for pk in WebhookDelivery.objects.values_list("pk", flat=True)]
    text = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "1 webhook will be sent again." in text
    assert "Not sent again: 1 of a request's own webhook" in text
    assert "on the way already" not in text
    again = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "0 webhooks will be sent again." in again
    assert "Not sent again: 1 on the way already." in again
    assert deliver() == 1
    with monkeypatch.context() as patch:
        patch.setattr("django_authmail.admin.replay_pages.MOST_AT_ONCE", 1)
        refused = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "Nothing was sent again: choose 1 at most." in refused
    assert deliver() == 0
    endpoints.disable(row.pk)
    again = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "Not sent again: 1 to an endpoint that is disabled. Enable it first." in again
    endpoints.enable(row.pk)
    WebhookDelivery.objects.update(sealed_payload=None)
    again = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "Not sent again: 1 without what was sent" in again


def test_what_waits_for_a_later_attempt_is_sent_now(
    admin_client: Client, receiver: Receiver
) -> None:
    endpoints.create(receiver.url)
    sent_mail(of_a_request(receiver))
    later = db_now("default") + timedelta(hours=5)
    WebhookDelivery.objects.update(due_at=later, reason="http_status", attempt_count=3)
    own = WebhookDelivery.objects.get(endpoint=None)
    assert "Send it again" in text_of(admin_client, f"{DELIVERIES}{own.pk}/change/")
    posted(admin_client, f"{DELIVERIES}{own.pk}/replay/")
    chosen = [str(pk) for pk in WebhookDelivery.objects.values_list("pk", flat=True)]
    text = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "1 webhook will be sent again." in text
    assert deliver() == 2


def test_nobody_edits_a_delivery(admin_client: Client, receiver: Receiver) -> None:
    endpoints.create(receiver.url)
    sent_mail()
    sent = WebhookDelivery.objects.get()
    assert admin_client.get(f"{DELIVERIES}add/").status_code == 403
    assert admin_client.post(f"{DELIVERIES}{sent.pk}/delete/").status_code == 403
    text = text_of(admin_client, f"{DELIVERIES}{sent.pk}/change/")
    assert 'name="_save"' not in text


# -- what no page shows ----------------------------------------------------------------------


@pytest.mark.parametrize("is_final", [False, True])
def test_no_page_has_a_secret_or_the_target_of_a_request(
    admin_client: Client, receiver: Receiver, is_final: bool
) -> None:
    row, secret = endpoints.create(f"{receiver.url}/path-of-the-endpoint")
    message = sent_mail(of_a_request(receiver))
    if is_final:
        deliver()
    pages = [ENDPOINTS, DELIVERIES, MESSAGES, f"{ENDPOINTS}{row.pk}/change/"]
    pages += [f"{DELIVERIES}{each.pk}/change/" for each in WebhookDelivery.objects.all()]
    pages += [f"{MESSAGES}{message.pk}/change/"]
    for page in pages:
        text = text_of(admin_client, page)
        for hidden in (TOKEN, CALLER_SECRET, str(secret), "/hook?", "hong@example.com"):
            assert hidden not in text, page
        # Who may change endpoints sees all of their URL, and nobody elsewhere.
        assert ("path-of-the-endpoint" in text) == (page == pages[3])


def test_the_page_of_a_mail_shows_who_was_told(admin_client: Client, receiver: Receiver) -> None:
    endpoints.create(receiver.url, description="shop")
    message = sent_mail(of_a_request(receiver))
    text = text_of(admin_client, f"{MESSAGES}{message.pk}/change/")
    for sent in WebhookDelivery.objects.all():
        assert f"{DELIVERIES}{sent.pk}/change/" in text
        assert f"{MESSAGES}{message.pk}/change/" in text_of(
            admin_client, f"{DELIVERIES}{sent.pk}/change/"
        )
    assert "of a request" in text
    assert "once it has ended" not in text
    waiting = queue.submit(auth_message(), intake=Intake(callback=of_a_request(receiver)))
    text = text_of(admin_client, f"{MESSAGES}{waiting.pk}/change/")
    assert "Where its request said, once it has ended." in text
    assert TOKEN not in text


def test_a_delivery_to_an_endpoint_that_is_gone_has_a_page(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    now = db_now("default")
    sent = WebhookDelivery.objects.create(
        endpoint=row, type="email.accepted", host="h.example", state=State.FAILED,
        sealed_payload=seal(b"{}"), created_at=now, settled_at=now, reason="endpoint_disabled",
    )  # fmt: skip
    # As where it was recorded in the moment in which its endpoint was deleted.
    WebhookEndpoint.objects.filter(pk=row.pk)._raw_delete("default")
    for page in (DELIVERIES, f"{DELIVERIES}{sent.pk}/change/"):
        assert "deleted" in text_of(admin_client, page)


def test_says_what_was_deleted_while_it_was_to_be_sent_again(
    admin_client: Client, receiver: Receiver
) -> None:
    row, _ = endpoints.create(receiver.url)
    sent = [endpoints.send_test(row.pk).pk for _ in range(3)]
    deliver()
    update = f"UPDATE {connection.ops.quote_name(WebhookDelivery._meta.db_table)}"

    def delete(number: int) -> None:
        WebhookDelivery.objects.filter(pk=sent[number]).delete()

    with meanwhile(update, lambda: delete(0)):
        text = posted(admin_client, f"{DELIVERIES}{sent[0]}/replay/")
    assert "Not sent again: 1 that were deleted in this moment." in text
    chosen = [str(pk) for pk in sent[1:]]
    with meanwhile(update, lambda: delete(1)):
        text = posted(admin_client, DELIVERIES, action="replay", _selected_action=chosen)
    assert "1 webhook will be sent again." in text
    assert "Not sent again: 1 that were deleted in this moment." in text
    assert "on the way already" not in text
    # The history does not say of the others that they were.
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(sent[2])]
