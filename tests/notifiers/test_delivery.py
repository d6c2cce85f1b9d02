"""An AuthMessage by a mailer that is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from email import message_from_bytes
from email.policy import default

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from django_authmail.message import AuthMessage
from django_authmail.notifiers.delivery import django_message, hand_over
from django_authmail.outcomes import Reason, SendResult

MESSAGE = AuthMessage(
    to=("홍길동 <hong@example.org>",),
    cc=("c@example.org",),
    bcc=("b@example.org",),
    reply_to=("help@example.com",),
    subject="인증 코드 안내",
    text_body="텍스트\n",
    html_body="<p>본문</p>\n",
    from_email="예시 <no-reply@example.com>",
    kind="otp",
    locale="ko",
)


def test_the_headers_are_those_of_the_message_itself() -> None:
    ours = message_from_bytes(MESSAGE.as_bytes(), policy=default)
    theirs = message_from_bytes(django_message(MESSAGE).message().as_bytes(), policy=default)
    for name, value in ours.items():
        if name != "Content-Type":  # its boundary is another each time
            assert theirs[name] == value, name
    assert theirs.get_content_type() == "multipart/alternative"
    assert "Bcc" not in theirs


def test_everybody_in_the_envelope_gets_it() -> None:
    assert set(django_message(MESSAGE).recipients()) == {
        "홍길동 <hong@example.org>",
        "c@example.org",
        "b@example.org",
    }


@pytest.mark.parametrize("answer", [0, None])
def test_a_backend_that_sent_nothing_is_no_success(answer: int | None) -> None:
    class Silent(BaseEmailBackend):
        def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
            return answer  # type: ignore[return-value] # what backends of others do

    backend = Silent(alias=None) if hasattr(mail, "mailers") else Silent()
    result = hand_over(MESSAGE, backend)
    assert isinstance(result, SendResult)
    assert not result.sent
    assert result.reason == Reason.UNKNOWN
    assert result.failure is not None
    assert "Silent reports nothing sent" in result.failure.detail
