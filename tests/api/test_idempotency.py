"""Idempotency-Key: what repeats of a request are answered, and that they send nothing more."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from pytest_django.fixtures import Settings

from django_authmail import dispatch
from django_authmail.clock import db_now
from django_authmail.models import Carrier, Counter, IdempotencyRecord, Message, State
from django_authmail.outbox import carriers, erasure, idempotency, queue
from tests.api.conftest import CODE, OTP, TO, Api, MakeKey, problem
from tests.conftest import UseMailer
from tests.outbox.factories import auth_message
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

KEY = "6f9b2a51-login"
RAW = {"to": [TO, "kim@example.com"], "subject": "Hi", "html_body": "<p>Hi</p>"}


def replayed(api: Api, first: Any, *args: Any, key: str = KEY, **options: Any) -> None:
    """Repeat a request and expect the answer to the first."""
    again = api.post(*args, Idempotency_Key=key, **options)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Idempotent-Replayed"] == "true"
    assert again["Content-Type"] == first["Content-Type"]
    assert again.get("Location") == first.get("Location")
    assert "Idempotent-Replayed" not in first


def expire(**fields: Any) -> None:
    IdempotencyRecord.objects.update(expires_at=db_now("default"), **fields)


def test_a_repeat_gets_the_first_answer_and_uses_up_nothing(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    settings.AUTHMAIL_QUOTAS = {"default": {"day": 1}}
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0  # that of a key counts requests, repeats too
    first = api.post(Idempotency_Key=KEY)
    assert first.status_code == 200
    replayed(api, first)
    replayed(api, first)
    assert len(smtp_server.mails) == Message.objects.count() == 1
    used = {row.key.partition(":")[0]: row.used for row in Counter.objects.all()}
    assert (used["recipient"], used["quota"]) == (1, 1)
    problem(api.post(), 429, "quota_exceeded")


@pytest.mark.parametrize(
    ("key", "again"),
    [
        pytest.param("a-b", '"a-b"', id="bare, then quoted"),
        pytest.param(r'"a\\b\"c"', r'a\b"c', id="quoted with escapes, then bare"),
        pytest.param("a-b", " a-b\t", id="white space around it"),
        pytest.param("~" * 255, f'"{"~" * 255}"', id="as long as it may be"),
    ],
)
def test_the_same_key_in_another_spelling(
    api: Api, smtp_server: SmtpServer, key: str, again: str
) -> None:
    replayed(api, api.post(Idempotency_Key=key), key=again)
    assert len(smtp_server.mails) == 1


def test_the_same_body_in_another_spelling(api: Api, smtp_server: SmtpServer) -> None:
    first = api.post(Idempotency_Key=KEY)
    backwards = dict(reversed(OTP.items()))
    replayed(api, first, body=json.dumps(backwards, ensure_ascii=False, indent=2).encode())
    assert len(smtp_server.mails) == 1


@pytest.mark.parametrize(
    "key",
    ["", " ", '""', "a b", "a\tb", "열쇠", "a\x7fb", '"a', '"a"b"', r'"a\b"', '"a";b', "a" * 256],
)
@pytest.mark.parametrize("dry_run", ["", "1"])
def test_what_is_no_key_is_refused(
    api: Api, smtp_server: SmtpServer, key: str, dry_run: str
) -> None:
    given = key.encode().decode("latin-1")  # as a server hands it over
    problem(api.post(Idempotency_Key=given, X_Dry_Run=dry_run), 400, "idempotency_key_invalid")
    assert not Message.objects.exists()
    assert not smtp_server.mails


def test_a_body_of_any_depth_is_read_or_refused(api: Api, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0
    limit = sys.getrecursionlimit()
    for depth in range(limit - 150, limit + 10, 2):
        body = b'{"to":"a@example.com","template":"welcome","context":{"user_name":%b%b}}'
        nested = body % (b"[" * depth, b"]" * depth)
        answer = api.post("/send/template", nested, Idempotency_Key=KEY)
        assert answer.status_code in (400, 422), depth


def test_another_key_or_path_or_owner_is_another_mail(
    api: Api, smtp_server: SmtpServer, make_key: MakeKey, settings: Settings
) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    body = {"to": TO, "user_name": "a", "token": "t" * 20}
    somebody = Api(key=make_key()[1])
    answers = [
        api.post("/send/magic-link", body, Idempotency_Key="key-a"),
        api.post("/send/magic-link", body, Idempotency_Key="Key-A"),
        api.post("/send/password-reset", body, Idempotency_Key="key-a"),
        somebody.post("/send/magic-link", body, Idempotency_Key="key-a"),
    ]
    assert [answer.status_code for answer in answers] == [200] * 4
    assert not any("Idempotent-Replayed" in answer for answer in answers)
    assert len({answer.json()["message_id"] for answer in answers}) == len(smtp_server.mails) == 4


def test_another_body_under_the_same_key_is_refused(api: Api, smtp_server: SmtpServer) -> None:
    first = api.post(Idempotency_Key=KEY)
    other = api.post(body={**OTP, "code": "CANARY-0001"}, Idempotency_Key=KEY)
    body = problem(other, 422, "idempotency_key_reused")
    assert body["retryable"] is False
    assert b"CANARY" not in other.content
    replayed(api, first)
    assert len(smtp_server.mails) == 1


def test_what_was_refused_before_anything_was_stored_is_not_remembered(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    problem(api.post(body={**OTP, "to": "nobody"}, Idempotency_Key=KEY), 422, "invalid_recipient")
    assert api.post().status_code == 200
    problem(api.post(Idempotency_Key=KEY), 429, "recipient_cooldown")
    settings.AUTHMAIL_RECIPIENT_LIMITS = []
    carriers.pause()
    problem(api.post(Idempotency_Key=KEY), 503, "paused")
    carriers.resume()
    assert not IdempotencyRecord.objects.exists()
    first = api.post(Idempotency_Key=KEY)
    assert first.status_code == 200
    replayed(api, first)
    assert len(smtp_server.mails) == 2


def test_what_surely_did_not_leave_is_taken_up_again_under_its_message_id(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_RECIPIENT_LIMITS = [(1, timedelta(minutes=10))]
    smtp_server.refuse[TO] = "451 4.7.1 come back later"
    failed = problem(api.post(Idempotency_Key=KEY), 502, "smtp_transient")
    again = problem(api.post(Idempotency_Key=KEY), 502, "smtp_transient")
    del smtp_server.refuse[TO]
    third = api.post(Idempotency_Key=KEY)
    assert third.status_code == 200
    rows = [Message.objects.get(id=answer["id"]) for answer in (failed, again, third.json())]
    assert [row.state for row in rows] == ["failed", "failed", "accepted"]
    assert [row.retry_of for row in rows] == [None, rows[0], rows[1]]
    assert api.get(f"/messages/{rows[2].id}").json()["retry_of"] == str(rows[1].id)
    assert len({row.message_id for row in rows}) == 1
    [mail] = smtp_server.mails
    assert mail.mail["Message-ID"] == failed["message_id"]
    assert IdempotencyRecord.objects.get().message == rows[2]
    replayed(api, third)
    assert len(smtp_server.mails) == 1


def test_a_server_that_is_away_is_tried_again_in_the_background_if_the_repeat_says_so(
    api: Api, smtp_server: SmtpServer, use_mailer: UseMailer, dead_port: int
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    failed = problem(api.post(Idempotency_Key=KEY), 502, "smtp_connection")
    queued = api.post(Idempotency_Key=KEY, Prefer="respond-async")
    assert queued.status_code == 202
    assert queued.json()["message_id"] == failed["message_id"]
    replayed(api, queued)
    use_mailer(smtp_server.options)
    carriers.forget()
    Carrier.objects.all().delete()
    dispatch.dispatch_due()
    [mail] = smtp_server.mails
    assert mail.mail["Message-ID"] == failed["message_id"]


def test_a_refusal_for_good_is_the_answer_of_its_repeats_too(
    api: Api, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    first = api.post(Idempotency_Key=KEY)
    problem(first, 502, "recipient_refused")
    # By now the address is suppressed, which others are told.
    problem(api.post(), 409, "recipient_suppressed")
    replayed(api, first)
    assert Message.objects.count() == 1


@pytest.mark.parametrize("refusal", ["", "451 4.7.1 later", "550 5.1.1 no such user"])
def test_who_was_outrun_is_answered_as_the_one_that_was_faster(
    api: Api, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    if refusal:
        smtp_server.refuse[TO] = refusal
    real = idempotency.find
    faster: list[Any] = []

    def find(request: idempotency.KeyedRequest) -> idempotency.Standing:
        standing = real(request)
        if not faster:
            # All of the other request happens between this one's question and its first write.
            # By the last refusal, the address is suppressed when this one looks.
            faster.append(None)
            faster.append(api.post(Idempotency_Key=KEY))
        return standing

    monkeypatch.setattr(idempotency, "find", find)
    slower = api.post(Idempotency_Key=KEY)
    first = faster[1]
    assert (slower.status_code, slower.content) == (first.status_code, first.content)
    assert slower["Idempotent-Replayed"] == "true"
    assert Message.objects.count() == 1
    assert len(smtp_server.mails) == (not refusal)


def test_an_unknown_outcome_is_the_answer_of_its_repeats_and_sends_nothing(
    api: Api, smtp_server: SmtpServer
) -> None:
    smtp_server.drop_after_content = 10
    first = api.post(Idempotency_Key=KEY)
    assert first.json()["reason"] == "outcome_unknown"
    arrived = len(smtp_server.mails)
    replayed(api, first)
    assert len(smtp_server.mails) == arrived
    assert Message.objects.get().state == State.UNKNOWN


def test_a_queued_mail_is_answered_as_it_was_whatever_became_of_it(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_MAX_ATTEMPTS = 1
    smtp_server.refuse[TO] = "451 4.7.1 come back later"
    first = api.post(Idempotency_Key=KEY, Prefer="respond-async")
    assert first.status_code == 202
    replayed(api, first, Prefer="respond-async")
    assert dispatch.dispatch_due() == 1
    assert Message.objects.get().state == State.FAILED
    replayed(api, first, Prefer="respond-async")
    replayed(api, first)
    assert Message.objects.count() == 1


def test_a_partly_refused_mail_is_answered_with_its_addresses_which_nothing_keeps(
    api: Api, smtp_server: SmtpServer
) -> None:
    smtp_server.refuse[TO] = "550 5.7.1 not from you"
    first = api.post("/send", RAW, Idempotency_Key=KEY)
    assert [entry["address"] for entry in first.json()["refused"]] == [TO]
    replayed(api, first, "/send", RAW)
    assert IdempotencyRecord.objects.get().answer is None
    assert len(smtp_server.mails) == 1


def test_a_dry_run_uses_up_no_key(api: Api, smtp_server: SmtpServer) -> None:
    assert api.post(Idempotency_Key=KEY, X_Dry_Run="1").json()["dry_run"] is True
    first = api.post(body={**OTP, "code": "12345678"}, Idempotency_Key=KEY)
    assert first.json()["sent"] is True
    # And is none of a key that was used.
    assert api.post(Idempotency_Key=KEY, X_Dry_Run="1").json()["dry_run"] is True


def test_after_its_time_a_key_stands_for_a_new_mail(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    first = api.post(Idempotency_Key=KEY)
    now = db_now("default")
    record = IdempotencyRecord.objects.get()
    assert abs(record.expires_at - now - timedelta(days=1)) < timedelta(minutes=1)
    expire()
    settings.AUTHMAIL_IDEMPOTENCY_TTL_SECONDS = 60
    second = api.post(body={**OTP, "code": "12345678"}, Idempotency_Key=KEY)
    assert second.status_code == 200
    assert second.json()["message_id"] != first.json()["message_id"]
    assert Message.objects.get(id=second.json()["id"]).retry_of is None
    record = IdempotencyRecord.objects.get()
    assert timedelta(0) < record.expires_at - now < timedelta(minutes=2)
    replayed(api, second, body={**OTP, "code": "12345678"})
    assert len(smtp_server.mails) == 2


def test_without_a_lifetime_the_header_is_not_looked_at(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.AUTHMAIL_IDEMPOTENCY_TTL_SECONDS = 0
    assert [api.post(Idempotency_Key=key).status_code for key in (KEY, KEY)] == [200, 200]
    assert len(smtp_server.mails) == 2
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("prefer", ["handling=strict", 'respond-async, Handling="strict"; x=1'])
def test_who_relies_on_a_key_is_told_that_there_are_none(
    api: Api, smtp_server: SmtpServer, settings: Settings, prefer: str
) -> None:
    settings.AUTHMAIL_IDEMPOTENCY_TTL_SECONDS = 0
    problem(api.post(Idempotency_Key=KEY, Prefer=prefer), 501, "idempotency_unavailable")
    assert not Message.objects.exists()
    # Without a key nothing relies on one.
    assert api.post(Prefer=prefer).status_code in (200, 202)


def test_nothing_readable_is_stored(api: Api, smtp_server: SmtpServer) -> None:
    first = api.post(Idempotency_Key=KEY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM authmail_idempotencyrecord")
        stored = b" ".join(
            bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
            for value in cursor.fetchone()
        )
    for secret in (CODE, TO, "홍길동", KEY, first.json()["message_id"], api.key):
        assert secret.encode() not in stored


def test_an_answer_that_does_not_open_is_made_anew_from_the_row(
    api: Api, smtp_server: SmtpServer
) -> None:
    first = api.post(Idempotency_Key=KEY)
    other = api.post(Idempotency_Key="other")
    answer = IdempotencyRecord.objects.get(message=other.json()["id"]).answer
    IdempotencyRecord.objects.filter(message=first.json()["id"]).update(answer=answer)
    replayed(api, first)
    IdempotencyRecord.objects.update(answer=b"broken")
    replayed(api, first)
    assert len(smtp_server.mails) == 2


def test_a_repeat_is_known_after_a_rotation_of_keys(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    first = api.post(Idempotency_Key=KEY)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "n" * 50, [settings.SECRET_KEY]
    replayed(api, first)


def test_what_is_erased_is_not_remembered(api: Api, smtp_server: SmtpServer) -> None:
    api.post(Idempotency_Key=KEY)
    erasure.erase(TO)
    assert not IdempotencyRecord.objects.exists()


def test_atomic_requests_do_not_matter(
    api: Api, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    first = api.post(Idempotency_Key=KEY)
    replayed(api, first)
    assert Message.objects.get().state == State.FAILED


def test_the_outcome_of_a_process_that_died_is_what_its_repeats_get(
    api: Api, smtp_server: SmtpServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.1)

    def die(*args: object, **options: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "HandOver", die)
        with pytest.raises(SystemExit):
            api.post(Idempotency_Key=KEY)
    waiting = problem(api.post(Idempotency_Key=KEY), 409, "idempotency_in_progress")
    # The lease: the deadline, and 15 s.
    assert 10 <= waiting["retry_after"] <= 16
    assert waiting["retryable"] is True
    Message.objects.update(due_at=db_now("default"))
    assert dispatch.dispatch_due() == 1
    again = api.post(Idempotency_Key=KEY)
    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    [mail] = smtp_server.mails
    row = Message.objects.get()
    assert again.json()["message_id"] == mail.mail["Message-ID"] == row.message_id
    assert again.json()["provider_id"] == row.provider_id


def test_a_request_outlives_its_own_lifetime_while_it_runs(
    api: Api, smtp_server: SmtpServer, settings: Settings
) -> None:
    api.post(Idempotency_Key=KEY)
    settings.AUTHMAIL_SYNC_DEADLINE = timedelta(seconds=0.1)
    row, _ = queue.submit_claimed(auth_message())
    expire(message=row, answer=None)
    problem(api.post(Idempotency_Key=KEY), 409, "idempotency_in_progress")


def test_what_a_person_is_to_decide_is_answered_at_once(api: Api, smtp_server: SmtpServer) -> None:
    api.post(Idempotency_Key=KEY)
    row = queue.submit(auth_message())
    Message.objects.filter(id=row.id).update(
        state=State.HELD, error_code="smtp_connection", reason="outcome_unknown"
    )
    IdempotencyRecord.objects.update(message=row, answer=None)
    answer = api.post(Idempotency_Key=KEY)
    body = answer.json()
    assert (answer.status_code, answer["Idempotent-Replayed"]) == (502, "true")
    assert (body["code"], body["retryable"], body["id"]) == ("smtp_connection", False, str(row.id))


@pytest.mark.django_db(transaction=True)
def test_a_repeat_waits_for_the_first_which_is_still_running(
    make_key: MakeKey, smtp_server: SmtpServer
) -> None:
    key = make_key()[1]
    smtp_server.hold = True

    def post() -> tuple[int, bytes, bool]:
        try:
            answer = Api(key=key).post(Idempotency_Key=KEY)
            return answer.status_code, answer.content, "Idempotent-Replayed" in answer
        finally:
            connections.close_all()

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(post)
        assert smtp_server.holding.wait(30)
        others = [pool.submit(post) for _ in range(2)]
        with pytest.raises(TimeoutError):
            others[0].result(timeout=0.3)
        smtp_server.release.set()
        status, content, replay = first.result(30)
        assert (status, replay) == (200, False)
        assert [other.result(30) for other in others] == [(200, content, True)] * 2
    assert len(smtp_server.mails) == 1


@pytest.mark.django_db(transaction=True)
def test_a_table_that_takes_no_record_is_an_error_and_no_repeat(api: Api) -> None:
    table = connection.ops.quote_name(IdempotencyRecord._meta.db_table)
    with connection.cursor() as cursor:
        # As a newer version, or somebody's hand, may have it.
        cursor.execute(f"ALTER TABLE {table} ADD COLUMN more int CHECK (more IS NOT NULL)")
    try:
        problem(api.post(Idempotency_Key=KEY, Prefer="respond-async"), 500, "internal_error")
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} DROP COLUMN more")
    assert not Message.objects.exists()
    assert api.post(Idempotency_Key=KEY, Prefer="respond-async").status_code == 202
