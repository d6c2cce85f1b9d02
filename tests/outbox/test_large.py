"""A mail that a database does not take, however often it is tried.

PostgreSQL and SQLite take 1 GB. MariaDB and MySQL take what `max_allowed_packet` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_authmail import dispatch, outbox
from django_authmail.backends import OutboxBackend
from django_authmail.message import Attachment
from django_authmail.models import Message
from django_authmail.outbox import submission
from django_authmail.transactions import StatementTooLarge, explained
from tests.outbox.factories import auth_message

pytestmark = pytest.mark.django_db(transaction=True)


def limit() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        return int(cursor.fetchone()[0])


def reports(*lengths: int) -> list[EmailMessage]:
    """Return mails of so many words each."""
    return [EmailMessage("Report", "long " * n, to=["hong@example.com"]) for n in lengths]


#: Bytes. The server has few other clients at a time, and none of these sends as much at once.
MOST = 4 * 1024 * 1024


@contextmanager
def taking_less() -> Iterator[None]:
    """Let the server take no more than MOST of a connection that is made inside."""
    with closing(connection.copy()) as keeper, keeper.cursor() as cursor:
        # No other run may take this one's value for the server's own, and put that back.
        cursor.execute("SELECT GET_LOCK('authmail_tests_packet', 120)")
        assert cursor.fetchone() == (1,)
        cursor.execute("SELECT @@GLOBAL.max_allowed_packet")
        [own] = cursor.fetchone()
        try:
            cursor.execute("SET GLOBAL max_allowed_packet = %s", [MOST])
            connection.close()
            yield
        finally:
            cursor.execute("SET GLOBAL max_allowed_packet = %s", [own])
            connection.close()
            # Now, while no other run is in here.
            connection.ensure_connection()


@contextmanager
def refusing() -> Iterator[None]:
    """Let the server refuse each mail, as one does that takes less than it is asked about."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TRIGGER too_large BEFORE INSERT ON {Message._meta.db_table} FOR EACH ROW "
            "SIGNAL SQLSTATE '08S01' SET MYSQL_ERRNO = 1153, MESSAGE_TEXT = 'Got a packet bigger'"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER too_large")


if connection.vendor == "mysql":

    @pytest.mark.parametrize("share", [0.57, 2.0], ids=["by little", "by far"])
    @pytest.mark.parametrize("door", [outbox.submit, dispatch.send_now])
    def test_a_mail_that_is_too_large_is_refused_at_once_and_says_what_to_raise(
        door: Any, share: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Of a database that fails for another reason, it would be asked again for so long.
        monkeypatch.setattr(submission, "CALLER_PATIENCE", 60.0)
        # As MIME and sealed it has 16/9 of this, and the statement a little more.
        content = b"a" * int(limit() * share)
        mail = auth_message(attachments=[Attachment("a.bin", content, "application/octet-stream")])
        with (
            CaptureQueriesContext(connection) as asked,
            pytest.raises(StatementTooLarge, match="raise max_allowed_packet"),
        ):
            door(mail)
        # Each try asks it. A time would tell how long this machine takes to make such a mail.
        assert [query["sql"] for query in asked].count("SELECT @@max_allowed_packet") == 1
        assert not Message.objects.exists()
        # The connection is as good as before.
        assert outbox.submit(auth_message()).state == "queued"

    def test_inside_of_a_transaction_of_the_caller_s_too() -> None:
        with taking_less(), transaction.atomic():
            outbox.submit(auth_message(text_body="short"))
            with pytest.raises(StatementTooLarge) as raised, transaction.atomic():
                outbox.submit(auth_message(text_body="long " * 700_000))
        assert Message.objects.count() == 1
        assert f"no statement of more than {MOST} bytes" in str(raised.value)

    def test_what_is_too_large_by_its_small_values_is_refused_too() -> None:
        times = [timezone.now()] * 20
        with taking_less(), explained("default"), connection.cursor() as cursor:
            with pytest.raises(StatementTooLarge):
                cursor.execute("SELECT %s" + ", %s" * 20, [b"a" * (MOST - 200), *times])
            # The server has not hung up.
            cursor.execute("SELECT 1")

    def test_what_the_server_alone_knows_to_be_too_large_is_explained_too() -> None:
        with refusing(), pytest.raises(StatementTooLarge, match="larger than the database takes"):
            outbox.submit(auth_message())

    def test_several_that_are_too_large_for_one_statement_get_several() -> None:
        with taking_less():
            assert OutboxBackend(alias="queue").send_messages(reports(*[300_000] * 4)) == 4
        assert Message.objects.count() == 4

    def test_one_that_is_too_large_takes_the_others_of_its_call_back() -> None:
        with taking_less(), pytest.raises(StatementTooLarge, match="send smaller mails"):
            OutboxBackend(alias="queue").send_messages(reports(10, 700_000, 10))
        assert not Message.objects.exists()
