"""The mail that confirms a payment."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from django_authmail.exceptions import InvalidContext
from django_authmail.message import AuthMessage, OnUnknown, Priority
from django_authmail.notifiers import LineItem, PaymentReceiptNotifier

TO = "hong@example.org"


@pytest.fixture(autouse=True)
def _korea(settings: Settings) -> None:
    settings.TIME_ZONE = "Asia/Seoul"


def build(**values: Any) -> AuthMessage:
    given = {"user_name": "홍길동", "order": "2026-0042", "amount": 50_000, "locale": "ko"}
    return PaymentReceiptNotifier(base_url="https://pay.example.com").build(TO, **given | values)


def test_a_receipt_in_korean() -> None:
    message = build(
        items=[LineItem("원두 1kg", 30_000), {"name": "드립백", "amount": "20000", "quantity": 2}],
        paid_at=datetime(2026, 11, 26, 5, 5, tzinfo=UTC),
        method="신용카드",
        token="t1",
    )
    assert message.subject == "결제 영수증 (주문번호 2026-0042)"
    assert message.text_body == (
        "안녕하세요, 홍길동님.\n\n"
        "결제가 완료되었습니다. 내역을 확인해 주세요.\n\n"
        "주문번호: 2026-0042\n"
        "결제 시각: 2026년 11월 26일 14:05 (UTC+9)\n"
        "결제 수단: 신용카드\n\n"
        "원두 1kg: 30,000원\n"
        "드립백 × 2: 20,000원\n"
        "결제 금액: 50,000원\n\n"
        "영수증 보기:\n\n"
        "https://pay.example.com/receipts?token=t1\n\n"
        "본인이 결제하지 않으셨다면 저희에게 알려 주세요.\n\n"
        "Example에서 자동으로 발송한 메일입니다.\n"
    )
    for shown in ("원두 1kg", "30,000원", "× 2", "20,000원", "50,000원", "신용카드"):
        assert shown in message.html_body


def test_a_receipt_in_english_of_a_sum_alone() -> None:
    message = build(amount=Decimal("49.90"), currency="USD", locale="en", user_name="Alex")
    assert message.subject == "Receipt for order 2026-0042"
    assert message.text_body == (
        "Hello Alex,\n\n"
        "Your payment is complete. These are its details.\n\n"
        "Order: 2026-0042\n\n"
        "Total: $49.90\n\n"
        "If you do not know this payment, please tell us.\n\n"
        "This email was sent automatically by Example.\n"
    )
    assert "<a " not in message.html_body


def test_a_receipt_is_held_in_doubt_and_lets_codes_pass() -> None:
    message = build()
    assert message.kind == "payment-receipt"
    assert message.on_unknown is OnUnknown.HOLD
    assert message.priority is Priority.LOW
    assert message.expires_in is None
    assert not message.supersedes


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"amount": 50_000.0}, "amount"),
        ({"amount": "49.999", "currency": "USD"}, "amount"),
        ({"currency": "won"}, "currency"),
        ({"paid_at": "yesterday"}, "paid_at"),
        ({"paid_at": datetime(2026, 11, 26)}, "paid_at"),
        ({"order": 42}, "order"),
        ({"order": ""}, "order"),
        ({"order": " \u200b"}, "order"),
        ({"items": [{"name": "x"}]}, "items"),
        ({"items": [{"name": "x", "amount": 1, "colour": "red"}]}, "items"),
        ({"items": [LineItem("x", 1, quantity=0)]}, "items"),
        ({"items": [LineItem("x", 1, quantity=1_000_000)]}, "items"),
        ({"items": [LineItem("x", 0.5)]}, "items"),  # type: ignore[arg-type] # also wrong ones
        ({"items": [LineItem("x", 1)] * 51}, "items"),
    ],
)
def test_a_receipt_refuses_what_it_cannot_show(values: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidContext) as caught:
        build(**values)
    assert caught.value.name == name


def test_an_order_number_stays_as_it_is() -> None:
    message = build(order="ORD.A12", items=[LineItem("x", 1, quantity=999_999)])
    assert message.subject == "결제 영수증 (주문번호 ORD.A12)"
    assert "주문번호: ORD.A12\n" in message.text_body
