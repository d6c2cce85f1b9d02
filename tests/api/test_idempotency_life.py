"""Whatever a caller, the mail server, workers and crashes do: one key, one message, one Message-ID.

A model-based test: hypothesis makes up the course of events, over HTTP, SMTP and a database.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pytest_django.fixtures import Settings

from django_authmail import dispatch
from django_authmail.clock import db_now
from django_authmail.models import Message, State, Suppression
from django_authmail.outbox.handover import HandOver
from tests.api.conftest import TO, Api, MakeKey
from tests.smtp_server import SmtpServer

#: What the server says of the recipient; None: it takes the mail.
REFUSALS = {"takes": None, "refuses for now": "451 4.3.2 later", "refuses": "550 5.1.1 nobody"}
KEY = "the-one"


class Life(RuleBasedStateMachine):
    api: Api
    server: SmtpServer

    def __init__(self) -> None:
        super().__init__()
        Message.objects.all().delete()
        Suppression.objects.all().delete()
        self.server.mails.clear()
        self.server.refuse.clear()
        self.server.drop_after_content = 0
        #: The answer that stands, as soon as there is one.
        self.last_word: tuple[int, bytes] | None = None

    # -- what happens -----------------------------------------------------------------------

    @rule(word=st.sampled_from(sorted(REFUSALS)), drops=st.integers(0, 2))
    def the_server_changes(self, word: str, drops: int) -> None:
        self.server.refuse.clear()
        if refusal := REFUSALS[word]:
            self.server.refuse[TO] = refusal
        self.server.drop_after_content = drops

    @rule(prefer=st.sampled_from(["", "respond-async"]))
    def a_caller_asks(self, prefer: str) -> None:
        self._heard(self.api.post(Idempotency_Key=KEY, Prefer=prefer))

    @rule(is_handed_over=st.booleans())
    def a_caller_asks_a_process_that_dies(self, is_handed_over: bool) -> None:
        real = HandOver.run

        def last(way: HandOver) -> None:
            if is_handed_over:
                real(way)
            raise SystemExit

        with mock.patch.object(HandOver, "run", last):
            try:
                answer = self.api.post(Idempotency_Key=KEY)
            except SystemExit:
                return
        self._heard(answer)

    @rule()
    def another_body_has_the_key(self) -> None:
        if Message.objects.exists():
            body = {"to": TO, "user_name": "", "code": "12345678"}
            assert self.api.post(body=body, Idempotency_Key=KEY).status_code == 422

    @rule()
    def leases_end_and_a_worker_looks(self) -> None:
        Message.objects.filter(due_at__isnull=False).update(due_at=db_now("default"))
        dispatch.dispatch_due(limit=5)

    # -- what must hold ---------------------------------------------------------------------

    def _heard(self, answer: Any) -> None:
        body = json.loads(answer.content)
        if self.last_word is not None:
            assert (answer.status_code, answer.content) == self.last_word
            assert answer["Idempotent-Replayed"] == "true"
        elif answer.status_code in (200, 202) or (
            answer.status_code == 502 and not body["retryable"]
        ):
            if Message.objects.get(id=body["id"]).state != State.HELD:
                self.last_word = answer.status_code, answer.content
        else:
            assert answer.status_code in (409, 502), body

    @invariant()
    def there_is_one_message_id(self) -> None:
        ids = set(Message.objects.values_list("message_id", flat=True))
        assert len(ids) <= 1
        assert {str(mail.mail["Message-ID"]) for mail in self.server.mails} <= ids

    @invariant()
    def at_most_one_message_has_not_surely_failed(self) -> None:
        assert Message.objects.exclude(state=State.FAILED).count() <= 1
        chain = list(Message.objects.order_by("created_at"))
        assert [row.retry_of for row in chain] == [None, *chain][: len(chain)]

    @invariant()
    def only_a_doubt_is_sent_again_and_once(self) -> None:
        resent = sum(Message.objects.values_list("resend_count", flat=True))
        assert resent <= 1
        assert len(self.server.mails) <= 1 + resent


@pytest.mark.django_db(transaction=True)
def test_one_key_is_one_message_whatever_happens(
    make_key: MakeKey, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=1)
    Life.api, Life.server = Api(key=make_key()[1]), smtp_server
    run_state_machine_as_test(
        Life,
        settings=hypothesis_settings(
            max_examples=8,
            stateful_step_count=12,
            # Shorter courses of events would be found by waiting for many more deadlines.
            phases=(Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
