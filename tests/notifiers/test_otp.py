"""The mail with a one-time code: what a person gets, and what no one else sees."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from smtplib import SMTPDataError
from typing import Any

import pytest
from django.core import mail
from django.utils import translation
from django.views.debug import ExceptionReporter
from pytest_django.fixtures import Settings

from django_authmail.exceptions import (
    InvalidAddress,
    InvalidContext,
    MailerUnusable,
    UnknownName,
    UnsafeHeader,
)
from django_authmail.message import OnUnknown
from django_authmail.notifiers import OTPContext, OTPNotifier
from django_authmail.outcomes import Reason, SendResult
from django_authmail.secret import Secret
from example_project.certificates import ServerCertificate
from tests.smtp_server import SmtpServer, running

TO = "hong@example.org"
CODE = "CANARY-42"


def build(**values: Any) -> Any:
    return OTPNotifier().build(TO, **{"user_name": "홍길동", "code": "482901", **values})


def test_a_korean_mail_reads_naturally() -> None:
    message = build(locale="ko")
    assert message.subject == "인증 코드 안내"
    assert message.text_body == (
        "안녕하세요, 홍길동님.\n\n"
        "본인 확인을 위해 아래 인증 코드를 입력해 주세요.\n\n"
        "482901\n\n"
        "이 코드는 5분 동안 유효합니다.\n"
        "다른 사람에게 알려 주지 마세요.\n\n"
        "인증 코드를 요청하지 않으셨다면 이 메일을 무시하셔도 됩니다.\n\n"
        "Example에서 자동으로 발송한 메일입니다.\n"
    )
    assert '<html lang="ko">' in message.html_body
    assert "안녕하세요, 홍길동님." in message.html_body


def test_an_english_mail_reads_naturally() -> None:
    message = build(locale="en", user_name="Seán O'Brien")
    assert message.subject == "Your verification code"
    assert message.text_body == (
        "Hello Seán O'Brien,\n\n"
        "Enter this code to confirm that it is you:\n\n"
        "482901\n\n"
        "The code is valid for 5 minutes.\n"
        "Do not share it with anyone.\n\n"
        "If you did not ask for this code, you can ignore this email.\n\n"
        "This email was sent automatically by Example.\n"
    )
    assert '<html lang="en">' in message.html_body


@pytest.mark.parametrize(("locale", "greeting"), [("ko", "안녕하세요,"), ("en", "Hello,")])
@pytest.mark.parametrize("user_name", ["", "  ", "\u200b\u202e"])
def test_without_a_name_the_greeting_reads_naturally(
    locale: str, greeting: str, user_name: str
) -> None:
    message = build(locale=locale, user_name=user_name)
    assert message.text_body.splitlines()[0] == greeting
    assert f"{greeting}<br>" in message.html_body


def test_the_message_says_what_it_is() -> None:
    message = build(locale="ko")
    assert message.to == (TO,)
    assert message.from_email == "Example <no-reply@example.com>"
    assert message.kind == "otp"
    assert message.locale == "ko"
    assert message.expires_in == timedelta(minutes=5)
    assert message.on_unknown is OnUnknown.RESEND


def test_the_code_is_in_both_bodies_and_not_in_the_subject() -> None:
    message = build(code="ABCD-EFGH-12", locale="en")
    assert message.text_body.splitlines().count("ABCD-EFGH-12") == 1
    assert message.html_body.count("ABCD-EFGH-12") == 1
    assert "ABCD" not in message.subject


def test_the_lifetime_can_be_set_for_all_or_for_one() -> None:
    patient = OTPNotifier(expire_minutes=10)
    message = patient.build(TO, user_name="", code="1234", locale="en")
    assert "valid for 10 minutes" in message.text_body
    assert message.expires_in == timedelta(minutes=10)
    message = patient.build(
        TO, user_name="", code="1234", locale="ko", expires_in=timedelta(seconds=90)
    )
    assert "90초 동안" in message.text_body
    assert message.expires_in == timedelta(seconds=90)


def test_a_subject_prefix_stands_before_the_subject() -> None:
    notifier = OTPNotifier(subject_prefix="[Acme] ")
    message = notifier.build(TO, user_name="", code="1234", locale="en")
    assert message.subject == "[Acme] Your verification code"


def test_a_notifier_refuses_what_no_mail_could_be_made_with() -> None:
    with pytest.raises(UnsafeHeader, match="subject_prefix"):
        OTPNotifier(subject_prefix="a\r\nBcc: x@example.com")
    with pytest.raises(ValueError, match="expire_minutes must be 1 or more, not 0"):
        OTPNotifier(expire_minutes=0)


@pytest.mark.parametrize(
    ("wanted", "active", "project", "used"),
    [
        pytest.param("ko", "en", "en", "ko", id="what is asked for"),
        pytest.param("ko-KR", "en", "en", "ko", id="a region of it"),
        pytest.param("EN_us", "ko", "ko", "en", id="as a locale name, any case"),
        pytest.param("fr", "ko", "en", "ko", id="not there, so the active language"),
        pytest.param("fr", "de", "ko-kr", "ko", id="nor that, so the project's"),
        pytest.param("fr", "de", "de", "en", id="nor that, so English"),
        pytest.param("", "ko", "en", "ko", id="empty is as none"),
        pytest.param(None, "ko", "en", "ko", id="none, so the active language"),
        pytest.param(None, None, "ko", "ko", id="none active, so the project's"),
        pytest.param("../../ko", "en", "en", "en", id="no language at all"),
    ],
)
def test_language(
    wanted: str | None,
    active: str | None,
    project: str,
    used: str,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.LANGUAGE_CODE = project
    with translation.override(active), caplog.at_level(logging.WARNING, "django_authmail"):
        message = build(locale=wanted)
        assert translation.get_language() == active
    assert message.locale == used
    assert message.subject == {"ko": "인증 코드 안내", "en": "Your verification code"}[used]
    # A language that was asked for and is not there is not passed over in silence.
    assert bool(caplog.records) == (wanted in ("fr", "../../ko"))


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"code": "12"}, "code"),
        ({"user_name": None}, "user_name"),
        ({"expires_in": timedelta(0)}, "expires_in"),
        ({"expires_in": 300}, "expires_in"),
    ],
)
def test_refuses_values_that_cannot_be_shown(values: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidContext) as caught:
        build(**values)
    assert caught.value.name == name


@pytest.mark.parametrize("values", [{"kode": "1234"}, {"subject": "x"}])
def test_refuses_names_that_it_does_not_know(values: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="there is no such value") as caught:
        build(**values)
    assert isinstance(caught.value, UnknownName)
    assert caught.value.name == next(iter(values))


def test_refuses_hostile_addresses() -> None:
    with pytest.raises(UnsafeHeader):
        OTPNotifier().build("a@example.org\r\nBcc: b@example.org", user_name="", code="1234")
    with pytest.raises(InvalidAddress):
        OTPNotifier().build("a@example.org, b@example.org", user_name="", code="1234")


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "{{ code }}{% debug %}{code}%(code)s",
        '"><img src=x onerror=alert(1)>',
        "</td></table><a href='https://evil.example'>click</a>",
        "Kim\r\n\r\nYour code is 000000",
        "\u202e109284\u202c",
    ],
)
@pytest.mark.parametrize("locale", ["ko", "en"])
def test_a_name_is_text_and_nothing_else(name: str, locale: str) -> None:
    plain = build(user_name="", locale=locale)
    message = build(user_name=name, locale=locale)
    assert message.html_body.count("<") == plain.html_body.count("<")
    assert message.html_body.count("482901") == 1
    assert len(message.text_body.splitlines()) == len(plain.text_body.splitlines())
    assert "\u202e" not in message.text_body + message.html_body
    assert message.subject == plain.subject


def test_reprs_show_no_code_and_no_name() -> None:
    message = build(code=CODE, user_name="홍길동")
    context = OTPContext(
        user_name="홍길동",
        code=Secret(CODE),
        code_in_subject=False,
        autofill=Secret(f"@example.com #{CODE}"),
    )
    shown = repr([message, context, OTPNotifier(), vars(OTPNotifier())])
    assert CODE not in shown
    assert "홍길동" not in shown


def test_send_reaches_a_real_server_and_says_what_it_said(smtp_server: SmtpServer) -> None:
    result = OTPNotifier().send(TO, user_name="홍길동", code="482901", locale="ko")
    assert isinstance(result, SendResult)
    assert result.sent
    assert result.provider_id == "Ok: queued as 000001"
    (received,) = smtp_server.mails
    assert received.recipients == [TO]
    assert received.secure
    assert received.authenticated
    assert received.mail["Message-ID"] == result.message_id
    assert received.mail["Content-Language"] == "ko"
    assert "482901" in received.text
    assert "482901" in received.html


def test_send_says_why_it_failed(smtp_server: SmtpServer) -> None:
    smtp_server.refuse[TO] = "550 5.1.1 no such user"
    result = OTPNotifier().send(TO, user_name="", code="482901")
    assert not result
    assert isinstance(result, SendResult)
    assert result.reason == Reason.BAD_RECIPIENT


def test_send_goes_by_any_backend_of_django() -> None:
    result = OTPNotifier().send(TO, user_name="홍길동", code="482901", locale="ko")
    assert isinstance(result, SendResult)
    assert result.accepted == (TO,)
    (sent,) = mail.outbox
    mime = sent.message()
    assert mime["Message-ID"] == result.message_id
    assert mime["Auto-Submitted"] == "auto-generated"
    assert "482901" in sent.body


def test_an_unknown_mailer_is_refused_by_name() -> None:
    with pytest.raises(MailerUnusable, match="There is no mailer 'elsewhere'"):
        OTPNotifier().send(TO, user_name="", code="482901", using="elsewhere")


def test_the_debug_page_of_another_backends_failure_shows_no_code(
    use_mailer: Callable[..., None], certificate: ServerCertificate, settings: Settings
) -> None:
    settings.DEBUG = False
    with running(certificate, starttls=False, auth=False) as server:
        server.refuse_content = "550 5.7.1 not from here"
        use_mailer(
            {"host": server.host, "port": server.port},
            "django.core.mail.backends.smtp.EmailBackend",
        )
        with pytest.raises(SMTPDataError) as caught:
            OTPNotifier().send(TO, user_name="", code=CODE, locale="en")
    error = caught.value
    page = ExceptionReporter(None, type(error), error, error.__traceback__).get_traceback_html()
    assert "not from here" in page
    assert "django_authmail.notifiers.delivery:" in page
    assert CODE not in page


def test_what_another_backend_raises_is_passed_on(
    use_mailer: Callable[..., None], dead_port: int
) -> None:
    use_mailer(
        {"host": "127.0.0.1", "port": dead_port}, "django.core.mail.backends.smtp.EmailBackend"
    )
    with pytest.raises(ConnectionRefusedError):
        OTPNotifier().send(TO, user_name="", code="482901")
