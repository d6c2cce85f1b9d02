from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from django_authmail import sealing
from django_authmail.clock import db_now
from django_authmail.models import IdempotencyRecord, Message
from django_authmail.outbox import queue, resealing
from tests.outbox.factories import CODE, auth_message

pytestmark = pytest.mark.django_db

OLD, NEW = "o" * 32, "n" * 32


def reseal() -> str:
    out = StringIO()
    call_command("authmail_reseal", stdout=out)
    return out.getvalue()


def test_open_mail_is_sealed_by_the_newest_key(settings: Settings) -> None:
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    rows = [queue.submit(auth_message()) for _ in range(3)]
    settings.AUTHMAIL_SEALING_KEYS = [NEW, OLD]
    rows.append(queue.submit(auth_message()))
    assert reseal() == "3 of 4 open mails were sealed again.\n"
    settings.AUTHMAIL_SEALING_KEYS = [NEW]
    assert reseal() == "0 of 4 open mails were sealed again.\n"
    for row in rows:
        claim = queue.claim(row.id)
        assert claim is not None
        assert CODE.encode() in claim.content


def remembered(row: Message, answer: bytes) -> IdempotencyRecord:
    now = db_now("default")
    return IdempotencyRecord.objects.create(
        scope=row.id.hex, fingerprint="", message=row, answer=sealing.seal(answer),
        created_at=now, expires_at=now,
    )  # fmt: skip


def test_answers_for_repeats_are_sealed_by_the_newest_key(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    kept, taken_over = (remembered(queue.submit(auth_message()), b"old") for _ in range(2))
    settings.AUTHMAIL_SEALING_KEYS = [NEW, OLD]

    def while_another_takes_it_over(sealed: bytes) -> bytes:
        if sealed == taken_over.answer:
            taken_over.answer = sealing.seal(b"new")
            taken_over.save()
        return sealing.reseal(sealed)

    monkeypatch.setattr("django_authmail.outbox.resealing.reseal", while_another_takes_it_over)
    assert "\n1 of 2 kept answers were sealed again.\n" in reseal()
    settings.AUTHMAIL_SEALING_KEYS = [NEW]
    for record, answer in ((kept, b"old"), (taken_over, b"new")):
        record.refresh_from_db()
        assert sealing.unseal(bytes(record.answer or b"")) == answer


def test_an_answer_that_no_key_opens_is_no_error(settings: Settings) -> None:
    settings.AUTHMAIL_SEALING_KEYS = ["x" * 32]
    row = queue.submit(auth_message())
    remembered(row, b"lost")
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    Message.objects.filter(id=row.id).update(sealed=sealing.seal(b"found"))
    assert reseal().endswith("\n0 of 1 kept answers were sealed again.\n")


def test_what_became_final_in_the_meantime_gets_no_body(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    row = queue.submit(auth_message())
    settings.AUTHMAIL_SEALING_KEYS = [NEW, OLD]

    def while_a_worker_ends_it(sealed: bytes) -> bytes:
        Message.objects.filter(id=row.id).update(
            state="failed", sealed=None, due_at=None, settled_at=row.created_at, supersede_hash=""
        )
        return sealing.reseal(sealed)

    monkeypatch.setattr("django_authmail.outbox.resealing.reseal", while_a_worker_ends_it)
    assert reseal() == "0 of 1 open mails were sealed again.\n"
    row.refresh_from_db()
    assert row.sealed is None


def test_what_no_key_opens_is_named_and_stops_no_other(settings: Settings) -> None:
    settings.AUTHMAIL_SEALING_KEYS = ["x" * 32]
    lost = queue.submit(auth_message())
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    queue.submit(auth_message())
    settings.AUTHMAIL_SEALING_KEYS = [NEW, OLD]
    with pytest.raises(CommandError, match=f"1 cannot be opened by any key.*{lost.id}"):
        reseal()
    settings.AUTHMAIL_SEALING_KEYS = [NEW]
    assert [s.broken for s in resealing.reseal_open()] == [[lost.id]]
