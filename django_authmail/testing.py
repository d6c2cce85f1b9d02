"""For the tests of a project: what its code queued is sent, to `mail.outbox`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core import mail
from django.core.mail import EmailMessage
from django.db import router
from django.test import TestCase

from django_authmail.dispatch import dispatch_due
from django_authmail.models import Message


@contextmanager
def queued_mail_sent() -> Iterator[list[EmailMessage]]:
    """Send what is queued inside of the block when it ends; what it gives lists the mails then.

        with queued_mail_sent() as sent:
            client.post("/signup/", {"email": "hong@example.com"})
        assert sent[0].to == ["hong@example.com"]

    In a test whose transaction is rolled back (TestCase, pytest's `db`), what waits for the commit
    is run first, as Django's `captureOnCommitCallbacks` does. Nothing is sent if the block raises.
    """
    sent: list[EmailMessage] = []
    before = len(mail.outbox)
    with TestCase.captureOnCommitCallbacks(using=router.db_for_write(Message), execute=True):
        yield sent
    while dispatch_due():
        pass
    sent += mail.outbox[before:]
