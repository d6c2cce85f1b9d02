"""A database whose clock jumps: late mails are not sent, and none is sent twice or lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from django_authmail import clock, dispatch
from django_authmail.clock import db_now
from django_authmail.message import OnUnknown
from django_authmail.models import Message
from django_authmail.outbox import carriers, queue
from django_authmail.outcomes import Reply, SendResult
from tests import smtp_server as servers
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db(transaction=True)

JumpTo = Callable[[timedelta], None]

#: What each database calls its time, when that is so many seconds off.
_JUMPED = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '{:+d} seconds')",
    "postgresql": "(clock_timestamp() + interval '{:+d} seconds')",
    "mysql": "UTC_TIMESTAMP(6) + INTERVAL {:+d} SECOND",
}


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> JumpTo:
    """Set the database's clock to so much after the true time, or before it."""
    true = db_now("default")

    def jump(by: timedelta) -> None:
        seconds = int(by.total_seconds())
        monkeypatch.setitem(
            clock._CLOCKS, connection.vendor, _JUMPED[connection.vendor].format(seconds)
        )
        carriers.forget()
        assert abs(db_now("default") - true - by) < timedelta(seconds=30)

    return jump


def test_forward_over_its_life_ends_a_code_unsent(
    smtp_server: servers.SmtpServer, jump: JumpTo
) -> None:
    row = queue.submit(auth_message(expires_in=timedelta(minutes=5)))
    jump(timedelta(hours=1))
    assert dispatch.dispatch_due() == 0
    row.refresh_from_db()
    assert row.state == "expired"
    assert smtp_server.mails == []


def test_forward_over_a_lease_takes_the_mail_from_its_worker_which_cannot_settle_any_more(
    jump: JumpTo,
) -> None:
    row = queue.submit(auth_message(on_unknown=OnUnknown.HOLD))
    claim = queue.claim(row.id)
    assert claim is not None
    jump(timedelta(minutes=2))
    assert queue.claim(row.id) is None
    reply = Reply(code=250, text="ok")
    result = SendResult(
        message_id=claim.message_id, accepted=claim.envelope.recipients, reply=reply
    )
    assert queue.settle_many([queue.Settlement(claim=claim, result=result, carrier="a")]) == []
    row.refresh_from_db()
    assert (row.state, row.attempt_count) == ("held", 1)


def test_back_makes_what_waits_wait_and_loses_nothing(
    smtp_server: servers.SmtpServer, jump: JumpTo
) -> None:
    waiting = queue.submit(auth_message())
    jump(timedelta(minutes=-10))
    later = queue.submit(auth_message())
    assert dispatch.dispatch_due() == 1
    assert Message.objects.get(state="accepted") == later
    jump(timedelta(0))
    assert dispatch.dispatch_due() == 1
    waiting.refresh_from_db()
    assert waiting.state == "accepted"
    assert len(smtp_server.mails) == 2


def test_back_keeps_a_claim_with_its_worker(smtp_server: servers.SmtpServer, jump: JumpTo) -> None:
    row = queue.submit(auth_message())
    claim = queue.claim(row.id)
    assert claim is not None
    jump(timedelta(minutes=-10))
    assert queue.claim(row.id) is None
    [settled] = queue.settle_many([dispatch.hand_over(claim)])
    assert settled.state == "accepted"
    assert len(smtp_server.mails) == 1
