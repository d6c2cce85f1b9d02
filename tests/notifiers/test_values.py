"""What names, codes and lifetimes become before they stand in a mail."""

from __future__ import annotations

import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from django_authmail.exceptions import InvalidContext
from django_authmail.notifiers.values import (
    MAX_NAME,
    checked_code,
    checked_lifetime,
    clean_name,
    clean_number,
    lifetime_in_words,
)


@pytest.mark.parametrize(
    ("given_name", "shown"),
    [
        pytest.param("홍길동", "홍길동", id="a Korean name stays"),
        pytest.param("Seán O'Brien-Ó", "Seán O'Brien-Ó", id="apostrophe and hyphen stay"),
        pytest.param("", "", id="no name"),
        pytest.param(" \t\n ", "", id="only spaces"),
        pytest.param("\u200b\u2060\ufeff", "", id="only zero-width characters"),
        pytest.param("\u3164\u115f\uffa0\u2800", "", id="only letters that show as nothing"),
        pytest.param("홍\u1112\u1161\u11ab", "홍한", id="jamo are composed"),
        pytest.param("e\u200d\u0301", "é", id="composed after the joiner is gone"),
        pytest.param("Kim\r\nBcc: x", "Kim Bcc: x", id="line breaks become spaces"),
        pytest.param("Kim\u2028Lee\u2029Park", "Kim Lee Park", id="Unicode's line breaks too"),
        pytest.param("a\x00b\x1bc\x7fd\x9be", "abcde", id="control characters go"),
        pytest.param("\u202egnp.exe\u202c", "gnp. exe", id="direction overrides go"),
        pytest.param("\u2066x\u2069\u200f", "x", id="isolates and marks go"),
        pytest.param("K\U000e0061im", "Kim", id="tag characters go"),
        pytest.param("A\ud800B", "AB", id="lone surrogates go"),
        pytest.param("win at evil.example", "win at evil. example", id="no host name to link"),
        pytest.param("https://evil.example/x", "https: //evil. example/x", id="no address to link"),
        pytest.param("evil\u3002example", "evil\u3002 example", id="nor by an ideographic dot"),
        pytest.param("evil\uff0ea evil\u2024b", "evil\uff0e a evil\u2024 b", id="nor by others"),
        pytest.param("Chrome 131.0 on 203.0.113.7", "Chrome 131.0 on 203.0.113.7", id="numbers"),
        pytest.param("a.1x", "a. 1x", id="what only begins as a number is none"),
        pytest.param("=?utf-8?q?x?=", "= ?utf-8?q?x?=", id="no encoded word"),
        pytest.param("x" + "\u0336" * 99, "x" + "\u0336" * 3, id="no tower of marks"),
        pytest.param("ที่นี่ किं", "ที่นี่ किं", id="marks that scripts have stay"),
        pytest.param("i❤.example/x", "i❤. example/x", id="nor behind a symbol"),
        pytest.param("q\u0323.example", "q\u0323. example", id="nor behind a mark"),
        pytest.param("पत्रिका.भारत", "पत्रिका. भारत", id="nor behind a vowel sign"),
        pytest.param("J. R. Smith Jr.", "J. R. Smith Jr.", id="initials stay"),
        pytest.param("wait...", "wait...", id="an ellipsis stays"),
    ],
)
def test_clean_name(given_name: str, shown: str) -> None:
    assert clean_name(given_name) == shown


def test_a_long_name_is_cut_and_says_so() -> None:
    assert clean_name("가" * MAX_NAME) == "가" * MAX_NAME
    cut = clean_name("가" * (MAX_NAME + 1))
    assert len(cut) == MAX_NAME
    assert cut.endswith("가…")


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidContext, match="user_name: must be a string, not NoneType"):
        clean_name(None)  # type: ignore[arg-type] # what untyped callers do


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        pytest.param("2026-0042", "2026-0042", id="without a dot"),
        pytest.param("ORD.A12", "ORD.A12", id="a digit behind the dot"),
        pytest.param("A1.B2.3C/7_x#9", "A1.B2.3C/7_x#9", id="behind each"),
        pytest.param("홍\u200b 1.5", "홍 1.5", id="as a name"),
        # No top-level domain has a digit, apart from those that begin with xn--.
        pytest.param("A12.ORD", "A12. ORD", id="letters behind the dot"),
        pytest.param("evil.example", "evil. example", id="a host"),
        pytest.param("evil.com/A12", "evil. com/A12", id="a host and a path"),
        pytest.param("evil.com-12", "evil. com-12", id="a host and a hyphen"),
        pytest.param("evil.com_12", "evil. com_12", id="a host and an underscore"),
        pytest.param("ORD.A12.com", "ORD. A12. com", id="a host in the end"),
        pytest.param("A1.B2/evil.com", "A1. B2/evil. com", id="a host in a path"),
        pytest.param("evil.xn--p1ai", "evil. xn--p1ai", id="a top-level domain of IDNA"),
        pytest.param("www.evil1", "www. evil1", id="what only begins as a host"),
        pytest.param("a/WWW.e1", "a/WWW. e1", id="anywhere"),
        pytest.param("a@b.c1", "a@b. c1", id="an address"),
        pytest.param("https://b.c1", "https: //b. c1", id="a link"),
        pytest.param("가.나1", "가. 나1", id="other letters"),
    ],
)
def test_clean_number(number: str, shown: str) -> None:
    assert clean_number(number, "order") == shown


def test_a_long_number_is_cut_as_a_name_is() -> None:
    assert clean_number("A.1" * 50, "order") == clean_name("A.1" * 50)


@given(st.text())
def test_no_name_has_more_than_one_line_or_a_hidden_character(name: str) -> None:
    shown = clean_name(name)
    assert len(shown) <= MAX_NAME
    assert shown == unicodedata.normalize("NFC", shown).strip()
    assert {unicodedata.category(c) for c in shown}.isdisjoint({"Cc", "Cf", "Cs", "Zl", "Zp"})


@pytest.mark.parametrize("code", ["1234", "482901", "ABCD-EFGH-12", "aZ09"])
def test_a_code_is_kept_and_hidden_from_reprs(code: str) -> None:
    checked = checked_code(code)
    assert checked == code
    assert code not in repr(checked)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("123", id="too short"),
        pytest.param("1234567890123", id="too long"),
        pytest.param("12 34", id="space"),
        pytest.param("1234\n", id="line feed at the end"),
        pytest.param("<b>1</b>", id="markup"),
        pytest.param("{{ 1 }}", id="template"),
        pytest.param("\uff14\uff18\uff12\uff19", id="full-width digits"),
        pytest.param("\u0664\u0668\u0662\u0669", id="Arabic digits"),
        pytest.param("", id="empty"),
    ],
)
def test_refuses_what_is_no_code_and_does_not_repeat_it(code: str) -> None:
    with pytest.raises(InvalidContext) as caught:
        checked_code(code)
    assert str(caught.value) == "code: must be 4 to 12 characters of A-Z, a-z, 0-9 and hyphen"
    assert caught.value.code == "template_error"


@pytest.mark.parametrize("code", [482901, None, b"482901"])
def test_a_code_is_a_string(code: Any) -> None:
    with pytest.raises(InvalidContext, match="^code: must be a string, not ") as caught:
        checked_code(code)
    assert "482901" not in str(caught.value)


@pytest.mark.parametrize("value", [timedelta(0), timedelta(seconds=-5), timedelta(milliseconds=1)])
def test_refuses_a_lifetime_that_is_over_at_once(value: timedelta) -> None:
    with pytest.raises(InvalidContext, match="expires_in: must be a timedelta of at least one"):
        checked_lifetime(value)


@pytest.mark.parametrize(
    ("value", "english", "korean"),
    [
        (timedelta(seconds=1), "1 second", "1초"),
        (timedelta(seconds=90), "90 seconds", "90초"),
        (timedelta(minutes=1), "1 minute", "1분"),
        (timedelta(minutes=5), "5 minutes", "5분"),
        # Never more than is true.
        (timedelta(minutes=5, seconds=59), "5 minutes", "5분"),
        (timedelta(minutes=90), "90 minutes", "90분"),
        (timedelta(hours=1), "1 hour", "1시간"),
        (timedelta(hours=24), "1 day", "1일"),
        (timedelta(days=7), "7 days", "7일"),
    ],
    ids=lambda value: str(value),
)
def test_lifetime_in_words(value: timedelta, english: str, korean: str) -> None:
    with translation.override("en"):
        assert lifetime_in_words(value) == english
    with translation.override("ko"):
        assert lifetime_in_words(value) == korean
