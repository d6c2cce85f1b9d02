"""Django's own password reset sends a mail of this package, and tells nobody who has an account."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordResetConfirmView, PasswordResetDoneView
from django.test import Client
from django.urls import NoReverseMatch, path
from pytest_django.fixtures import Settings

from django_authmail.contrib.auth import PasswordResetForm, PasswordResetView
from django_authmail.exceptions import NoLinkBaseURL
from tests.conftest import UseMailer
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

TO = "hong@example.com"

urlpatterns = [
    path("admin/", admin.site.urls),  # the pages of Django's views are the admin's
    path("forgotten/", PasswordResetView.as_view(), name="password_reset"),
    path("sent/", PasswordResetDoneView.as_view(), name="password_reset_done"),
    path(
        "reset/<uidb64>/<token>/", PasswordResetConfirmView.as_view(), name="password_reset_confirm"
    ),
]


@pytest.fixture(autouse=True)
def _project(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    settings.ALLOWED_HOSTS = ["*"]


@pytest.fixture
def user() -> User:
    return User.objects.create_user(
        "hong", email=TO, password="a-password", first_name="길동", last_name="홍"
    )


def ask(email: str = TO, **headers: str) -> Any:  # the test client's response
    return Client().post("/forgotten/", {"email": email}, headers=headers)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    return [line for line in said if line.startswith("notifier.not_sent ")]


@pytest.mark.usefixtures("user")
def test_the_link_in_the_mail_opens_the_page_for_a_new_password(smtp_server: SmtpServer) -> None:
    response = ask(**{"Host": "evil.example", "Accept-Language": "ko"})
    assert (response.status_code, response["Location"]) == (302, "/sent/")
    [received] = smtp_server.mails
    assert received.recipients == [TO]
    assert received.mail["Subject"] == "비밀번호 재설정 안내"
    assert "안녕하세요, 홍길동님." in received.text
    assert "3일 동안 유효합니다" in received.text
    assert "evil" not in received.text + received.html
    [link] = re.findall(r"https://app\.example\.com(/reset/\S+)", received.text)
    assert f'href="https://app.example.com{link}"' in received.html
    page = Client().get(link, follow=True)
    assert page.context["validlink"] is True


def test_the_mail_says_how_long_django_keeps_the_token(
    user: User, smtp_server: SmtpServer, settings: Settings
) -> None:
    settings.PASSWORD_RESET_TIMEOUT = 1800
    ask()
    assert "30 minutes" in smtp_server.mails[0].text


def test_an_unknown_address_gets_the_same_answer_and_no_mail(
    user: User, smtp_server: SmtpServer
) -> None:
    known, unknown = ask(), ask("nobody@example.com")
    assert known.status_code == unknown.status_code
    assert known.headers == unknown.headers
    assert known.content == unknown.content
    assert [mail.recipients for mail in smtp_server.mails] == [[TO]]


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize(
    ("refused", "content", "reason"),
    [("550 5.1.1 no such user", "", "bad_recipient"), ("", "451 4.3.0 not now", "server_busy")],
)
def test_a_mail_that_is_refused_gets_the_same_answer(
    smtp_server: SmtpServer,
    caplog: pytest.LogCaptureFixture,
    refused: str,
    content: str,
    reason: str,
) -> None:
    smtp_server.refuse.update({TO: refused} if refused else {})
    smtp_server.refuse_content = content
    response = ask()
    assert (response.status_code, response["Location"]) == (302, "/sent/")
    [line] = logged(caplog)
    assert line.startswith("notifier.not_sent type=password-reset ")
    assert f" reason={reason} " in line
    assert TO not in line


@pytest.mark.usefixtures("user")
def test_a_mailer_that_raises_gets_the_same_answer(
    use_mailer: UseMailer, dead_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    use_mailer(
        {"host": "127.0.0.1", "port": dead_port}, "django.core.mail.backends.smtp.EmailBackend"
    )
    response = ask()
    assert (response.status_code, response["Location"]) == (302, "/sent/")
    assert logged(caplog) == ["notifier.not_sent type=password-reset error=ConnectionRefusedError"]
    assert TO not in caplog.text


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("email", [TO, "nobody@example.com"])
def test_a_project_without_a_base_url_fails_for_every_address(
    settings: Settings, email: str
) -> None:
    del settings.AUTHMAIL_LINK_BASE_URL
    with pytest.raises(NoLinkBaseURL, match="AUTHMAIL_LINK_BASE_URL"):
        ask(email)


@pytest.mark.usefixtures("user")
@pytest.mark.parametrize("email", [TO, "nobody@example.com"])
def test_a_project_without_the_page_of_the_link_fails_for_every_address(
    monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    monkeypatch.setattr(PasswordResetForm, "confirm_url_name", "no_such_page")
    with pytest.raises(NoReverseMatch, match="no_such_page"):
        ask(email)
