"""The mail that every variant sends: a one-time code in Korean, text and HTML, about 4 kB."""

from __future__ import annotations

from pathlib import Path

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from django_authmail.message import AuthMessage

TEMPLATES = Path(__file__).with_name("templates")

SENDER = "예시서비스 <no-reply@example.com>"
RECIPIENT = "hong@example.net"

_CONTEXT = {
    "brand": "예시서비스",
    "name": "홍길동",
    "minutes": 5,
    "rows": [
        ("요청 시각", "2026-01-02 12:34"),
        ("접속 위치", "서울특별시"),
        ("기기", "Chrome / macOS"),
    ],
}


def render(number: int) -> tuple[str, str, str]:
    """Return subject, text and HTML of the n-th mail; each has another code."""
    context = {**_CONTEXT, "code": f"{number % 1_000_000:06d}"}
    subject, text, html = (
        render_to_string(f"benchmark/{name}", context)
        for name in ("subject.txt", "body.txt", "body.html")
    )
    return subject.strip(), text, html


def django_mail(number: int) -> EmailMultiAlternatives:
    """Render the mail into Django's class, as a project does."""
    subject, text, html = render(number)
    mail = EmailMultiAlternatives(subject, text, SENDER, [RECIPIENT])
    mail.attach_alternative(html, "text/html")
    return mail


def auth_mail(number: int) -> AuthMessage:
    """Render the same mail into ours, as a notifier does."""
    subject, text, html = render(number)
    return AuthMessage(
        to=(RECIPIENT,),
        subject=subject,
        text_body=text,
        html_body=html,
        from_email=SENDER,
        locale="ko",
    )
