"""Amounts of money: as people write them, and never rounded."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.template import Context, Template
from django.utils import translation

from django_authmail.exceptions import InvalidContext
from django_authmail.notifiers import format_currency


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "shown"),
    [
        (50_000, "KRW", "ko", "50,000원"),
        (50_000, "KRW", "ko-KR", "50,000원"),
        (50_000, "KRW", "en", "₩50,000"),
        (50, "USD", "en", "$50.00"),
        ("49.9", "USD", "ko", "$49.90"),
        (Decimal("1234567.89"), "EUR", "en", "€1,234,567.89"),
        (5_000, "JPY", "en", "¥5,000"),
        ("1.5", "KWD", "en", "KWD\u00a01.500"),
        ("12.00", "CHF", "en", "CHF\u00a012.00"),
        (-50_000, "KRW", "ko", "-50,000원"),
        ("-0.01", "USD", "en", "-$0.01"),
        (Decimal("50000.00"), "KRW", "ko", "50,000원"),
        (Decimal("5E+4"), "KRW", "ko", "50,000원"),
        (0, "KRW", "ko", "0원"),
        (Decimal("-0"), "USD", "en", "$0.00"),
    ],
)
def test_an_amount_reads_as_people_write_it(
    amount: Any, currency: str, locale: str, shown: str
) -> None:
    assert format_currency(amount, currency, locale) == shown


@pytest.mark.parametrize(
    ("amount", "currency", "said"),
    [
        (0.1, "USD", 'amount: is not exact as a float; write it as a string, such as "49.90"'),
        (True, "USD", 'amount: must be a string, such as "49.90", or a whole number, not bool'),
        (None, "USD", 'amount: must be a string, such as "49.90", or a whole number, not No'),
        ("50,000", "KRW", "amount: is no number"),
        ("fifty", "KRW", "amount: is no number"),
        ("50.5", "KRW", "amount: has more than 0 digits behind the point of KRW"),
        ("0.001", "USD", "amount: has more than 2 digits behind the point of USD"),
        ("NaN", "USD", "amount: is no amount of money"),
        ("Infinity", "USD", "amount: is no amount of money"),
        ("1e999999", "USD", "amount: is no amount of money"),
        (5, "won", "currency: must be a code of three letters, such as KRW"),
        (5, "$", "currency: must be a code of three letters, such as KRW"),
        (5, None, "currency: must be a code of three letters, such as KRW"),
    ],
)
def test_what_is_no_amount_is_refused_and_not_rounded(
    amount: Any, currency: Any, said: str
) -> None:
    with pytest.raises(InvalidContext, match=said):
        format_currency(amount, currency, "en")


def test_it_is_a_filter_of_django_templates() -> None:
    template = Template("{% load authmail %}{{ amount|format_currency:'KRW' }}")
    with translation.override("ko"):
        assert template.render(Context({"amount": 50_000})) == "50,000원"
    with translation.override("en"):
        assert template.render(Context({"amount": "50000"})) == "₩50,000"
