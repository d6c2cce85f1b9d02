from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from django_authmail.clock import db_now
from django_authmail.conf import Conf
from django_authmail.dispatch import dispatch_due
from django_authmail.models import Attempt, Counter, Message, Recipient, Suppression
from django_authmail.outbox import erasure, limits, queue
from django_authmail.webhooks import deliveries
from tests.outbox.factories import auth_message
from tests.outbox.test_queue import accepted, submitted
from tests.smtp_server import SmtpServer
from tests.webhooks.rows import endpoint
from tests.webhooks.test_deliveries import posted, settle

pytestmark = pytest.mark.django_db

HONG, KIM = "hong@example.com", "kim@example.com"


def submit(*to: str, **changes: Any) -> Message:
    return queue.submit(auth_message(to=to or (HONG,), **changes))


def run(command: str, *args: str, **options: Any) -> str:
    out = StringIO()
    call_command(command, *args, stdout=out, stderr=out, **options)
    return out.getvalue()


def everything() -> str:
    """Return every value of every row, as text."""
    models = (Message, Recipient, Attempt, Suppression, Counter)
    return repr([list(model.objects.values()) for model in models])


@pytest.fixture
def traces(smtp_server: SmtpServer, settings: Settings) -> list[str]:
    """Leave every kind of trace of an address, and return what would give it away."""
    settings.AUTHMAIL_RECIPIENT_LIMITS = Conf.recipient_limits.default
    settings.AUTHMAIL_STORE_ADDRESSES = True
    smtp_server.refuse[HONG] = "550 5.1.1 no such user"
    limits.admit(auth_message())
    submit()
    dispatch_due()
    Suppression.objects.get()
    row = Recipient.objects.get()
    return [HONG, row.masked, row.address_hash, row.folded_hash]


def test_nothing_is_left_of_an_address(traces: list[str]) -> None:
    assert all(trace in everything() for trace in traces)
    said = run("authmail_erase", HONG)
    assert not any(trace in everything() for trace in traces)
    assert "to this address alone, deleted: 1\n" in said
    assert "Suppressions deleted: 1\nCounters deleted: 2\n" in said
    assert not Message.objects.exists()
    assert not Attempt.objects.exists()


def test_what_others_got_too_stays_without_it(traces: list[str], smtp_server: SmtpServer) -> None:
    Suppression.objects.all().delete()
    row = submit(HONG, KIM)
    dispatch_due()
    said = run("authmail_erase", HONG)
    assert "to others too, without it now: 1\n" in said
    assert not any(trace in everything() for trace in traces)
    row.refresh_from_db()
    assert (row.state, row.masked_recipient) == ("partially_accepted", "***")
    assert [r.masked for r in row.recipients.all()] == ["***", "k***@example.com"]


def test_what_is_still_to_be_sent_to_it_is_not(smtp_server: SmtpServer) -> None:
    submit()
    shared = submit(KIM, HONG)
    said = run("authmail_erase", HONG)
    assert "Of the mails in both lines, ended before they were sent to it: 2\n" in said
    assert dispatch_due() == 1
    assert [received.recipients for received in smtp_server.mails] == [[KIM]]
    shared.refresh_from_db()
    assert [(r.state, r.reason) for r in shared.recipients.all()] == [
        ("accepted", ""),
        ("unsent", "erased"),
    ]


def test_what_is_being_handed_over_is_left_and_said() -> None:
    row = submit()
    assert queue.claim(row.id) is not None
    with pytest.raises(
        CommandError, match="1 mail is being handed over .* was left. Run this again in a minute"
    ):
        run("authmail_erase", HONG)
    assert Message.objects.filter(id=row.id).exists()


def test_other_addresses_keep_theirs(smtp_server: SmtpServer) -> None:
    kim, spelling = submit(KIM), submit("Hong+1@example.com")
    submit()
    run("authmail_erase", HONG)
    assert set(Message.objects.all()) == {kim, spelling}
    run("authmail_erase", HONG, all_spellings=True)
    assert set(Message.objects.all()) == {kim}


def test_after_a_rotation_of_keys_old_rows_are_found(settings: Settings) -> None:
    settings.AUTHMAIL_HASH_KEYS = ["o" * 32]
    submit()
    settings.AUTHMAIL_HASH_KEYS = ["n" * 32, "o" * 32]
    assert erasure.messages_to("Hong <hong@EXAMPLE.com>").count() == 1
    assert erasure.erase(HONG, all_spellings=True).messages == 1


def test_finds_all_mail_to_an_address(traces: list[str]) -> None:
    older = Message.objects.get()
    Suppression.objects.all().delete()
    Counter.objects.all().delete()
    newer = submit()
    submit(KIM)
    lines = run("authmail_find", HONG).splitlines()
    mails = [line for line in lines if "  otp  " in line]
    assert [line.split()[0] for line in mails] == [str(newer.id), str(older.id)]
    assert "otp  queued  site" in mails[0]
    assert "otp  failed  bad_recipient  site" in mails[1]
    assert HONG not in "".join(lines)
    assert str(older.id) not in run("authmail_find", HONG, limit=1)


def test_finds_what_became_of_the_webhooks_about_each_mail() -> None:
    told = endpoint(url="https://hooks.example.com/a-token")
    claim = submitted(to=(HONG,))
    queue.settle(claim, accepted(claim), carrier="default")
    silent = submit()
    [first] = deliveries.claim_due(1)
    settle(first, posted(503, "http_status"))
    lines = run("authmail_find", HONG).splitlines()
    starts = (str(silent.id), str(claim.id), "  webhook")
    lines = [line for line in lines if line.startswith(starts)]
    assert [line.split()[0] for line in lines] == [str(silent.id), str(claim.id), "webhook"]
    assert lines[2] == (
        f"  webhook  {first.webhook_id}  email.accepted  hooks.example.com  {told.pk}  pending  1  "
        "503  http_status"
    )
    answer = json.loads(run("authmail_find", HONG, json=True))
    assert [row["webhooks"] for row in answer["messages"]] == [
        [],
        [
            {
                "webhook_id": first.webhook_id,
                "type": "email.accepted",
                "host": "hooks.example.com",
                "endpoint": str(told.pk),
                "state": "pending",
                "attempts": 1,
                "status_code": 503,
                "reason": "http_status",
            }
        ],
    ]
    assert "a-token" not in json.dumps(answer)


def test_finds_suppressions_and_prints_json(traces: list[str]) -> None:
    assert "suppressed for site until " in run("authmail_find", HONG)
    answer = json.loads(run("authmail_find", HONG, json=True))
    assert [row["state"] for row in answer["messages"]] == ["failed"]
    [found] = answer["suppressions"]
    assert found["reason"] == "bad_recipient"
    assert found["ends_at"] > db_now("default").isoformat()


def test_finds_what_was_counted_about_a_mailbox(settings: Settings) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = Conf.recipient_limits.default
    limits.admit(auth_message(to=(HONG,)))
    lines = run("authmail_find", HONG).splitlines()
    counted = [line.partition(": ") for line in lines if ", to this mailbox within " in line]
    assert [(name, said[:12]) for name, _, said in counted] == [
        ("A one-time code (otp), to this mailbox within 10 minutes", "1 of 5 mails"),
        ("A one-time code (otp), to this mailbox within 1 day", "1 of 20 mail"),
    ]
    answer = json.loads(run("authmail_find", HONG, json=True))
    assert [(row["kind"], row["used"]) for row in answer["counters"]] == [("otp", 1), ("otp", 1)]
    assert run("authmail_find", KIM).startswith("Nothing is recorded about this address.\n")


def test_says_that_nothing_is_there_and_what_is_no_address() -> None:
    assert run("authmail_find", HONG).startswith("Nothing is recorded about this address.\n")
    for command in ("authmail_find", "authmail_erase"):
        with pytest.raises(CommandError, match="is not a usable email address"):
            run(command, "hong")
