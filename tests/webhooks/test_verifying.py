"""A receiver's side: what is genuine and fresh is taken, anything else is refused by its reason."""

from __future__ import annotations

import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.http import HttpRequest
from standardwebhooks import Webhook

from django_authmail import webhooks
from django_authmail.exceptions import WebhookInvalid
from django_authmail.webhooks import signing, verify, verify_s0
from tests.settings import BASE_DIR

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = '{"type":"email.accepted","name":"홍길동"}'
CONTENT = {"type": "email.accepted", "name": "홍길동"}


def standard(
    changes: dict[str, str] | None = None, *, body: str = BODY, age: float = 0
) -> dict[str, str]:
    """Return what the library of Standard Webhooks signs."""
    at = datetime.now(tz=UTC) - timedelta(seconds=age)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", at, body),
    }
    return headers | (changes or {})


def s0(*, age: float = 0) -> dict[str, str]:
    at = int(time.time() - age)
    return signing.headers(
        id="msg_1", timestamp=at, body=BODY.encode(), secrets=[SECRET], s0=True, v1=True
    )


def refused(reason: str, call: Callable[[], object]) -> None:
    with pytest.raises(WebhookInvalid) as error:
        call()
    assert error.value.reason == reason
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("body", [BODY, BODY.encode(), bytearray(BODY.encode())])
@pytest.mark.parametrize("secrets", [SECRET, [SECRET], (signing.new_secret(), SECRET)])
def test_what_the_library_of_standard_webhooks_signs_is_verified(body: Any, secrets: Any) -> None:
    assert verify(body, standard(), secrets) == CONTENT


def test_the_case_of_headers_does_not_count() -> None:
    assert verify(BODY, {k.upper(): v for k, v in standard().items()}, SECRET) == CONTENT
    request = HttpRequest()
    request.META = {f"HTTP_{k.upper().replace('-', '_')}": v for k, v in standard().items()}
    assert verify(BODY, request.headers, SECRET) == CONTENT


def test_one_signature_of_several_is_enough() -> None:
    own = standard()["webhook-signature"]
    # What the library's own tests send: other versions, and signatures that are none.
    several = f"v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,{own[3:]} nonsense v1, {own}"
    assert verify(BODY, standard({"webhook-signature": several}), SECRET) == CONTENT


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_missing_header(name: str) -> None:
    refused("header_missing", lambda: verify(BODY, standard({name: ""}), SECRET))
    without = {k: v for k, v in standard().items() if k != name}
    refused("header_missing", lambda: verify(BODY, without, SECRET))


@pytest.mark.parametrize("value", ["x", "1.5", "-1", " 1", "1_0", "\uff11", "9" * 13, "nan"])
def test_a_timestamp_that_is_none(value: str) -> None:
    refused(
        "timestamp_invalid", lambda: verify(BODY, standard({"webhook-timestamp": value}), SECRET)
    )


@pytest.mark.parametrize(
    ("age", "reason"), [(302, "too_old"), (-302, "too_new"), (295, None), (-295, None)]
)
def test_what_is_not_fresh_is_refused_though_it_is_genuine(age: float, reason: str | None) -> None:
    if reason is None:
        assert verify(BODY, standard(age=age), SECRET) == CONTENT
        assert verify_s0(BODY, s0(age=age), SECRET) == CONTENT
    else:
        refused(reason, lambda: verify(BODY, standard(age=age), SECRET))
        refused(reason, lambda: verify_s0(BODY, s0(age=age), SECRET))
    assert verify(BODY, standard(age=age), SECRET, tolerance=1000) == CONTENT


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-id": "msg_2"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": "v1," + b64encode(b"x" * 32).decode()},
    ],
)
def test_what_was_changed_is_refused(changes: dict[str, str]) -> None:
    refused("signature_mismatch", lambda: verify(BODY, standard(changes), SECRET))


def test_a_changed_time_is_refused() -> None:
    changes = {"webhook-timestamp": str(int(time.time()) - 10)}
    refused("signature_mismatch", lambda: verify(BODY, standard(changes), SECRET))


def test_another_body_or_secret_is_refused() -> None:
    refused("signature_mismatch", lambda: verify(BODY + " ", standard(), SECRET))
    refused("signature_mismatch", lambda: verify(BODY, standard(), signing.new_secret()))
    refused("signature_mismatch", lambda: verify_s0(BODY + " ", s0(), SECRET))
    refused("signature_mismatch", lambda: verify_s0(BODY, s0(), "another"))


def test_s0_s_second_form_is_verified_and_its_first_one_is_not() -> None:
    assert verify_s0(BODY.encode(), s0(), SECRET) == CONTENT
    first = s0()
    del first["X-Email-Service-Signature-V2"]
    refused("header_missing", lambda: verify_s0(BODY, first, SECRET))


@pytest.mark.parametrize("secrets", ["", [], ["", SECRET]])
def test_without_a_secret_nothing_is_verified(secrets: Any) -> None:
    with pytest.raises(ValueError, match="cannot be verified without a secret"):
        verify(BODY, standard(), secrets)


@pytest.mark.parametrize("body", ["", "[1]", "{", "null"])
def test_a_genuine_body_that_is_no_json_object(body: str) -> None:
    refused("not_json", lambda: verify(body, standard(body=body), SECRET))


def test_a_receiver_needs_no_settings_no_apps_and_no_database() -> None:
    script = (
        "import sys\n"
        "from django_authmail.webhooks import WebhookInvalid, verify, verify_s0\n"
        "try: verify(b'{}', {}, 'secret')\n"
        "except WebhookInvalid as error: assert error.reason == 'header_missing'\n"
        "else: raise SystemExit('verified')\n"
        "loaded = [n for n in sys.modules if n.startswith(('django.db', 'django.apps', 'celery',"
        " 'rest_framework', 'httpcore2', 'cryptography')) or n.endswith(('.conf', '.models'))]\n"
        "assert not loaded, loaded\n"
    )
    environment = {"PATH": "", "PYTHONWARNINGS": "error"}
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=BASE_DIR, env=environment, capture_output=True
    )
    assert result.returncode == 0, result.stderr.decode()


def test_what_is_exported() -> None:
    assert webhooks.__all__ == sorted(webhooks.__all__)
    assert set(webhooks.__all__) <= set(dir(webhooks))
    for name in webhooks.__all__:
        assert getattr(webhooks, name)
    with pytest.raises(AttributeError):
        webhooks.nothing  # noqa: B018 - the access is what is tested
