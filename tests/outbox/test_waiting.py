"""Why a queued message waits for its carriers: what an operator is told of each."""

from __future__ import annotations

import html
import json
import uuid
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import translation
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from django_authmail import hints, outbox
from django_authmail.clock import db_now
from django_authmail.dispatch import dispatch_one
from django_authmail.models import Carrier, Message, State
from django_authmail.outbox import carriers, counters, waiting
from django_authmail.outbox.counters import Limit
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

LOG = "/admin/authmail/message/"


@pytest.fixture
def two(settings: Settings) -> None:
    backend = "django_authmail.smtp.EmailBackend"
    settings.MAILERS = {
        name: {"BACKEND": backend, "OPTIONS": {"host": "127.0.0.1", "port": 9}}
        for name in ("primary", "backup", "other")
    }
    settings.AUTHMAIL_DELIVER_USING = ["primary", "backup"]


def break_(name: str, reason: str = "auth_failed", failures: int = 5) -> None:
    Carrier.objects.create(
        name=name,
        failure_count=failures,
        broken_until=db_now("default") + timedelta(seconds=25),
        reason=reason,
    )
    carriers.forget()


def kept() -> Message:
    """Return a message that a worker has looked at, and that no carrier may take."""
    row = outbox.submit(auth_message())
    assert dispatch_one(row.pk) is not None
    row.refresh_from_db()
    assert row.state == State.QUEUED
    return row


def sentences(row: Message) -> list[str]:
    found = waiting.obstacles([row]).get(row.pk, [])
    return [each.sentence(lambda time: f"{time:%Y}") for each in found]


@pytest.mark.usefixtures("two")
def test_names_each_carrier_with_what_went_wrong_the_last_time() -> None:
    break_("primary")
    break_("backup", "certificate_invalid", failures=1)
    break_("other", "dns_error")
    row = kept()
    assert row.reason == "mailer_unavailable"
    year = f"{db_now('default'):%Y}"
    assert sentences(row) == [
        f"The carrier `primary` rests after 5 failures in a row, the last of them `auth_failed`. "
        f"One mail tries it at {year}.",
        "The carrier `backup` rests after 1 failure, `certificate_invalid`. "
        f"One mail tries it at {year}.",
    ]


@pytest.mark.usefixtures("two")
def test_says_since_when_one_is_paused_or_all_are() -> None:
    break_("backup")
    carriers.pause("primary")
    row = kept()
    year = f"{db_now('default'):%Y}"
    assert sentences(row)[0] == f"The carrier `primary` has been paused since {year}."
    carriers.pause()
    assert sentences(row) == [f"All sending has been paused since {year}."]


@pytest.mark.usefixtures("two")
def test_says_whose_quota_is_spent(settings: Settings) -> None:
    settings.AUTHMAIL_QUOTAS = {"primary": {"day": 500}}
    counters.take(Limit(key="quota:primary:day", most=500, window=timedelta(days=1)), amount=500)
    break_("backup", "quota_exceeded")
    row = kept()
    assert row.reason == "quota_exceeded"
    spent, told = sentences(row)
    assert spent.startswith("The quota of `primary` is spent. The window ends at 20")
    assert told.startswith(
        "The provider of `backup` says that its quota is spent. One mail tries it"
    )


@pytest.mark.usefixtures("two")
def test_says_nothing_once_one_of_them_takes_mail() -> None:
    break_("primary")
    break_("backup")
    row = kept()
    Carrier.objects.filter(name="backup").delete()
    assert sentences(row) == []


@pytest.mark.usefixtures("two")
def test_one_in_doubt_waits_for_the_carrier_that_may_have_it() -> None:
    break_("backup")
    row = Message(
        id=uuid.uuid4(),
        state=State.QUEUED,
        reason="mailer_unavailable",
        resend_count=1,
        carrier="backup",
        deliver_using=[],
    )
    assert [each.carrier for each in waiting.obstacles([row])[row.pk]] == ["backup"]


def test_one_that_waits_for_something_else_asks_nothing(
    smtp_server: SmtpServer, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    smtp_server.refuse["hong@example.com"] = "450 4.7.1 greylisted"
    row = kept()
    with django_assert_num_queries(0):
        assert waiting.obstacles([row]) == {}


# -- Where it is shown ---------------------------------------------------------------------------


def _found(**options: bool) -> str:
    out = StringIO()
    call_command("authmail_find", "hong@example.com", stdout=out, stderr=out, **options)
    return out.getvalue()


def _page(client: Client, row: Message, language: str) -> str:
    answer = client.get(f"{LOG}{row.pk}/change/", headers={"Accept-Language": language})
    return html.unescape(answer.content.decode())


@pytest.mark.usefixtures("two")
def test_authmail_find_says_it_and_what_to_do() -> None:
    break_("primary")
    break_("backup", "certificate_invalid")
    kept()
    text = _found()
    assert "  The carrier `primary` rests after 5 failures in a row, the last of them `auth" in text
    assert f"  What to do: {hints.hint('auth_failed')}\n" in text
    assert f"  What to do: {hints.hint('certificate_invalid')}\n" in text
    assert str(hints.hint("mailer_unavailable")) not in text
    [fact] = json.loads(_found(json=True))["messages"]
    primary, backup = fact["waits_for"]
    assert (primary["carrier"], primary["reason"]) == ("primary", "auth_failed")
    assert (primary["failures"], primary["since"]) == (5, None)
    assert primary["until"].startswith("20")
    assert backup["carrier"] == "backup"


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("language", "words"),
    [
        pytest.param("en", "</code> rests after 5 failures in a row, the last of them", id="en"),
        pytest.param("ko", "</code> 메일러가 연속 실패 5회로 쉬고 있습니다.", id="ko"),
    ],
)
def test_the_page_of_the_message_says_it(admin_client: Client, language: str, words: str) -> None:
    break_("primary")
    break_("backup")
    row = kept()
    text = _page(admin_client, row, language)
    assert f"<code>primary{words}" in text
    assert "the attempts before this one" not in text
    with translation.override(language):
        # What to do is said once, though it is so of both.
        assert text.count(str(hints.hint("auth_failed"))) == 1
    assert "<code>auth_failed</code>" in text
