"""Signatures are those that the libraries of Standard Webhooks, and S0's receivers, verify."""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64decode

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from django_authmail.secret import Secret
from django_authmail.webhooks import signing

BODY = '{"type":"email.accepted","data":{"name":"홍길동"}}'.encode()
OWN = "a caller's own secret, 비밀"


def signed(
    secrets: list[str], *, s0: bool = False, v1: bool = False, timestamp: int | None = None
) -> dict[str, str]:
    at = int(time.time()) if timestamp is None else timestamp
    return signing.headers(id="msg_1", timestamp=at, body=BODY, secrets=secrets, s0=s0, v1=v1)


def s0_verifies(body: bytes, headers: dict[str, str], secret: str) -> bool:
    """What S0's documentation tells its receivers to do, in its words."""
    timestamp = headers["X-Email-Service-Timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    signed_payload = timestamp.encode() + b"." + body
    expected = "sha256=" + hmac.new(secret.encode(), signed_payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, headers["X-Email-Service-Signature-V2"])


def test_the_specification_s_own_example() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    content = b'{"test": 2432232314}'
    assert signing.standard(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, content) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


def test_the_library_of_standard_webhooks_verifies_it() -> None:
    secret = signing.new_secret()
    assert Webhook(secret).verify(BODY, signed([secret]))["data"] == {"name": "홍길동"}


def test_a_caller_s_own_secret_counts_as_its_octets() -> None:
    Webhook(OWN.encode()).verify(BODY, signed([OWN]))


def test_each_of_two_secrets_verifies_while_they_are_rotated() -> None:
    new, old = signing.new_secret(), signing.new_secret()
    headers = signed([new, old])
    assert len(headers["webhook-signature"].split()) == 2
    Webhook(new).verify(BODY, headers)
    Webhook(old).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(signing.new_secret()).verify(BODY, headers)


@pytest.mark.parametrize("secret", [OWN, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_receiver_of_s0_verifies_it(secret: str) -> None:
    headers = signed([secret], s0=True)
    assert s0_verifies(BODY, headers, secret)
    assert not s0_verifies(BODY + b" ", headers, secret)
    assert not s0_verifies(BODY, headers, secret + "x")
    assert not s0_verifies(BODY, signed([secret], s0=True, timestamp=1), secret)


def test_the_form_that_can_be_replayed_is_there_only_when_asked_for() -> None:
    assert signed([OWN], s0=True).keys() == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
        "X-Email-Service-Timestamp",
        "X-Email-Service-Signature-V2",
    }
    headers = signed([OWN], s0=True, v1=True)
    expected = hmac.new(OWN.encode(), BODY, hashlib.sha256).hexdigest()
    assert headers["X-Email-Service-Signature"] == f"sha256={expected}"


def test_an_endpoint_gets_no_header_of_s0() -> None:
    secret = signing.new_secret()
    assert all(name.startswith("webhook-") for name in signed([secret], v1=True))


def test_without_a_secret_there_is_no_signature() -> None:
    assert signed([], s0=True, v1=True, timestamp=5) == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "5",
        "X-Email-Service-Timestamp": "5",
    }


def test_a_new_secret_is_long_and_does_not_show_itself() -> None:
    secret = signing.new_secret()
    assert secret.startswith("whsec_")
    assert len(b64decode(secret.removeprefix("whsec_"))) == 32
    assert isinstance(secret, Secret)
    assert secret not in repr(secret)
    assert secret != signing.new_secret()
    assert signing.secret_problem(secret) is None


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "must have from 1 to 500 characters"),
        ("x" * 501, "must have from 1 to 500 characters"),
        ("\ud800", "must be text that UTF-8 can carry"),
        ("whsec_no base64!", "must be base64 after whsec_"),
        ("whsec_c2hvcnQ=", "must hold from 24 to 64 octets in base64 after whsec_"),
    ],
)
def test_what_cannot_sign_is_said(secret: str, problem: str) -> None:
    assert signing.secret_problem(secret) == problem


@pytest.mark.parametrize("secret", ["s", OWN, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_what_can_sign(secret: str) -> None:
    assert signing.secret_problem(secret) is None


def test_a_secret_that_is_no_base64_is_not_in_the_error() -> None:
    with pytest.raises(ValueError, match="must be base64") as error:
        signed(["whsec_p4ssword!"])
    assert "p4ss" not in str(error.value)
    assert error.value.__context__ is None or error.value.__suppress_context__
