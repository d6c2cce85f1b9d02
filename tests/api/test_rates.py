"""How many requests a key may make in a minute, and what is told of it."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings

from django_authmail import keyring
from django_authmail.api import counts
from django_authmail.models import Counter
from tests.api.conftest import Api, MakeKey, problem
from tests.services import require_service

pytestmark = pytest.mark.django_db(transaction=True)

LATER = {"Prefer": "respond-async"}
DRY = {"X_Dry_Run": "1"}
REDIS = "django.core.cache.backends.redis.RedisCache"


@pytest.fixture(params=["the database", "Redis"])
def _counted_in(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Count in the cache, or in the database where the cache is one process's own."""
    if request.param == "Redis":
        # Patient: a machine that is busy must not look like a cache that is down.
        place = {"LOCATION": require_service("redis"), "OPTIONS": {"socket_timeout": 30}}
        settings.CACHES = {"default": {"BACKEND": REDIS, **place}}
        # No minute ends during a test.
        clock = SimpleNamespace(time=lambda: 1_800_000_000.0)
        monkeypatch.setattr("django_ratelimit.core.time", clock)


@pytest.fixture
def no_cache(settings: Settings, dead_port: int) -> None:
    """A cache that does not answer."""
    place = f"redis://127.0.0.1:{dead_port}/0"
    settings.CACHES = {"default": {"BACKEND": REDIS, "LOCATION": place}}


def left(response: Any) -> tuple[int, int]:
    """Return what the headers of an answer say: requests that remain, seconds until all do."""
    shown = re.fullmatch(r'"key";r=(\d+);t=(\d+)', response["RateLimit"])
    assert shown is not None, response["RateLimit"]
    return int(shown[1]), int(shown[2])


@pytest.mark.usefixtures("_counted_in")
def test_the_limit_of_the_settings_is_everybody_s(make_key: MakeKey, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 2
    before = _refused("key")
    api = Api(key=make_key()[1])
    for remaining in (1, 0):
        response = api.post(**LATER)
        assert response.status_code == 202
        assert response["RateLimit-Policy"] == '"key";q=2;w=60'
        assert left(response)[0] == remaining
    response = api.post(**LATER)
    body = problem(response, 429, "rate_limited")
    remaining, seconds = left(response)
    assert remaining == 0
    assert 0 < seconds <= 60
    assert body["retry_after"] == seconds == int(response["Retry-After"])
    assert body["retryable"] is True
    assert _refused("key") == before + 1
    # Another key has its own.
    assert Api(key=make_key()[1]).post(**LATER).status_code == 202


@pytest.mark.usefixtures("_counted_in")
def test_a_dry_run_uses_nothing_up_and_is_not_refused(
    make_key: MakeKey, settings: Settings
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 1
    api = Api(key=make_key()[1])
    assert [left(api.post(**DRY))[0] for _ in range(3)] == [1, 1, 1]
    assert left(api.post(**LATER))[0] == 0
    assert left(api.post(**DRY))[0] == 0
    problem(api.post(**LATER), 429, "rate_limited")


@pytest.mark.usefixtures("_counted_in")
def test_a_key_has_a_rate_of_its_own(make_key: MakeKey, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 1
    api = Api(key=make_key(rate_per_minute=3)[1])
    answers = [api.post(**LATER).status_code for _ in range(4)]
    assert answers == [202, 202, 202, 429]


@pytest.mark.usefixtures("_counted_in")
@pytest.mark.parametrize("own", [None, 0])
def test_zero_is_no_limit(own: int | None, make_key: MakeKey, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 0 if own is None else 1
    api = Api(key=make_key(rate_per_minute=own)[1])
    for _ in range(3):
        response = api.post(**LATER)
        assert response.status_code == 202
        assert "RateLimit" not in response
        assert "RateLimit-Policy" not in response
    assert not Counter.objects.exists()


@pytest.mark.usefixtures("_counted_in")
def test_both_keys_of_a_rotation_share_one_limit(make_key: MakeKey) -> None:
    old, old_key = make_key(rate_per_minute=1)
    new_key = keyring.rotate(old, overlap=timedelta(hours=1))[1]
    assert Api(key=old_key).post(**LATER).status_code == 202
    problem(Api(key=new_key).post(**LATER), 429, "rate_limited")


def test_it_counts_before_the_body_is_read_and_after_the_scope(
    make_key: MakeKey, settings: Settings
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 1
    api = Api(key=make_key(scopes=("send:otp", "messages:read"))[1])
    problem(api.post("/send/magic-link"), 403, "insufficient_scope")
    problem(api.get("/messages/x"), 404, "not_found")
    response = api.post(body=b"{")
    problem(response, 400, "malformed_json")
    assert left(response)[0] == 0
    problem(api.post(body=b"{"), 429, "rate_limited")
    problem(api.get("/messages/x"), 404, "not_found")


def test_django_ratelimit_s_own_switch_counts(make_key: MakeKey, settings: Settings) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 1
    settings.AUTHMAIL_AUTH_FAILURES_PER_MINUTE = 1
    settings.RATELIMIT_ENABLE = False
    api = Api(key=make_key()[1])
    assert [api.post(**LATER).status_code for _ in range(3)] == [202, 202, 202]
    assert [Api(key="x").post().status_code for _ in range(3)] == [401, 401, 401]


@pytest.mark.usefixtures("no_cache")
def test_without_the_cache_mail_is_sent_and_failures_are_not_let_through(
    make_key: MakeKey, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.AUTHMAIL_RATE_LIMIT_PER_MINUTE = 1
    api = Api(key=make_key()[1])
    for _ in range(3):
        response = api.post(**LATER)
        assert response.status_code == 202
        assert "RateLimit" not in response
    refused = Api(key="x").post()
    body = problem(refused, 429, "auth_throttled")
    assert body["retry_after"] == counts.REST_SECONDS
    assert body["detail"] == "Guesses cannot be counted now, and none is let through uncounted."
    assert "cache of this service does not answer" in body["hint"]
    assert "oo many" not in str(body)  # it was the first
    assert "WWW-Authenticate" not in refused
    assert api.post(**LATER).status_code == 202
    # It is asked once, and then left alone for a while.
    assert [r.getMessage() for r in caplog.records if "cache" in r.getMessage()] == [
        "limits.cache_down error=ConnectionError"
    ]


def _refused(scope: str) -> float:
    return REGISTRY.get_sample_value("authmail_rate_limited_total", {"scope": scope}) or 0.0
