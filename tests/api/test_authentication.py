"""Which keys open the API, and what the others are told."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from django_authmail import keyring, keys
from django_authmail.api.authentication import authenticate
from django_authmail.keyring import REVOCATION_DELAY, lookup
from django_authmail.models import ApiKey, Message
from tests.api.conftest import OTP, Api, MakeKey, problem

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


@pytest.mark.parametrize(
    "key", ["", "am_live_" + "x" * 36, keys.generate()], ids=["none", "no key at all", "of nobody"]
)
def test_every_refusal_does_the_same_work(
    key: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(2):
        with django_assert_num_queries(1):
            Api(key=key).post()


def test_a_key_that_was_just_seen_costs_no_query(
    make_key: MakeKey, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    _, key = make_key()
    headers = {"Authorization": f"Bearer {key}"}
    request = RequestFactory().post("/send/otp", headers=headers)
    first = authenticate(request)
    with django_assert_num_queries(0):
        assert authenticate(request) == first


def test_a_revocation_elsewhere_is_seen_within_its_delay(
    make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, key = make_key()
    assert Api(key=key).post(**DRY).status_code == 200
    ApiKey.objects.filter(pk=row.pk).update(revoked_at=timezone.now())
    assert Api(key=key).post(**DRY).status_code == 200
    later = time.monotonic() + REVOCATION_DELAY
    monkeypatch.setattr("django_authmail.keyring.lookup.time.monotonic", lambda: later)
    problem(Api(key=key).post(**DRY), 401, "invalid_api_key")


def test_a_key_that_was_just_seen_expires_in_time(
    make_key: MakeKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = make_key(expires_at=timezone.now() + timedelta(seconds=3))
    assert Api(key=key).post(**DRY).status_code == 200
    later = time.monotonic() + 3
    monkeypatch.setattr("django_authmail.keyring.lookup.time.monotonic", lambda: later)
    problem(Api(key=key).post(**DRY), 401, "expired_api_key")


def test_guesses_are_not_remembered(db: None) -> None:
    for _ in range(3):
        Api(key=keys.generate()).post()
    assert lookup._known == {}


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "status"),
    [
        pytest.param("10.1.2.3", None, 0, 200, id="a client in the network"),
        pytest.param("::ffff:10.1.2.3", None, 0, 200, id="an IPv4 client of an IPv6 socket"),
        pytest.param("2001:db8::7", None, 0, 200, id="the one IPv6 address"),
        pytest.param("2001:db8::8", None, 0, 403, id="another IPv6 address"),
        pytest.param("192.0.2.1", None, 0, 403, id="a client elsewhere"),
        pytest.param("192.0.2.1", "10.1.2.3", 0, 403, id="a header that nobody vouches for"),
        pytest.param("192.0.2.1", "10.1.2.3", 1, 200, id="behind a proxy"),
        pytest.param("192.0.2.1", "10.1.2.3:4711", 1, 200, id="a proxy that writes ports"),
        pytest.param("192.0.2.1", "[2001:db8::7]:4711", 1, 200, id="and IPv6 addresses with them"),
        pytest.param("192.0.2.1", "10.1.2.3, 198.51.100.1", 1, 403, id="a client that lies"),
        pytest.param("192.0.2.1", "10.1.2.3, 198.51.100.1", 2, 200, id="behind two proxies"),
        pytest.param("192.0.2.1", "10.1.2.3", 2, 403, id="around one of two proxies"),
        pytest.param("10.1.2.3", None, 1, 200, id="around the only proxy"),
        pytest.param("192.0.2.1", "unknown", 1, 403, id="an entry that is no address"),
        pytest.param("", None, 0, 403, id="a Unix socket without a proxy that is trusted"),
        pytest.param("", "10.1.2.3", 1, 200, id="a Unix socket with one"),
    ],
)
def test_a_key_is_bound_to_its_networks(
    peer: str,
    forwarded: str | None,
    proxies: int,
    status: int,
    make_key: MakeKey,
    settings: Settings,
) -> None:
    settings.AUTHMAIL_TRUSTED_PROXIES = proxies
    _, key = make_key(networks=("10.0.0.0/8", "2001:db8::7/128"))
    api = Api(key=key)
    api.client = Client(REMOTE_ADDR=peer)
    response = api.post(**DRY, **({"X_Forwarded_For": forwarded} if forwarded else {}))
    if status == 403:
        problem(response, 403, "ip_not_allowed")
    assert response.status_code == status


@pytest.mark.parametrize(
    ("to", "allowed"),
    [
        pytest.param("Hong@Example.com", True, id="the address, in another case"),
        pytest.param("hong+1@example.com", False, id="another address there"),
        pytest.param("anybody@staging.example.org", True, id="the domain"),
        pytest.param("anybody@a.staging.example.org", False, id="a domain within it"),
        pytest.param("hong@example.com.evil.example", False, id="a domain that begins with it"),
    ],
)
def test_a_key_is_bound_to_its_recipients(to: str, allowed: bool, make_key: MakeKey) -> None:
    _, key = make_key(recipients=("hong@example.com", "@staging.example.org"))
    response = Api(key=key).post(body={**OTP, "to": to}, Prefer="respond-async")
    if allowed:
        assert response.status_code == 202
        return
    body = problem(response, 403, "recipient_not_allowed")
    assert [fault["pointer"] for fault in body["errors"]] == ["/to"]
    assert to not in response.content.decode()
    assert not Message.objects.exists()


def test_each_recipient_of_a_mail_has_to_be_allowed(make_key: MakeKey) -> None:
    _, key = make_key(recipients=("@example.com",))
    mail = {"subject": "s", "html_body": "<p>b</p>", "to": ["a@example.com"]}
    body = {**mail, "cc": ["b@example.com", "c@example.org"], "bcc": ["d@example.org"]}
    answer = problem(Api(key=key).post("/send", body), 403, "recipient_not_allowed")
    assert [fault["pointer"] for fault in answer["errors"]] == ["/cc/1", "/bcc/0"]


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
    keyring.forget()  # another process, which has not seen the key
    Api(key=key).post(**DRY)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=2))
    keyring.forget()
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
