"""Which keys open the API, and what the others are told."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from django_authmail import keys
from django_authmail.models import ApiKey, Message
from tests.api.conftest import Api, MakeKey, problem

pytestmark = pytest.mark.django_db

STATIC = "a-shared-key-of-more-than-32-characters"
DRY = {"X_Dry_Run": "1"}


@pytest.mark.parametrize(
    ("header", "code"),
    [
        pytest.param("", "missing_credentials", id="no header"),
        pytest.param("Bearer", "missing_credentials", id="no key"),
        pytest.param("Bearer   ", "missing_credentials", id="spaces for a key"),
        pytest.param("Basic dXNlcjpwYXNz", "missing_credentials", id="another scheme"),
        pytest.param("Bearer am_live_short", "invalid_api_key", id="no key at all"),
        pytest.param(f"Bearer {keys.generate()}", "invalid_api_key", id="a key of nobody"),
        pytest.param(f"Bearer {keys.generate()} x", "invalid_api_key", id="two words"),
        pytest.param("Bearer 열쇠", "invalid_api_key", id="not ASCII"),
    ],
)
def test_refuses(header: str, code: str, settings: Settings) -> None:
    settings.AUTHMAIL_API_KEY = STATIC
    response = Client().post("/send/otp", headers={"Authorization": header} if header else {})
    body = problem(response, 401, code)
    assert response["WWW-Authenticate"] == "Bearer"
    assert "am_live_" not in body["detail"]


def test_a_wrong_form_is_refused_without_a_query(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(0):
        Api(key="am_live_" + "x" * 36).post()


def test_a_revoked_key_is_like_one_that_never_was(make_key: MakeKey) -> None:
    _, key = make_key()
    ApiKey.objects.update(revoked_at=timezone.now())
    revoked = problem(Api(key=key).post(**DRY), 401, "invalid_api_key")
    never = problem(Api(key=keys.generate()).post(**DRY), 401, "invalid_api_key")
    for body in (revoked, never):
        del body["request_id"]
    assert revoked == never


def test_a_key_ends_when_it_expires(make_key: MakeKey) -> None:
    now = timezone.now()
    _, old = make_key(expires_at=now - timedelta(seconds=1))
    _, good = make_key(expires_at=now + timedelta(minutes=5))
    problem(Api(key=old).post(**DRY), 401, "expired_api_key")
    assert Api(key=good).post(**DRY).status_code == 200


def test_a_key_does_only_what_its_scopes_say(make_key: MakeKey) -> None:
    _, key = make_key(scopes=("messages:read",))
    body = problem(Api(key=key).post(**DRY), 403, "insufficient_scope")
    assert "'send:otp'" in body["detail"]


def test_the_key_of_the_settings_may_do_everything(settings: Settings) -> None:
    settings.AUTHMAIL_API_KEY = STATIC
    caller = Api(key=STATIC)
    assert caller.post(Prefer="respond-async").status_code == 202
    message = Message.objects.get()
    assert message.owner == "setting"
    assert caller.get(f"/messages/{message.id}").status_code == 200


def test_an_empty_key_in_the_settings_opens_nothing(settings: Settings) -> None:
    settings.AUTHMAIL_API_KEY = ""
    problem(Api(key="").post(**DRY), 401, "missing_credentials")
    problem(Api(key="''").post(**DRY), 401, "invalid_api_key")


def test_the_scheme_is_case_insensitive(make_key: MakeKey) -> None:
    _, key = make_key()
    assert Api(key="").post(Authorization=f"bearer {key}", **DRY).status_code == 200


def test_notes_the_last_use_once_a_minute(make_key: MakeKey) -> None:
    row, key = make_key()
    Api(key=key).post(**DRY)
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    Api(key=key).post(**DRY)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    Api(key=key).post(**DRY)
    row.refresh_from_db()
    assert row.last_used_at is not None
    assert row.last_used_at >= first


def test_no_key_is_logged(make_key: MakeKey, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    _, key = make_key(scopes=())
    wrong = keys.generate()
    Api(key=key).post()
    Api(key=wrong).post()
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "insufficient_scope" in logged
    assert key not in logged
    assert wrong not in logged
