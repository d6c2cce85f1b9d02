"""A mail that a database does not take, however often it is tried.

PostgreSQL and SQLite take 1 GB. MariaDB and MySQL take what `max_allowed_packet` says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import OperationalError, connection, transaction

from django_authmail import dispatch, outbox
from django_authmail.backends import OutboxBackend
from django_authmail.message import Attachment
from django_authmail.models import Message
from django_authmail.transactions import StatementTooLarge
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db(transaction=True)


def limit() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return int(cursor.fetchone()[0])


def reports(*lengths: int) -> list[EmailMessage]:
    """Return mails of so many words each."""
    return [EmailMessage("Report", "long " * n, to=["hong@example.com"]) for n in lengths]


@contextmanager
def taking(most: int) -> Iterator[None]:
    """Let the server say that it takes no more than this."""

    def say(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        said = sql.replace("@@max_allowed_packet", str(most))
        return execute(said, params, many, context)

    with connection.execute_wrapper(say):
        yield


if connection.vendor == "mysql":

    @pytest.mark.parametrize("share", [0.57, 2.0], ids=["by little", "by far"])
    @pytest.mark.parametrize("door", [outbox.submit, dispatch.send_now])
    def test_a_mail_that_is_too_large_is_refused_at_once_and_says_what_to_raise(
        door: Any, share: float
    ) -> None:
        # As MIME and sealed it has 16/9 of this, and the statement a little more.
        content = b"a" * int(limit() * share)
        mail = auth_message(attachments=[Attachment("a.bin", content, "application/octet-stream")])
        began = time.monotonic()
        with pytest.raises(StatementTooLarge, match="raise max_allowed_packet"):
            door(mail)
        assert time.monotonic() - began < 5
        assert not Message.objects.exists()
        # The connection is as good as before.
        assert outbox.submit(auth_message()).state == "queued"

    def test_inside_of_a_transaction_of_the_caller_s_too() -> None:
        with transaction.atomic(), taking(1_000_000):
            outbox.submit(auth_message(text_body="short"))
            with pytest.raises(StatementTooLarge) as raised, transaction.atomic():
                outbox.submit(auth_message(text_body="long " * 200_000))
        assert Message.objects.count() == 1
        assert "no statement of more than 1000000 bytes" in str(raised.value)

    def test_what_the_server_alone_knows_to_be_too_large_is_explained_too() -> None:
        def refuse(execute: Any, sql: str, *rest: Any) -> Any:
            if sql.startswith("INSERT"):
                raise OperationalError(1153, "Got a packet bigger than 'max_allowed_packet' bytes")
            return execute(sql, *rest)

        with connection.execute_wrapper(refuse), pytest.raises(StatementTooLarge):
            outbox.submit(auth_message())

    def test_several_that_are_too_large_for_one_statement_get_several() -> None:
        with taking(1_500_000):
            assert OutboxBackend(alias="queue").send_messages(reports(*[100_000] * 4)) == 4
        assert Message.objects.count() == 4

    def test_one_that_is_too_large_takes_the_others_of_its_call_back() -> None:
        with taking(1_500_000), pytest.raises(StatementTooLarge, match="send smaller mails"):
            OutboxBackend(alias="queue").send_messages(reports(10, 300_000, 10))
        assert not Message.objects.exists()
