"""An AuthMessage by a mailer that is not ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from pytest_django.fixtures import Settings

from django_authmail import OTPNotifier, SmtpConfig, SmtpSender, mailers
from django_authmail.hashes import log_hash
from django_authmail.message import Attachment, AuthMessage
from django_authmail.notifiers.delivery import django_message, hand_over
from django_authmail.outcomes import Reason, SendResult
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.conftest import UseMailer
from tests.smtp_server import SmtpServer

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


EUC_KR = "이름,금액\n홍길동,50000".encode("euc-kr")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attachment", "content_type"),
    [
        (Attachment("a.txt", b"no line end", "text/plain"), "text/plain"),
        (Attachment("a.csv", "이름\r\n홍\n".encode(), "text/csv; charset=utf-8"), "text/csv"),
        (Attachment("주문 내역.csv", EUC_KR, "text/csv; charset=euc-kr"), "text/csv"),
        (Attachment("나" * 60 + ".csv", EUC_KR, "text/csv"), "text/csv"),
        (Attachment("a.pdf", bytes(range(256)), "application/pdf"), "application/pdf"),
        (Attachment("a.html", b"<p>\xff</p>", "text/html"), "text/html"),
        (Attachment("a.png", b"\x89PNG", "image/png", content_id="logo"), "image/png"),
    ],
    ids=["no line end", "utf-8", "euc-kr", "no charset", "octets", "no utf-8", "inline"],
)
def test_files_arrive_by_django_s_smtp_backend_as_they_are(
    attachment: Attachment,
    content_type: str,
    certificate: ServerCertificate,
    use_mailer: UseMailer,
) -> None:
    with servers.running(certificate, starttls=False, auth=False) as server:
        use_mailer(
            {"host": server.host, "port": server.port},
            "django.core.mail.backends.smtp.EmailBackend",
        )
        assert hand_over(replace(MESSAGE, attachments=(attachment,)), mailers.get_mailer())
        [received] = server.mails
    # As bytes of ours have it.
    ours = message_from_bytes(attachment.as_part(), policy=default)
    [part] = [p for p in received.mail.walk() if p.get_filename() is not None]
    assert part.get_payload(decode=True) == attachment.content
    assert (part.get_filename(), part.get_content_type()) == (attachment.filename, content_type)
    for name, value in ours.items():
        assert part.get_all(name) == [value], name
    assert max(map(len, received.content.splitlines())) <= 998


# -- What the log says of a notifier's mail ---------------------------------------------------

HONG = "hong@example.com"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged; a code or an address in it is an error."""
    said = [line.getMessage() for line in caplog.records if line.name.startswith("django_authmail")]
    assert all(secret not in line for line in said for secret in ("482901", HONG, "홍길동"))
    return said


@pytest.mark.django_db
def test_a_mail_that_was_not_sent_is_one_line_in_the_log(
    smtp_server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    smtp_server.refuse[HONG] = f"550 5.1.1 no such user <{HONG}>"
    result = OTPNotifier().send(f"홍길동 <{HONG}>", user_name="홍길동", code="482901")
    assert not result
    assert lines(caplog) == [
        "notifier.not_sent type=otp error_code=recipient_refused reason=bad_recipient "
        f"message_id={result.message_id} to_hash={log_hash(HONG)}"
    ]
    assert caplog.records[-1].levelname == "ERROR"


def test_by_a_sender_of_the_callers_own_as_well(
    dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    config = SmtpConfig(host="127.0.0.1", port=dead_port, from_addr="a@example.com")
    assert not OTPNotifier(SmtpSender(config)).send(HONG, user_name="", code="482901")
    [line] = lines(caplog)
    assert line.startswith(
        "notifier.not_sent type=otp error_code=smtp_connection reason=connection_refused "
    )


def test_without_a_key_the_line_has_no_hash(
    dead_port: int, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SECRET_KEY = ""  # as `settings.configure()` leaves it, in a program without a project
    config = SmtpConfig(host="127.0.0.1", port=dead_port, from_addr="a@example.com")
    assert not OTPNotifier(SmtpSender(config)).send(HONG, user_name="", code="482901")
    [line] = lines(caplog)
    assert "reason=connection_refused " in line
    assert "to_hash" not in line


@pytest.mark.django_db
def test_a_mail_that_was_sent_is_none(
    smtp_server: SmtpServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert OTPNotifier().send(HONG, user_name="", code="482901")
    assert lines(caplog) == []
