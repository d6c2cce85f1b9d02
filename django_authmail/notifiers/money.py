"""Amounts of money as people write them."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from django.utils import translation

from django_authmail.exceptions import InvalidContext

# ISO 4217: how many digits of a currency stand behind the point, where it is not two.
_DIGITS = dict.fromkeys(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split(), 0
) | dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3)
_SYMBOLS = {"CNY": "CN¥", "EUR": "€", "GBP": "£", "JPY": "¥", "KRW": "₩", "USD": "$"}
_CURRENCY = re.compile("[A-Z]{3}")
#: More digits are no payment.
_MAX_DIGITS = 18
_AS_TEXT = 'a string, such as "49.90"'


def format_currency(
    amount: Decimal | int | str, currency: str = "KRW", locale: str | None = None
) -> str:
    """Return an amount with its currency: `50,000원` in Korean, `₩50,000` in English, `$50.00`.

    `currency` is a code of ISO 4217; `locale` is the active language by default. A filter of the
    same name is in the template library `authmail`, and in Jinja2 templates of mails.

    Raises InvalidContext for what is no amount of this currency: nothing is rounded.
    """
    value = checked_amount(amount, currency)
    number = f"{abs(value):,.{_DIGITS.get(currency, 2)}f}"
    sign = "-" if value < 0 else ""
    if currency == "KRW" and (locale or translation.get_language() or "").startswith("ko"):
        return f"{sign}{number}원"
    symbol = _SYMBOLS.get(currency, f"{currency}\N{NO-BREAK SPACE}")
    return f"{sign}{symbol}{number}"


def checked_amount(amount: Decimal | int | str, currency: str, field: str = "amount") -> Decimal:
    """Return an amount as a Decimal.

    Raises:
        InvalidContext: it is a float, no number, or has more digits than the currency.
    """
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise InvalidContext("currency", "must be a code of three letters, such as KRW")
    # 0.1 + 0.2 as a float is another amount.
    if isinstance(amount, float):
        raise InvalidContext(field, f"is not exact as a float; write it as {_AS_TEXT}")
    if isinstance(amount, bool) or not isinstance(amount, Decimal | int | str):
        raise InvalidContext(
            field, f"must be {_AS_TEXT}, or a whole number, not {type(amount).__name__}"
        )
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise InvalidContext(field, "is no number, such as 49.90") from None
    digits = _DIGITS.get(currency, 2)
    if not value.is_finite() or value.adjusted() >= _MAX_DIGITS:
        raise InvalidContext(field, "is no amount of money")
    if value != round(value, digits):
        raise InvalidContext(field, f"has more than {digits} digits behind the point of {currency}")
    return value
