from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from django_authmail import sealing
from django_authmail.models import Message
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


def test_what_became_final_in_the_meantime_gets_no_body(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUTHMAIL_SEALING_KEYS = [OLD]
    row = queue.submit(auth_message())
    settings.AUTHMAIL_SEALING_KEYS = [NEW, OLD]

    def while_a_worker_ends_it(sealed: bytes) -> bytes:
        Message.objects.filter(id=row.id).update(state="failed", sealed=None, due_at=None)
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
