"""What becomes of an address from which too many requests without a valid key come."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.test import Client
from prometheus_client import REGISTRY
from pytest_django.fixtures import Settings

from django_authmail import keys
from tests.api.conftest import Api, MakeKey, problem

pytestmark = pytest.mark.django_db

DRY = {"X_Dry_Run": "1"}


@pytest.fixture(autouse=True)
def _two_in_a_minute(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AUTHMAIL_AUTH_FAILURES_PER_MINUTE = 2
    # No minute ends during a test.
    clock = SimpleNamespace(time=lambda: 1_800_000_000.0)
    monkeypatch.setattr("django_ratelimit.core.time", clock)


def call(peer: str = "192.0.2.1", key: str = "wrong", **headers: str) -> int:
    api = Api(key=key, client=Client(raise_request_exception=False, REMOTE_ADDR=peer))
    return api.post(**DRY, **headers).status_code


@pytest.mark.parametrize(
    "key", ["", "wrong", keys.generate()], ids=["none", "no key at all", "of nobody"]
)
def test_failures_are_throttled_and_a_valid_key_is_not(key: str, make_key: MakeKey) -> None:
    before = _refused()
    assert [call(key=key) for _ in range(4)] == [401, 401, 429, 429]
    assert _refused() == before + 2
    assert call(key=make_key()[1]) == 200
    refused = Api(key=key, client=Client(REMOTE_ADDR="192.0.2.1")).post()
    body = problem(refused, 429, "auth_throttled")
    assert 0 < body["retry_after"] <= 60
    assert body["hint"].startswith("Too many came from this address. ")
    assert "192.0.2.1" not in str(body)


def test_guesses_at_the_readiness_probe_count_too() -> None:
    guesser = Api(key="wrong", client=Client(REMOTE_ADDR="192.0.2.1"))
    asked = [guesser.get("/health/ready").status_code for _ in range(3)]
    assert asked == [401, 401, 429]
    assert call() == 429


def test_each_address_has_its_own_count() -> None:
    assert [call("192.0.2.1") for _ in range(3)] == [401, 401, 429]
    assert call("192.0.2.2") == 401


def test_a_network_of_ipv6_is_one_client() -> None:
    assert [call(f"2001:db8:0:1::{n}") for n in range(1, 4)] == [401, 401, 429]
    assert call("2001:db8:0:2::1") == 401


def test_clients_behind_a_proxy_are_told_apart(settings: Settings) -> None:
    settings.AUTHMAIL_TRUSTED_PROXIES = 1
    first, second = ({"X_Forwarded_For": f"x, 192.0.2.{n}"} for n in (1, 2))
    assert [call("10.0.0.1", **first) for _ in range(3)] == [401, 401, 429]
    assert call("10.0.0.1", **second) == 401


def test_zero_is_no_limit(settings: Settings) -> None:
    settings.AUTHMAIL_AUTH_FAILURES_PER_MINUTE = 0
    assert [call() for _ in range(5)] == [401] * 5


def test_probes_without_a_key_do_not_count() -> None:
    for _ in range(5):
        Client(REMOTE_ADDR="192.0.2.1").get("/health/ready")
    assert call() == 401


def _refused() -> float:
    return REGISTRY.get_sample_value("authmail_rate_limited_total", {"scope": "auth"}) or 0.0
