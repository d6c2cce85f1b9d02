"""What a project's tests send its queued mail by."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import transaction
from django.test import TestCase

from django_authmail import OTPNotifier
from django_authmail.models import Message
from django_authmail.outbox import queue
from django_authmail.testing import queued_mail_sent
from tests.outbox.factories import auth_message

TO = "hong@example.com"


def submit_another() -> None:
    queue.submit(auth_message(subject="After"))


def check_what_is_queued_is_sent() -> None:
    mail.outbox.append(mail.EmailMessage("Earlier"))
    with queued_mail_sent() as sent:
        with transaction.atomic():
            queue.submit(auth_message())
            transaction.on_commit(submit_another)
        OTPNotifier().send(TO, user_name="", code="482901")  # at once: locmem is the mailer
        assert sent == []
    assert {message.subject for message in sent} == {"After", "Your code", "Your verification code"}
    assert {tuple(message.to) for message in sent} == {(TO,)}
    assert set(Message.objects.values_list("state", flat=True)) == {"accepted"}


class InATestCase(TestCase):
    def test_what_is_queued_is_sent(self) -> None:
        check_what_is_queued_is_sent()


@pytest.mark.django_db
def test_what_is_queued_is_sent_in_a_transaction_that_is_rolled_back() -> None:
    check_what_is_queued_is_sent()


@pytest.mark.django_db(transaction=True)
def test_what_is_queued_is_sent_after_a_commit() -> None:
    check_what_is_queued_is_sent()


def queue_and_fail() -> None:
    with queued_mail_sent():
        queue.submit(auth_message())
        raise ZeroDivisionError


@pytest.mark.django_db
def test_nothing_is_sent_where_the_block_raises() -> None:
    with pytest.raises(ZeroDivisionError):
        queue_and_fail()
    assert mail.outbox == []
    assert Message.objects.get().state == "queued"
