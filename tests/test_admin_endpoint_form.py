"""The form of an endpoint, where several people and the service itself change the same one."""

from __future__ import annotations

import html
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.http.response import HttpResponseBase
from django.test import Client

from django_authmail.models import WebhookEndpoint
from django_authmail.webhooks import endpoints, targets
from tests.webhooks.receiver import Receiver
from tests.webhooks.rows import meanwhile

pytestmark = pytest.mark.django_db(transaction=True)

Form = dict[str, list[str]]
#: How a look at an endpoint begins.
SELECT = f"SELECT {connection.ops.quote_name(WebhookEndpoint._meta.db_table)}"


class _Controls(HTMLParser):
    """What a browser would send, were the form sent as it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Form = {}
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        kind = given.get("type", "")
        if tag == "select":
            self._select = given["name"]
        elif tag == "option" and "selected" in given:
            self._add(self._select, given["value"])
        elif tag == "input" and kind == "checkbox":
            if "checked" in given:
                self._add(given["name"], given.get("value", "on"))
        elif tag == "input" and kind != "submit" and "name" in given:
            self._add(given["name"], given.get("value", ""))

    def _add(self, name: str, value: str) -> None:
        self.found.setdefault(name, []).append(value)


@pytest.fixture
def row(receiver: Receiver) -> WebhookEndpoint:
    made, _ = endpoints.create(receiver.url, description="shop", event_types=["email.failed"])
    return made


def page_of(row: WebhookEndpoint) -> str:
    return f"/admin/authmail/webhookendpoint/{row.pk}/change/"


def opened(client: Client, row: WebhookEndpoint) -> Form:
    """Return the form as a page shows it now."""
    controls = _Controls()
    controls.feed(client.get(page_of(row)).content.decode())
    return controls.found


def saved(client: Client, row: WebhookEndpoint, form: Form, language: str = "en") -> str:
    response = client.post(page_of(row), form, follow=True, headers={"Accept-Language": language})
    assert response.status_code == 200
    row.refresh_from_db()
    return html.unescape(response.content.decode())


def test_what_nobody_touched_in_an_old_page_stays_as_others_have_made_it(
    admin_client: Client, receiver: Receiver, row: WebhookEndpoint
) -> None:
    first, second = opened(admin_client, row), opened(admin_client, row)
    first["url"] = [f"{receiver.url}/2"]
    saved(admin_client, row, first)
    # By itself, as for a receiver that is gone: an old page must not enable it again.
    endpoints.disable(row.pk, reason=endpoints.GONE)
    second["event_types"] = ["email.failed", "email.held"]
    assert "was changed successfully" in saved(admin_client, row, second)
    assert (row.url, row.event_types) == (f"{receiver.url}/2", ["email.failed", "email.held"])
    assert (row.enabled, row.disabled_reason, row.description) == (False, "gone", "shop")
    said = LogEntry.objects.order_by("pk").last()
    assert said is not None
    assert said.get_change_message() == "Changed Events."


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten_unseen(
    admin_client: Client, row: WebhookEndpoint
) -> None:
    old = opened(admin_client, row)
    endpoints.change(row.pk, description="till", event_types=["email.held"])
    old["description"], old["event_types"] = ["kiosk"], []
    text = saved(admin_client, row, old)
    assert "Nothing was saved: somebody else has changed this meanwhile: Description, E" in text
    assert (row.description, row.event_types) == ("till", ["email.held"])
    assert "저장하지 않았습니다" in saved(admin_client, row, old, "ko")
    # The page that follows shows it as it is; whoever still wants it changes it there.
    again = opened(admin_client, row)
    again["description"] = ["kiosk"]
    saved(admin_client, row, again)
    assert row.description == "kiosk"


def test_a_change_between_a_look_at_the_form_and_its_being_saved_is_not_overwritten(
    admin_client: Client,
    receiver: Receiver,
    row: WebhookEndpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = opened(admin_client, row)
    form["url"] = [f"{receiver.url}/2"]
    check: Callable[[str], targets.Target] = targets.check

    def changed_first(url: str) -> targets.Target:
        if url == f"{receiver.url}/2":
            endpoints.change(row.pk, url=f"{receiver.url}/3")
        return check(url)

    monkeypatch.setattr(targets, "check", changed_first)
    assert "Nothing was saved" in saved(admin_client, row, form)


# What a person is told, in Django's own words, wherever it is noticed first.
GONE = {"en": "Perhaps it was deleted?", "ko": "삭제된 값이 아닌지 확인해주세요."}


@pytest.mark.parametrize("language", GONE)
@pytest.mark.parametrize("look", [1, 2], ids=["before it is looked at", "before it is saved"])
def test_says_that_what_is_changed_was_deleted_meanwhile(
    admin_client: Client, row: WebhookEndpoint, look: int, language: str
) -> None:
    form = opened(admin_client, row) | {"description": ["other"]}
    with meanwhile(SELECT, lambda: endpoints.delete(row.pk), time=look):
        answer = admin_client.post(page_of(row), form, headers={"Accept-Language": language})
    assert_gone(admin_client, answer, language)
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("look", [1, 2], ids=["before it is looked at", "before it is done"])
@pytest.mark.parametrize("page", ["test", "rotate"])
def test_says_that_what_is_tested_or_rotated_was_deleted_meanwhile(
    admin_client: Client, row: WebhookEndpoint, look: int, page: str
) -> None:
    url = page_of(row).replace("change", page)
    controls = _Controls()
    if page == "rotate":
        controls.feed(admin_client.get(url).content.decode())
    with meanwhile(SELECT, lambda: endpoints.delete(row.pk), time=look):
        answer = admin_client.post(url, controls.found | {"hours": ["1"]})
    assert_gone(admin_client, answer)


def assert_gone(client: Client, answer: HttpResponseBase, language: str = "en") -> None:
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
    page = client.get("/admin/", headers={"Accept-Language": language}).content.decode()
    assert GONE[language] in page


def test_a_form_that_says_nothing_of_what_it_showed_is_compared_with_the_row(
    admin_client: Client, row: WebhookEndpoint
) -> None:
    form = {"url": [row.url], "description": [""], "owner": [""], "enabled": ["on"]}
    assert "was changed successfully" in saved(admin_client, row, form)
    assert (row.description, row.event_types, row.enabled) == ("", [], True)
