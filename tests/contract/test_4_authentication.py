"""Contract, section 4: keys."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from django_authmail import keyring, keys
from django_authmail.keyring import Terms
from django_authmail.models import ApiKey, Message
from tests.contract.callers import KEY, Socket, body_of
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db(transaction=True)

OTP = body_of("otp")
DRY = {"X_Dry_Run": "1"}


def status(raw: Socket, key: str) -> int:
    return raw.talk("POST", "/send/otp", OTP, Authorization=f"Bearer {key}", **DRY).status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_Authorization_Bearer(raw: Socket, scheme: str) -> None:
    answer = raw.talk("POST", "/send/otp", OTP, Authorization=f"{scheme} {KEY}", **DRY)
    assert answer.status == 200


@pytest.mark.parametrize("value", ["", "Bearer", "Basic a2V5", KEY, f"Token {KEY}"])
def test_anything_else_is_no_credentials(raw: Socket, value: str) -> None:
    answer = raw.talk("POST", "/send/otp", OTP, Authorization=value)
    assert (answer.status, answer.json()["code"]) == (401, "missing_credentials")


def test_the_form_of_a_key(raw: Socket) -> None:
    for is_test, start in ((False, "am_live_"), (True, "am_test_")):
        row, key = keyring.issue("form", Terms(), is_test=is_test)
        assert re.fullmatch(rf"{start}[0-9A-Za-z]{{36}}", key)
        assert str(key) not in str(vars(row))
        assert status(raw, key) == 200


def test_the_single_key_of_S0_has_all_scopes(raw: Socket, smtp_server: SmtpServer) -> None:
    assert raw.ask("raw").status == 200
    assert Message.objects.get().owner == "setting"


def test_a_key_is_revoked_at_once(raw: Socket) -> None:
    row, key = keyring.issue("revoked", Terms())
    assert status(raw, key) == 200
    keyring.revoke(ApiKey.objects.filter(pk=row.pk))
    assert status(raw, key) == 401


def test_a_key_is_rotated_with_an_overlap(raw: Socket) -> None:
    row, old = keyring.issue("rotated", Terms())
    _, new = keyring.rotate(row, overlap=timedelta(hours=1))
    assert (status(raw, old), status(raw, new)) == (200, 200)


def test_a_test_key_runs_everything_but_the_hand_over(raw: Socket, smtp_server: SmtpServer) -> None:
    _, key = keyring.issue("staging", Terms(scopes=keys.SCOPES), is_test=True)
    answer = raw.talk("POST", "/send/otp", OTP, Authorization=f"Bearer {key}")
    assert (answer.status, answer.json()["test"]) == (200, True)
    assert Message.objects.get().is_test
    assert not smtp_server.connections


def test_a_wrong_key_says_no_more_than_a_missing_one(raw: Socket) -> None:
    row, revoked = keyring.issue("revoked", Terms())
    keyring.revoke(ApiKey.objects.filter(pk=row.pk))
    told = [
        raw.talk(
            "POST", "/send/otp", OTP, Authorization=f"Bearer {key}", X_Request_ID="call-1"
        ).content
        for key in ("wrong", str(keys.generate()), str(revoked))
    ]
    assert len(set(told)) == 1
