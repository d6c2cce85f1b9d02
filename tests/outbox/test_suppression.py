from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.smtp import EmailBackend as DjangoEmailBackend
from pytest_django.fixtures import Settings

from django_authmail import OTPNotifier
from django_authmail.clock import db_now
from django_authmail.dispatch import dispatch_due, send_now
from django_authmail.exceptions import RecipientSuppressed
from django_authmail.hashes import address_hash
from django_authmail.models import Message, Recipient, Suppression
from django_authmail.outbox import queue, suppression
from tests.conftest import UseMailer
from tests.outbox.factories import auth_message, suppress
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

DEAD = "550 5.1.1 no such user"
DISABLED = "550 5.2.1 mailbox disabled"
HONG, KIM = "hong@example.com", "kim@example.com"


class PlainDjango(DjangoEmailBackend):
    """Django's backend by another name."""


def submit(*to: str, owner: str = "site") -> Message:
    return queue.submit(auth_message(to=to or (HONG,)), owner=owner)


def sent(*to: str, owner: str = "site") -> Message:
    """Submit a message and hand it over; return its row."""
    row = submit(*to, owner=owner)
    dispatch_due()
    row.refresh_from_db()
    return row


@pytest.mark.parametrize("reply", [DEAD, DISABLED])
def test_an_address_that_a_server_called_dead_gets_no_more(
    smtp_server: SmtpServer, reply: str
) -> None:
    smtp_server.refuse[HONG] = reply
    assert sent().state == "failed"
    found = Suppression.objects.get()
    assert found.ends_at - found.created_at == timedelta(days=30)
    assert (found.masked, found.address) == ("h***@example.com", "")
    connections = smtp_server.connections
    smtp_server.refuse.clear()
    row = submit()
    assert (row.state, row.error_code, row.reason) == ("failed", "recipient_refused", "suppressed")
    assert (row.sealed, row.due_at, row.settled_at is None) == (None, None, False)
    assert [(r.state, r.reason) for r in row.recipients.all()] == [("unsent", "suppressed")]
    assert dispatch_due() == 0
    assert (smtp_server.mails, smtp_server.connections) == ([], connections)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param("550 5.7.1 blocked by policy", id="a policy"),
        pytest.param("550 5.7.23 SPF", id="a mistake in the project's own SPF"),
        pytest.param("552 5.2.2 full", id="a full mailbox"),
        pytest.param("550 no such user", id="words without a code"),
        pytest.param("450 4.2.1 busy", id="a passing problem"),
        pytest.param("550 5.1.8 bad sender", id="the sender's address"),
    ],
)
def test_nothing_else_suppresses(smtp_server: SmtpServer, reply: str) -> None:
    smtp_server.refuse[HONG] = reply
    sent()
    assert not Suppression.objects.exists()


def test_what_is_said_after_the_content_suppresses_nobody(smtp_server: SmtpServer) -> None:
    smtp_server.refuse_content = DEAD
    assert sent().state == "failed"
    assert not Suppression.objects.exists()


def test_of_several_recipients_the_others_are_sent(smtp_server: SmtpServer) -> None:
    suppress(HONG)
    row = sent(HONG, KIM)
    assert smtp_server.mails[0].recipients == [KIM]
    assert row.state == "partially_accepted"
    assert [(r.state, r.reason) for r in row.recipients.all()] == [
        ("unsent", "suppressed"),
        ("accepted", ""),
    ]


def test_a_mail_that_is_not_recorded_neither_asks_nor_learns(smtp_server: SmtpServer) -> None:
    suppress(HONG)
    assert OTPNotifier().send(HONG, user_name="", code="482901")
    smtp_server.refuse[KIM] = DEAD
    assert not OTPNotifier().send(KIM, user_name="", code="482901")
    assert [row.address_hash for row in Suppression.objects.all()] == [address_hash(HONG)]


def test_only_the_one_that_was_refused_is_suppressed(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = DEAD
    smtp_server.refuse[KIM] = "550 5.7.1 blocked by policy"
    sent(HONG, KIM)
    assert [row.address_hash for row in Suppression.objects.all()] == [address_hash(HONG)]


def test_a_carrier_of_djangos_suppresses_only_whom_the_server_named(
    smtp_server: SmtpServer, use_mailer: UseMailer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {name: value for name, value in smtp_server.options.items() if name != "ca_file"}
    monkeypatch.setenv("SSL_CERT_FILE", str(smtp_server.certificate.ca_file))
    backend = "django.core.mail.backends.smtp.EmailBackend"
    if not hasattr(mail, "mailers"):
        # In EMAIL_* mode this package's own takes its place.
        backend = "tests.outbox.test_suppression.PlainDjango"
    use_mailer(options, backend=backend)
    smtp_server.refuse[KIM] = "550 5.7.1 blocked by policy"
    smtp_server.refuse[HONG] = DEAD
    row = sent(KIM, HONG)
    assert {r.masked: r.reason for r in row.recipients.all()} == {
        "k***@example.com": "policy_rejected",
        "h***@example.com": "bad_recipient",
    }
    assert [found.address_hash for found in Suppression.objects.all()] == [address_hash(HONG)]


def test_a_later_success_lifts_it(smtp_server: SmtpServer) -> None:
    waiting, other = submit(), submit(KIM)
    suppress(HONG)
    suppress(KIM, owner="key:1")
    dispatch_due()
    waiting.refresh_from_db()
    other.refresh_from_db()
    assert (waiting.state, other.state) == ("accepted", "accepted")
    # Of the same owner: the other's stays.
    assert [row.owner for row in Suppression.objects.all()] == ["key:1"]


def test_it_is_one_owners_alone(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = DEAD
    sent(owner="key:1")
    assert submit(owner="key:1").state == "failed"
    assert submit(owner="key:2").state == "queued"
    with pytest.raises(RecipientSuppressed):
        suppression.refuse([KIM, HONG], owner="key:1")
    suppression.refuse([HONG], owner="key:2")


def test_the_error_names_the_address_and_does_not_show_it() -> None:
    suppress(HONG)
    with pytest.raises(RecipientSuppressed) as caught:
        suppression.refuse([KIM, HONG], owner="site")
    assert caught.value.addresses == {HONG}
    assert HONG not in str(caught.value) + repr(caught.value)


def test_it_ends_by_itself() -> None:
    suppress(HONG, ends_at=db_now("default") - timedelta(seconds=1))
    assert submit().state == "queued"


def test_being_refused_again_begins_it_anew(smtp_server: SmtpServer) -> None:
    now = db_now("default")
    old = suppress(HONG, created_at=now - timedelta(days=40), ends_at=now - timedelta(days=10))
    smtp_server.refuse[HONG] = DISABLED
    sent()
    new = Suppression.objects.get()
    assert new.ends_at > old.ends_at + timedelta(days=30)
    assert new.reason == "mailbox_disabled"


def test_a_setting_turns_it_off(smtp_server: SmtpServer, settings: Settings) -> None:
    settings.AUTHMAIL_SUPPRESS_FOR = timedelta(0)
    suppress(HONG)
    smtp_server.refuse[HONG] = DEAD
    row = sent()
    assert (row.state, row.reason) == ("failed", "bad_recipient")
    suppression.refuse([HONG], owner="site")


def test_addresses_are_kept_whole_by_setting_alone(
    smtp_server: SmtpServer, settings: Settings
) -> None:
    smtp_server.refuse[HONG] = DEAD
    sent()
    assert [r.address for r in Recipient.objects.all()] == [""]
    settings.AUTHMAIL_STORE_ADDRESSES = True
    Suppression.objects.all().delete()
    row = sent()
    assert [r.address for r in row.recipients.all()] == [HONG]
    assert Suppression.objects.get().address == HONG


def test_a_suppression_of_before_a_rotation_of_keys_holds(settings: Settings) -> None:
    settings.AUTHMAIL_HASH_KEYS = ["o" * 32]
    suppress(HONG)
    settings.AUTHMAIL_HASH_KEYS = ["n" * 32, "o" * 32]
    assert submit().state == "failed"


@pytest.mark.django_db(transaction=True)
def test_a_mail_sent_while_a_caller_waits_suppresses_too(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = DEAD
    assert send_now(auth_message(to=(HONG,)), owner="key:1").state == "failed"
    assert Suppression.objects.get().owner == "key:1"


def test_looking_costs_one_query_for_any_number_of_messages(
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    suppress(HONG)
    messages = [auth_message(to=(f"{n}@example.com",)) for n in range(20)]
    with django_assert_max_num_queries(8):
        rows = queue.submit_many([*messages, auth_message(to=(HONG,))])
    assert [row.state for row in rows] == ["queued"] * 20 + ["failed"]
