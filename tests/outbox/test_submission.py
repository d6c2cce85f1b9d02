from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_authmail.clock import db_now
from django_authmail.hashes import supersede_hashes
from django_authmail.message import OnUnknown
from django_authmail.models import Message, Recipient
from django_authmail.outbox import queue
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import UNKNOWN, failed

pytestmark = pytest.mark.django_db(transaction=True)


def submit(owner: str = "site", **changes: Any) -> Message:
    return queue.submit(auth_message(**{"supersedes": True} | changes), owner=owner)


def state_of(row: Message) -> str:
    return Message.objects.get(id=row.id).state


def test_a_newer_code_takes_the_place_of_one_that_waits() -> None:
    old = submit()
    new = submit()
    old.refresh_from_db()
    assert (old.state, old.sealed, old.due_at, old.supersede_hash) == ("superseded", None, None, "")
    assert old.settled_at is not None
    assert [r.state for r in old.recipients.all()] == ["unsent"]
    assert queue.claim(old.id) is None
    assert queue.claim(new.id) is not None


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"owner": "key:2"}, id="of another owner"),
        pytest.param({"kind": "magic-link"}, id="of another kind"),
        pytest.param({"to": ("kim@example.com",)}, id="to another recipient"),
        pytest.param({"to": ("Hong@example.com",)}, id="to what may be another mailbox"),
        pytest.param({"supersede_key": "payment"}, id="with a key of its own"),
        pytest.param({"to": ("hong@example.com", "b@example.com")}, id="to several"),
        pytest.param({"supersedes": False}, id="that supersedes nothing"),
    ],
)
def test_another_message_does_not(other: dict[str, Any]) -> None:
    old = submit()
    submit(**other)
    assert state_of(old) == "queued"


def test_the_same_key_narrows_it() -> None:
    login, payment = submit(supersede_key="login"), submit(supersede_key="payment")
    submit(supersede_key="login")
    assert (state_of(login), state_of(payment)) == ("superseded", "queued")


def test_one_that_is_being_sent_stays_and_is_not_waited_for() -> None:
    old = submit()
    claim = queue.claim(old.id)
    assert claim is not None
    submit()
    assert state_of(old) == "sending"


def test_one_that_may_have_arrived_ends_as_unknown() -> None:
    old = submit(on_unknown=OnUnknown.RESEND)
    claim = queue.claim(old.id)
    assert claim is not None
    queue.settle(claim, failed(claim, UNKNOWN), carrier="default")
    submit()
    assert state_of(old) == "unknown"


def test_what_is_rolled_back_supersedes_nothing() -> None:
    old = submit()
    with transaction.atomic():
        submit()
        transaction.set_rollback(True)
    assert state_of(old) == "queued"
    assert Message.objects.count() == 1


def test_a_hash_of_before_a_rotation_of_keys_counts(settings: Any) -> None:
    old_key, new_key = "o" * 40, "n" * 40
    settings.AUTHMAIL_HASH_KEYS = [old_key]
    old = submit()
    settings.AUTHMAIL_HASH_KEYS = [new_key, old_key]
    submit()
    assert state_of(old) == "superseded"


def test_the_hash_shows_neither_address_nor_key() -> None:
    row = submit(supersede_key="payment-4711")
    assert (
        row.supersede_hash == supersede_hashes("site", "otp", "hong@example.com", "payment-4711")[0]
    )
    assert "4711" not in row.supersede_hash


def test_many_are_submitted_in_a_fixed_number_of_queries() -> None:
    def queries(count: int) -> int:
        messages = [auth_message(to=(f"u{n}@example.com",)) for n in range(count)]
        with CaptureQueriesContext(connection) as captured:
            submitted = queue.submit_many(messages, owner="key:1", request_id="r-1")
        assert [row.message_id for row in submitted] == [m.message_id for m in messages]
        return len(captured)

    assert queries(1) == queries(20)
    assert Message.objects.filter(owner="key:1", request_id="r-1", state="queued").count() == 21
    assert Recipient.objects.count() == 21
    assert queue.submit_many([]) == []


def test_of_many_the_last_takes_the_place_of_the_others() -> None:
    before = submit()
    first, last = queue.submit_many([auth_message(supersedes=True) for _ in range(2)])
    assert [state_of(row) for row in (before, first, last)] == [
        "superseded",
        "superseded",
        "queued",
    ]


def test_names_the_carriers() -> None:
    row = queue.submit(auth_message(), deliver_using=("primary", "backup"))
    claim = queue.claim(row.id)
    assert claim is not None
    assert claim.deliver_using == ("primary", "backup")
    row, claim = queue.submit_claimed(auth_message(), deliver_using=["primary"])
    assert claim.deliver_using == ("primary",)


def test_the_use_of_a_message_begins_when_it_is_submitted() -> None:
    now = db_now("default")
    row = submit(expires_in=timedelta(minutes=5))
    assert row.expires_at is not None
    assert timedelta(minutes=5) <= row.expires_at - now < timedelta(minutes=6)


@pytest.mark.parametrize(
    ("apps", "said"),
    [
        ([], "add 'django_authmail' to INSTALLED_APPS, and run manage.py migrate"),
        (["django_authmail"], "tables or columns are missing; run manage.py migrate"),
    ],
)
def test_what_is_missing_is_said(apps: list[str], said: str) -> None:
    script = (
        "import django; from django.conf import settings\n"
        "database = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}\n"
        f"settings.configure(INSTALLED_APPS={apps}, SECRET_KEY='k' * 50, USE_TZ=True,"
        " DEFAULT_FROM_EMAIL='a@example.com', DATABASES={'default': database})\n"
        "django.setup()\n"
        "from django_authmail import OTPNotifier, outbox\n"
        "outbox.submit(OTPNotifier().build('a@example.com', user_name='a', code='123456'))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert said in result.stderr.splitlines()[-1], result.stderr
