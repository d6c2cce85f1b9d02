"""What callers of S0's library wrote, with nothing changed but the imports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import django_authmail
from django_authmail import (
    MagicLinkNotifier,
    Notifier,
    OTPNotifier,
    SendResult,
    SmtpConfig,
    SmtpSender,
    TemplateNotifier,
)
from example_project.certificates import ServerCertificate
from tests.smtp_server import SmtpServer, running

TO = "user@example.org"


@pytest.fixture
def server(certificate: ServerCertificate) -> Iterator[SmtpServer]:
    with running(certificate, starttls=False, auth=False) as server:
        yield server


@pytest.fixture
def sender(server: SmtpServer) -> SmtpSender:
    config = SmtpConfig(
        host=server.host, port=server.port, from_addr="MyApp <app@example.com>", use_tls=False
    )
    return SmtpSender(config)


def test_the_names_of_s0_are_there() -> None:
    assert django_authmail.__all__ == sorted(django_authmail.__all__)
    assert set(django_authmail.__all__) <= set(dir(django_authmail))
    assert all(isinstance(getattr(django_authmail, name), type) for name in django_authmail.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Sender'"):
        _ = django_authmail.Sender


def test_a_magic_link(sender: SmtpSender, server: SmtpServer) -> None:
    notifier = MagicLinkNotifier(
        sender, base_url="https://app.example.com", subject_prefix="[MyApp] "
    )
    assert notifier.expire_minutes == 15
    result = notifier.send("user@example.org", "<b>홍길동</b>", "a+b&c=d/==")
    assert result
    assert isinstance(result, SendResult)
    (received,) = server.mails
    assert received.sender == "app@example.com"
    assert received.mail["From"] == "MyApp <app@example.com>"
    assert str(received.mail["Subject"]).startswith("[MyApp] ")
    assert "https://app.example.com/set-password?token=a%2Bb%26c%3Dd%2F%3D%3D" in received.html
    assert "a+b&c=d/==" not in received.html
    assert "&lt;b&gt;홍길동&lt;/b&gt;" in received.html


def test_a_magic_link_with_a_path(sender: SmtpSender, server: SmtpServer) -> None:
    notifier = MagicLinkNotifier(sender, "https://app.example.com", "/reset", "[MyApp]", 30)
    by_name: Any = notifier.send  # type checkers know the names of today
    assert by_name(to_email=TO, user_name="테스트", payload="tok")
    assert "https://app.example.com/reset?token=tok" in server.mails[0].html


def test_a_code(sender: SmtpSender, server: SmtpServer) -> None:
    notifier = OTPNotifier(sender, subject_prefix="[MyApp] ")
    assert notifier.expire_minutes == 5
    assert notifier.send(TO, "홍길동", "482901")
    by_name: Any = OTPNotifier(sender, "[MyApp]", 10).send
    assert by_name(to_email=TO, user_name="", payload="123456")
    first, second = server.mails
    assert ">482901<" in first.html
    assert ">123456<" in second.html


def test_a_template(sender: SmtpSender, server: SmtpServer) -> None:
    notifier = TemplateNotifier(
        sender,
        subject="[Shop] 주문 {order_id} 확인",
        html_template="<p>{name}님, 합계 {total}원입니다.</p>",
        text_template="{name}님, 합계 {total}원입니다.",
    )
    assert notifier.send(TO, name="<b>홍</b>", order_id="1234", total="50000")
    (received,) = server.mails
    assert received.mail["Subject"] == "[Shop] 주문 1234 확인"
    assert received.html.strip() == "<p>&lt;b&gt;홍&lt;/b&gt;님, 합계 50000원입니다.</p>"
    assert received.text.strip() == "<b>홍</b>님, 합계 50000원입니다."
    with pytest.raises(KeyError):
        notifier.send(TO, name="홍길동")


class ParcelNotifier(Notifier):
    """A project's own class as S0 documents it."""

    def __init__(self, sender: SmtpSender) -> None:
        super().__init__(sender)

    def send(self, to_email: str, user_name: str, payload: str) -> Any:
        html = f"<p>{user_name}님, 송장 번호는 {payload}입니다.</p>"
        return self._sender.send(to_email, "배송 안내", html)


def test_a_class_of_the_projects_own(sender: SmtpSender, server: SmtpServer) -> None:
    assert ParcelNotifier(sender).send(TO, "홍길동", "1234")
    (received,) = server.mails
    assert received.mail["Subject"] == "배송 안내"
    assert received.html.strip() == "<p>홍길동님, 송장 번호는 1234입니다.</p>"
    assert received.text.strip() == "홍길동님, 송장 번호는 1234입니다."


def test_a_refusal_is_a_result_that_is_false(sender: SmtpSender, server: SmtpServer) -> None:
    server.refuse[TO] = "550 5.1.1 no such user"
    result = OTPNotifier(sender).send(TO, "홍길동", "482901")
    assert not result
    assert isinstance(result, SendResult)
    assert result.error_code == "recipient_refused"


def test_a_class_of_the_projects_own_without_a_sender_goes_by_the_mailer(
    smtp_server: SmtpServer,
) -> None:
    class Own(Notifier):
        def send(self, to: str, *args: Any, **values: Any) -> Any:
            return self._sender.send(to, "Hello", "<p>Hi</p>", cc=["cc@example.org"])

    assert Own().send(TO)
    (received,) = smtp_server.mails
    assert received.mail["From"] == "Example <no-reply@example.com>"
    assert received.recipients == [TO, "cc@example.org"]
    with pytest.raises(TypeError, match=r"Own\.send is not made by `sends`"):
        Own().build(TO)


def test_the_first_argument_is_no_text() -> None:
    with pytest.raises(TypeError, match="OTPNotifier: the first argument is a sender; give all"):
        OTPNotifier("[MyApp]")  # type: ignore[arg-type] # also wrong ones
