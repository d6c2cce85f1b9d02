"""What POST /send/otp refuses, with which code, and where it points."""

from __future__ import annotations

from typing import Any

import pytest

from django_authmail.models import Message
from tests.api.conftest import CODE, OTP, TO, Api, problem

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("given", "code", "pointers"),
    [
        pytest.param({"to": 7}, "validation_error", ["/to"], id="a number for an address"),
        pytest.param({"to": ""}, "validation_error", ["/to"], id="an empty address"),
        pytest.param({"to": None}, "validation_error", ["/to"], id="null for an address"),
        pytest.param({"to": ["a@example.com"]}, "validation_error", ["/to"], id="a list"),
        pytest.param({"to": "nobody"}, "invalid_recipient", ["/to"], id="no address"),
        pytest.param(
            {"to": "a@example.com, b@example.com"}, "invalid_recipient", ["/to"], id="two"
        ),
        pytest.param(
            {"to": "홍@example.com"}, "invalid_recipient", ["/to"], id="a non-ASCII local part"
        ),
        pytest.param(
            {"to": "a@example.com\r\nBcc: b@example.com"}, "crlf_in_header", ["/to"], id="CR LF"
        ),
        pytest.param({"to": "a@example.com\n"}, "crlf_in_header", ["/to"], id="a trailing LF"),
        pytest.param({"to": "a@example.com\0"}, "crlf_in_header", ["/to"], id="NUL"),
        pytest.param({"to": "a\u2028b@example.com"}, "crlf_in_header", ["/to"], id="U+2028"),
        pytest.param(
            {"to": "=?utf-8?q?a=0D=0Ab?= <a@example.com>"},
            "crlf_in_header",
            ["/to"],
            id="a hidden CR LF",
        ),
        pytest.param(
            {"to": "=?utf-8?q?a?=@example.com"}, "invalid_recipient", ["/to"], id="an encoded word"
        ),
        pytest.param(
            {"to": "a\n@example.com", "code": 1},
            "crlf_in_header",
            ["/to", "/code"],
            id="both faults at once",
        ),
        pytest.param({"to": "a" * 321}, "validation_error", ["/to"], id="a long address"),
        pytest.param({"user_name": "x" * 101}, "validation_error", ["/user_name"], id="long name"),
        pytest.param({"user_name": "\ud800"}, "validation_error", ["/user_name"], id="surrogate"),
        pytest.param({"code": 482901}, "validation_error", ["/code"], id="a number for a code"),
        pytest.param({"code": True}, "validation_error", ["/code"], id="true for a code"),
        pytest.param({"code": "123"}, "validation_error", ["/code"], id="a short code"),
        pytest.param({"code": "1" * 13}, "validation_error", ["/code"], id="a long code"),
        pytest.param({"code": "12 34"}, "validation_error", ["/code"], id="a space in a code"),
        pytest.param({"code": "1234\n"}, "validation_error", ["/code"], id="a code and LF"),
        pytest.param({"code": "١٢٣٤"}, "validation_error", ["/code"], id="digits of other scripts"),
        pytest.param({"expires_in": "60"}, "validation_error", ["/expires_in"], id="a string"),
        pytest.param({"expires_in": 0}, "validation_error", ["/expires_in"], id="no time"),
        pytest.param({"expires_in": 29}, "validation_error", ["/expires_in"], id="half a minute"),
        pytest.param({"expires_in": True}, "validation_error", ["/expires_in"], id="true"),
        pytest.param({"expires_in": 60.5}, "validation_error", ["/expires_in"], id="a part of it"),
        pytest.param({"expires_in": 10**9}, "validation_error", ["/expires_in"], id="decades"),
        pytest.param({"priority": "urgent"}, "validation_error", ["/priority"], id="no priority"),
        pytest.param({"priority": 1}, "validation_error", ["/priority"], id="a number for a word"),
        pytest.param({"metadata": []}, "validation_error", ["/metadata"], id="a list of metadata"),
        pytest.param(
            {"metadata": {"a": {"b": "c"}}}, "validation_error", ["/metadata"], id="deep metadata"
        ),
        pytest.param(
            {"metadata": {"a": 1}}, "validation_error", ["/metadata"], id="a number in metadata"
        ),
        pytest.param(
            {"metadata": {str(n): "" for n in range(11)}},
            "validation_error",
            ["/metadata"],
            id="11 metadata",
        ),
        pytest.param(
            {"metadata": {"a": "x" * 201}}, "validation_error", ["/metadata"], id="long metadata"
        ),
        pytest.param(
            {"metadata": {"a": "x\r\ny"}}, "validation_error", ["/metadata"], id="metadata of lines"
        ),
        pytest.param(
            {"metadata": {"a": "\ud800"}}, "validation_error", ["/metadata"], id="half a character"
        ),
        pytest.param(
            {"metadata": {TO: "x"}}, "validation_error", ["/metadata"], id="an address as a name"
        ),
        pytest.param({"locale": "korean!"}, "validation_error", ["/locale"], id="no language tag"),
        pytest.param({"usr_name": "x"}, "validation_error", ["/usr_name"], id="an unknown member"),
        pytest.param(
            {"webhook_url": 7}, "validation_error", ["/webhook_url"], id="a number as a webhook"
        ),
        pytest.param(
            {"webhook_url": "https://example.com/", "webhook_secret": "whsec_c2hvcnQ="},
            "validation_error",
            ["/webhook_secret"],
            id="a secret that is too short",
        ),
        pytest.param(
            {"webhook_url": "https://93.184.215.14/" + "x" * 2048},
            "validation_error",
            ["/webhook_url"],
            id="a webhook that is too long",
        ),
        pytest.param(
            {"webhook_url": "http://127.0.0.1:9/"},
            "webhook_url_refused",
            ["/webhook_url"],
            id="a webhook to this machine",
        ),
        pytest.param(
            {"webhook_url": "hooks"}, "webhook_url_refused", ["/webhook_url"], id="no URL"
        ),
        pytest.param({"hong@example.com": 1}, "validation_error", [""], id="an address as a name"),
    ],
)
def test_refuses(api: Api, given: dict[str, Any], code: str, pointers: list[str]) -> None:
    response = api.post(body={**OTP, **given})
    body = problem(response, 422, code)
    assert [fault["pointer"] for fault in body["errors"]] == pointers
    assert all(fault["detail"] for fault in body["errors"])
    for secret in (CODE, "hong@example.com", "482901"):
        assert secret not in response.content.decode()
    assert not Message.objects.exists()


def test_says_all_that_is_wrong_at_once(api: Api) -> None:
    given = {"to": "nobody", "code": 1, "usr_name": "x", "webhook_url": 1}
    body = problem(api.post(body=given), 422, "validation_error")
    assert sorted(fault["pointer"] for fault in body["errors"]) == [
        "/code",
        "/to",
        "/user_name",
        "/usr_name",
        "/webhook_url",
    ]
    given = {**OTP, "to": "a@example.com\n", "usr_name": "x"}
    body = problem(api.post(body=given), 422, "crlf_in_header")
    assert [fault["pointer"] for fault in body["errors"]] == ["/usr_name", "/to"]


def test_names_no_more_unknown_members_than_help(api: Api) -> None:
    # Each 'x', 'xx', …: a body of 10 MB has a million.
    given = {**OTP, **{"x" * n: 1 for n in range(1, 40)}}
    body = problem(api.post(body=given), 422, "validation_error")
    assert len(body["errors"]) == 20


def test_takes_the_shortest_lifetime(api: Api) -> None:
    assert api.post(body={**OTP, "expires_in": 30}, X_Dry_Run="1").status_code == 200


def test_names_every_missing_member(api: Api) -> None:
    body = problem(api.post(body={}), 422, "validation_error")
    assert [fault["pointer"] for fault in body["errors"]] == ["/to", "/user_name", "/code"]


def test_the_hint_has_the_nearest_name(api: Api) -> None:
    body = problem(api.post(body={**OTP, "usr_name": "x"}), 422, "validation_error")
    assert "Did you mean `user_name`?" in body["hint"]


def test_an_empty_name_is_allowed(api: Api) -> None:
    assert api.post(body={**OTP, "user_name": ""}, X_Dry_Run="1").status_code == 200


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"null", b"7"])
def test_refuses_json_that_is_no_object(api: Api, body: bytes) -> None:
    assert problem(api.post(body=body), 422, "validation_error")["errors"][0]["pointer"] == ""
