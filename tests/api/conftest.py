"""A caller with a key, and what it sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from django_authmail import keyring, keys
from django_authmail.keyring import Terms
from django_authmail.models import ApiKey

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer  # what Client returns

#: Nothing but the mail may show it.
CODE = "CANARY-7391"
TO = "hong@example.com"
OTP = {"to": TO, "user_name": "홍길동", "code": CODE}

MakeKey = Callable[..., tuple[ApiKey, str]]


@dataclass(kw_only=True)
class Api:
    """A caller of the API over Django's test client."""

    key: str
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))

    def post(self, path: str = "/send/otp", body: Any = None, **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else json.dumps(OTP if body is None else body)
        return self.send("POST", path, content, {"Content-Type": "application/json", **headers})

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, "", headers)

    def send(self, method: str, path: str, content: str | bytes, headers: dict[str, str]) -> Answer:
        known = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        given = {name.replace("_", "-"): value for name, value in {**known, **headers}.items()}
        return self.client.generic(
            method, path, content, content_type=given.pop("Content-Type", ""), headers=given
        )


@pytest.fixture
def make_key(db: None) -> MakeKey:
    """Make a key of the API: its row, and the key itself."""

    def make(
        *, expires_at: datetime | None = None, is_test: bool = False, **terms: Any
    ) -> tuple[ApiKey, str]:
        given = Terms(**{"scopes": keys.SCOPES, **terms})
        return keyring.issue("tests", given, expires=expires_at, is_test=is_test)

    return make


@pytest.fixture
def api(make_key: MakeKey) -> Api:
    """A caller that may do everything."""
    return Api(key=make_key()[1])


def problem(response: Answer, status: int, code: str) -> dict[str, Any]:
    """Return the body of a problem, once it has been checked to be a whole one of this code."""
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = json.loads(response.content)
    assert (body["status"], body["code"]) == (status, code)
    wanted = {"type", "title", "detail", "instance", "request_id", "retryable", "hint"}
    assert wanted <= body.keys()
    assert body["type"].endswith(f"/docs/errors#{code}")
    assert body["request_id"] == response["X-Request-ID"]
    return body
