"""Texts with `{name}` in them: names and formats, and no way from a value to anything else."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_authmail.exceptions import InvalidContext, MissingName
from django_authmail.notifiers.placeholders import Placeholders


@pytest.mark.parametrize(
    ("text", "values", "filled"),
    [
        ("no placeholder", {}, "no placeholder"),
        ("{name}님", {"name": "홍길동"}, "홍길동님"),
        ("{a}{a}-{b}", {"a": 1, "b": 2}, "11-2"),
        ("{amount:,}원", {"amount": 50_000}, "50,000원"),
        ("${amount:.2f}", {"amount": Decimal("49.9")}, "$49.90"),
        ("{n:05d}", {"n": 42}, "00042"),
        ("{day:%Y-%m-%d}", {"day": date(2026, 11, 26)}, "2026-11-26"),
        ("p {{ color: red }}", {}, "p { color: red }"),
        ("{{{name}}}", {"name": "x"}, "{x}"),
        ("{이름}님", {"이름": "홍길동"}, "홍길동님"),
    ],
)
def test_a_text_is_filled(text: str, values: dict[str, object], filled: str) -> None:
    assert Placeholders(text, "subject").fill(values) == filled


@pytest.mark.parametrize(
    "text",
    [
        "{user.password}",
        "{user[0]}",
        "{a.__class__.__init__.__globals__[settings]}",
        "{}",
        "{0}",
        "{a!r}",
        "{a!s:>10}",
        "{a:{width}}",
        "{ a }",
        "{a b}",
        "{",
        "}",
        "{a",
        "a}",
    ],
)
def test_a_placeholder_is_a_name_and_a_format_alone(text: str) -> None:
    with pytest.raises(ValueError, match="^subject: "):
        Placeholders(text, "subject")


def test_a_value_that_is_missing_or_has_another_type_is_named() -> None:
    text = Placeholders("{name} {total:,}", "subject")
    assert text.names == ("name", "total")
    with pytest.raises(MissingName, match="^total: this value is missing; it takes name, "):
        text.fill({"name": "x"})
    with pytest.raises(InvalidContext, match="^total: cannot be written as ','$"):
        text.fill({"name": "x", "total": "CANARY"})


@given(st.text())
def test_a_value_is_no_template(value: str) -> None:
    assert Placeholders("<{a}>", "subject").fill({"a": value}) == f"<{value}>"
    filled = Placeholders("{a}", "subject").fill({"a": value}, escape)
    assert not re.search("[<>\"']", filled)
