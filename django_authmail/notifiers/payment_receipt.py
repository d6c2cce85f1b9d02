"""The mail that confirms a payment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext

from django_authmail.exceptions import InvalidContext
from django_authmail.message import OnUnknown, Priority
from django_authmail.notifiers.base import Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.money import checked_amount
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import (
    SAMPLE_MOMENT,
    SAMPLE_TOKEN,
    in_locale,
    sample_name,
)
from django_authmail.notifiers.values import (
    checked_moment,
    clean_name,
    clean_number,
    moment_in_words,
)
from django_authmail.secret import Secret

#: A mail with more would be clipped by Gmail at some point; the receipt's page has the rest.
MAX_ITEMS = 50
MAX_QUANTITY = 999_999


@dataclass(frozen=True, slots=True)
class LineItem:
    """One line of a receipt: what, how many, and what they cost together."""

    name: str
    amount: Decimal | int | str
    quantity: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentReceiptContext:
    """What the templates in `authmail/payment-receipt/` are given."""

    #: May be empty.
    user_name: str = field(repr=False)
    order: str
    amount: Decimal
    #: Code of ISO 4217, for the filter `format_currency`.
    currency: str
    #: Their amounts are Decimal.
    items: tuple[LineItem, ...] = field(repr=False)
    #: What else is known of the payment, as labels and values.
    facts: tuple[tuple[str, str], ...] = field(repr=False)
    #: To the receipt. May be empty.
    link: Secret


@register
class PaymentReceiptNotifier(LinkNotifier):
    """Confirms a payment.

        PaymentReceiptNotifier().send(
            "user@example.com", user_name="홍길동", order="2026-0042", amount=50_000,
            items=[LineItem("원두 1kg", 30_000), LineItem("드립백", 20_000, quantity=2)],
            paid_at=timezone.now(), method="신한카드 1234",
        )

    Where nobody knows whether the server took it, it is held for a person to decide: two receipts
    look like two payments.
    """

    kind: ClassVar[str] = "payment-receipt"
    description = _("A payment receipt")
    on_unknown: ClassVar[OnUnknown] = OnUnknown.HOLD
    priority: ClassVar[Priority] = Priority.LOW
    default_path: ClassVar[str] = "/receipts"
    payload: ClassVar[str] = "token"

    @sends
    def send(
        self,
        to: str,
        user_name: str,
        order: str,
        amount: Decimal | int | str,
        currency: str = "KRW",
        items: Iterable[LineItem | Mapping[str, Any]] = (),
        paid_at: datetime | str | None = None,
        method: str = "",
        token: str = "",
        **options: Unpack[Options],
    ) -> PaymentReceiptContext:
        """Send a receipt of `amount`, with a link to it if there is a `token`.

        Amounts are neither rounded nor summed up: what is given is shown. `paid_at` as text is ISO
        8601 with its offset. At most 50 items, of 999,999 each. An order number keeps its dots,
        unless it could be read as a host name.
        """
        number = clean_number(order, "order")
        paid = moment_in_words(checked_moment(paid_at, "paid_at")) if paid_at else ""
        facts = (
            (pgettext("email", "Order"), number),
            (pgettext("email", "Paid at"), paid),
            (pgettext("email", "Paid by"), clean_name(method, "method")),
        )
        return PaymentReceiptContext(
            user_name=clean_name(user_name),
            order=number,
            amount=checked_amount(amount, currency),
            currency=currency,
            items=_checked_items(items, currency),
            facts=tuple(fact for fact in facts if fact[1]),
            link=self.link(token) if token else Secret(""),
        )

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        values = {
            "user_name": sample_name(locale),
            "order": "2026-0042",
            "paid_at": SAMPLE_MOMENT,
            "method": in_locale(locale, ko="신용카드 (끝자리 1234)", en="Card ending in 1234"),
        }
        beans = in_locale(locale, ko="원두 1kg", en="Coffee beans, 2 lb")
        filters = in_locale(locale, ko="드립백", en="Drip bags")
        in_won = [LineItem(beans, 30_000), LineItem(filters, 20_000, quantity=2)]
        in_dollars = [LineItem(beans, "30.00"), LineItem(filters, "19.90", quantity=2)]
        return {
            "won": values | {"amount": 50_000, "items": in_won, "token": SAMPLE_TOKEN},
            "dollars": values | {"amount": "49.90", "currency": "USD", "items": in_dollars},
            "sum only": values | {"amount": 50_000},
        }


def _checked_items(
    given: Iterable[LineItem | Mapping[str, Any]], currency: str
) -> tuple[LineItem, ...]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise InvalidContext("items", "must be a list of lines")
    items = tuple(given)
    if len(items) > MAX_ITEMS:
        raise InvalidContext("items", f"has more than {MAX_ITEMS} lines")
    return tuple(_checked_item(item, currency) for item in items)


def _checked_item(given: LineItem | Mapping[str, Any], currency: str) -> LineItem:
    try:
        item = given if isinstance(given, LineItem) else LineItem(**given)
    except TypeError:
        raise InvalidContext("items", "has a line that is not name, amount, quantity") from None
    if not isinstance(item.quantity, int) or not 1 <= item.quantity <= MAX_QUANTITY:
        raise InvalidContext("items", f"has a quantity that is not 1 to {MAX_QUANTITY:,}")
    return LineItem(
        name=clean_name(item.name, "items"),
        amount=checked_amount(item.amount, currency, "items"),
        quantity=item.quantity,
    )
