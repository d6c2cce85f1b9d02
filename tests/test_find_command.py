"""`manage.py authmail_find`: why a mail did not arrive, for who has only the address."""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, timedelta
from hashlib import sha256
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone, translation
from pytest_django.fixtures import Settings

from django_authmail import hints, keyring, keys
from django_authmail.clock import db_now
from django_authmail.dispatch import dispatch_due
from django_authmail.exceptions import RecipientCooldown
from django_authmail.hashes import log_hash
from django_authmail.keyring import Terms
from django_authmail.message import OnUnknown
from django_authmail.models import Counter, Message
from django_authmail.outbox import limits, queue
from tests.outbox.factories import auth_message, suppress
from tests.outbox.test_queue import end_lease, submitted
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

HONG, KIM = "hong@example.com", "kim@example.com"


def find(address: str = HONG, **options: Any) -> str:
    out = StringIO()
    call_command("authmail_find", address, stdout=out, stderr=out, **options)
    return out.getvalue()


def found(address: str = HONG) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(find(address, json=True))
    return answer


def test_of_a_recipient_that_no_server_was_asked_for_it_says_no_refusal(
    smtp_server: SmtpServer,
) -> None:
    suppress(HONG)
    queue.submit(auth_message(to=(HONG, KIM)))
    dispatch_due()
    text = find()
    assert "  recipient  unsent  suppressed\n" in text
    assert "took it for some recipients. What became of the others, the state of each says" in text
    assert "refused others" not in text


def test_says_why_it_did_not_arrive_and_what_to_do(smtp_server: SmtpServer) -> None:
    key, _ = keyring.issue("Shop", Terms(scopes=keys.SCOPES))
    smtp_server.refuse[HONG] = f"550 5.1.1 no such user {HONG}"
    row = queue.submit(auth_message(), owner=f"key:{key.holder}")
    dispatch_due()
    text = find()
    assert f"bad_recipient  key:{key.holder}  {key}\n" in text
    assert "Shop (am_live_" in text
    assert f"  Message-ID  {row.message_id}\n" in text
    assert "  recipient  refused  bad_recipient  550 5.1.1 no such user h***@example.com\n" in text
    assert "  It was not sent, and will not be.\n" in text
    assert f"  What to do: {hints.hint('bad_recipient')}\n" in text
    assert f"suppressed for key:{key.holder}  {key} until " in text
    assert HONG not in text
    [fact] = found()["messages"]
    assert (fact["owner_name"], fact["message_id"]) == (str(key), row.message_id)
    assert fact["recipients"] == [
        {
            "state": "refused",
            "reason": "bad_recipient",
            "reply": "550 5.1.1 no such user h***@example.com",
        }
    ]
    assert fact["meaning"] == "It was not sent, and will not be."
    assert fact["what_to_do"] == {"bad_recipient": str(hints.hint("bad_recipient"))}
    assert fact["last_attempt"]["number"] == 1


def test_all_of_the_answer_is_on_stdout_when_it_is_nothing_too() -> None:
    out, beside = StringIO(), StringIO()
    call_command("authmail_find", HONG, stdout=out, stderr=beside)
    first, to_hash, *_ = out.getvalue().splitlines()
    assert first == "Nothing is recorded about this address."
    assert to_hash == f"In the log: to_hash={log_hash(HONG)}"
    assert not beside.getvalue()


def test_says_it_in_the_language_of_the_project(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = "550 5.1.1 no such user"
    queue.submit(auth_message())
    dispatch_due()
    with translation.override("ko"):
        text = find()
        assert str(hints.hint("bad_recipient")) in text
    assert "It was not sent" not in text


def test_a_key_that_is_gone_and_the_project_itself_have_their_id(smtp_server: SmtpServer) -> None:
    gone = f"key:{uuid.uuid4()}"
    queue.submit(auth_message(), owner=gone)
    queue.submit(auth_message())
    # In no order: SQLite's clock may have had the same millisecond for both.
    owners = {line.rpartition("  ")[2] for line in find().splitlines() if "  queued  " in line}
    assert owners == {"site", gone}


def test_of_a_mail_to_several_it_tells_what_the_server_said_of_this_one(
    smtp_server: SmtpServer,
) -> None:
    smtp_server.refuse[HONG] = "550 5.7.1 not from you"
    queue.submit(auth_message(to=(KIM, HONG)))
    dispatch_due()
    assert "  recipient  refused  policy_rejected  550 5.7.1 not from you\n" in find()
    assert str(hints.hint("policy_rejected")) in find()
    others = find(KIM)
    assert "  recipient  accepted  250 " in others
    assert "policy_rejected" not in others


def test_what_ended_otherwise_has_what_the_last_attempt_said(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = "450 4.7.1 greylisted"
    row = queue.submit(auth_message())
    dispatch_due()
    long_ago = timezone.now() - timedelta(seconds=1)
    Message.objects.filter(pk=row.pk).update(due_at=long_ago, expires_at=long_ago)
    dispatch_due()
    [fact] = found()["messages"]
    assert (fact["state"], fact["reason"]) == ("expired", "expired")
    assert list(fact["what_to_do"]) == ["expired", "greylisted"]
    assert fact["last_attempt"]["reply"] == "450 4.7.1 greylisted"
    assert "  recipient  unsent  greylisted  450 4.7.1 greylisted\n" in find()


def test_an_attempt_that_no_server_answered_is_told_apart() -> None:
    claim = submitted(on_unknown=OnUnknown.HOLD)
    assert "last attempt" not in find()
    end_lease(claim)
    assert queue.claim(claim.id) is None
    [fact] = found()["messages"]
    assert (fact["state"], fact["last_attempt"]["reason"]) == ("held", "outcome_unknown")
    text = find()
    assert f"  last attempt  1  {fact['last_attempt']['started_at']}  unknown  outcome_" in text
    assert "  The mail server may have taken it; it waits for a person to decide.\n" in text


def test_says_until_when_a_mailbox_gets_nothing(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(2, timedelta(minutes=10)), (3, timedelta(days=1))]
    settings.AUTHMAIL_RECIPIENT_GAP = timedelta(0)
    for _ in range(2):
        limits.admit(auth_message())
    with pytest.raises(RecipientCooldown):
        limits.admit(auth_message())
    day, minutes = sorted(found()["counters"], key=lambda fact: -fact["seconds"])
    assert (minutes["used"], minutes["most"], minutes["is_reached"]) == (2, 2, True)
    assert (day["used"], day["most"], day["is_reached"]) == (2, 3, False)
    text = find()
    assert (
        "A one-time code (otp), to this mailbox within 10 minutes: 2 of 2 mails. Limit reached: "
        f"more are refused until {minutes['ends_at']}.\n"
    ) in text
    assert (
        "A one-time code (otp), to this mailbox within 1 day: 2 of 3 mails. The window ends at "
        f"{day['ends_at']}.\n"
    ) in text
    with translation.override("ko"):
        korean = find()
    assert (
        "일회용 인증 코드(otp): 10분 동안 이 메일함에 보낸 메일 2통(최대 2통). 한도에 도달하여 "
        f"{minutes['ends_at']}까지 더 보내지 않습니다.\n"
    ) in korean
    # Nothing is refused by a limit that the settings have no more.
    settings.AUTHMAIL_RECIPIENT_LIMITS = []
    assert [fact["most"] for fact in found()["counters"]] == [None, None]
    assert "to this mailbox within 10 minutes: 2 mails. No setting limits it any more.\n" in find()
    assert "Limit reached" not in find()


def test_a_gap_between_two_mails_is_a_limit_too(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = []
    settings.AUTHMAIL_RECIPIENT_GAP = timedelta(minutes=1)
    limits.admit(auth_message(kind="parcel"))
    text = find()
    assert (
        "Mails of the kind parcel, to this mailbox within 1 minute: 1 of 1 mail. Limit reached: "
    ) in text


def test_what_was_counted_counts_no_more_once_its_window_has_ended(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(2, timedelta(minutes=10))]
    settings.AUTHMAIL_RECIPIENT_GAP = timedelta(0)
    limits.admit(auth_message())
    Counter.objects.update(ends_at=db_now("default") - timedelta(seconds=1))
    assert found()["counters"][0]["used"] == 0
    assert "to this mailbox within 10 minutes: 0 of 2 mails.\n" in find()


def test_mails_of_keys_for_tests_are_counted_apart(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(2, timedelta(minutes=10))]
    settings.AUTHMAIL_RECIPIENT_GAP = timedelta(0)
    limits.admit(auth_message(kind="test:otp"))
    assert "A one-time code (otp), by keys for tests, to this mailbox within 10 minutes" in find()


def test_speaks_one_language_but_for_words_of_the_api(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[HONG] = "450 4.7.1 greylisted"
    row = queue.submit(auth_message())
    dispatch_due()
    smtp_server.refuse[HONG] = "550 5.1.1 no such user"
    queue.submit(auth_message())
    dispatch_due()
    limits.admit(auth_message())
    with translation.override("ko"):
        text = find() + find("lee@example.com")
    for own in (str(row.pk), row.message_id, "greylisted", "bad_recipient"):
        assert own in text
    english = set(re.findall(r"\b[A-Za-z]{4,}(?: [a-z]+)+", text))
    # What the server said.
    assert english == {"such user"}


def test_times_are_in_the_time_zone_of_the_project(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(2, timedelta(minutes=10))]
    limits.admit(auth_message())
    row = queue.submit(auth_message())
    with timezone.override("Asia/Seoul"):
        answer = found()
        [fact] = answer["messages"]
        assert fact["created_at"] in find()
    assert fact["created_at"].endswith("+09:00")
    assert datetime.fromisoformat(fact["created_at"]) == row.created_at.replace(microsecond=0)
    assert answer["counters"][0]["ends_at"].endswith("+09:00")


def test_says_what_to_look_for_in_the_log() -> None:
    lines = find().splitlines()
    assert lines[-2] == f"In the log: to_hash={log_hash(HONG)}"
    assert "refused (409, 429, 503) are in the log only, as api.refused" in lines[-1]
    assert found()["to_hash"] == [log_hash(HONG)]


def test_log_lines_of_an_older_key_and_of_another_spelling_are_named_too(
    settings: Settings,
) -> None:
    settings.AUTHMAIL_HASH_KEYS = ["o" * 32]
    old = log_hash("Hong@example.com")
    settings.AUTHMAIL_HASH_KEYS = ["n" * 32, "o" * 32]
    new = log_hash("Hong@example.com")
    answer = found("Hong <Hong@Example.com>")["to_hash"]
    assert answer[:2] == [new, old]
    assert log_hash(HONG) in answer
    assert f"to_hash={new} / to_hash={old} / to_hash=" in find("Hong@Example.com")
    settings.AUTHMAIL_LOG_PLAIN_HASH = True
    assert found()["to_hash"] == [sha256(HONG.encode()).hexdigest()[:8]]


def test_says_so_when_no_worker_takes_a_mail() -> None:
    row = queue.submit(auth_message())
    text = find()
    assert "  It waits to be sent.\n" in text
    assert "  next attempt  20" in text
    Message.objects.filter(pk=row.pk).update(due_at=db_now("default") - timedelta(seconds=40))
    text = find()
    assert re.search(r"  It has been due for 4\d s and no worker took it: run", text)
    assert "`manage.py authmail_dispatch`, or a Celery worker and beat" in text
    assert "It waits to be sent." not in text
    assert "no worker took it" in found()["messages"][0]["meaning"]


def test_tells_a_mail_of_a_test_key_from_one_that_somebody_gets() -> None:
    queue.submit(auth_message(), is_test=True)
    dispatch_due()
    assert "  otp  accepted  test  site\n" in find()
    assert "No mail server was asked" in find()
    assert found()["messages"][0]["is_test"] is True
