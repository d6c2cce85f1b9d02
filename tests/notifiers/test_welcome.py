"""The mail for somebody who is new."""

from __future__ import annotations

from pytest_django.fixtures import Settings

from django_authmail.notifiers import WelcomeNotifier


def test_a_welcome() -> None:
    message = WelcomeNotifier().build("hong@example.org", user_name="홍길동", locale="ko")
    assert message.subject == "Example에 오신 것을 환영합니다"
    assert message.text_body == (
        "안녕하세요, 홍길동님.\n\n"
        "계정이 준비되었습니다. 함께하게 되어 반갑습니다.\n\n"
        "직접 가입하지 않으셨다면 저희에게 알려 주세요.\n\n"
        "Example에서 자동으로 발송한 메일입니다.\n"
    )
    assert message.expires_in is None
    assert "<a " not in message.html_body


def test_a_welcome_leads_to_the_page_of_the_project(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    settings.AUTHMAIL_LINK_PATHS = {"welcome": "/start"}
    message = WelcomeNotifier().build("hong@example.org", user_name="", locale="en")
    assert "Get started:\n\nhttps://app.example.com/start\n" in message.text_body
    assert 'href="https://app.example.com/start"' in message.html_body


def test_a_path_with_the_place_of_a_token_makes_no_button(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    settings.AUTHMAIL_LINK_PATHS = {"welcome": "/start/{token}"}
    message = WelcomeNotifier().build("hong@example.org", user_name="", locale="en")
    assert "<a " not in message.html_body
    assert "{token}" not in message.text_body
