"""Errors of every kind: their form, their language, and what they never show."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import translation
from pytest_django.fixtures import Settings

from django_authmail import hints
from django_authmail.api.codes import KINDS
from django_authmail.apps import AuthmailConfig
from django_authmail.models import Message
from django_authmail.outcomes import ErrorCode, Reason
from tests.api.conftest import CODE, TO, Api, problem

pytestmark = pytest.mark.django_db


class BrokenRouter:
    """Fails where a message is written, with secrets in its text and in its variables."""

    def db_for_write(self, model: type, **values: Any) -> None:
        if model is Message:
            secret = f"{CODE} for {TO}"
            raise ZeroDivisionError(secret)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("prefer", ["respond-async", ""])
def test_an_unexpected_error_shows_nothing(
    api: Api,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    debug: bool,
    prefer: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.DEBUG = debug
    settings.DATABASE_ROUTERS = [BrokenRouter()]
    response = api.post(Prefer=prefer, X_Request_ID="call-7")
    body = problem(response, 500, "internal_error")
    assert body["retryable"] is False
    [record] = [r for r in caplog.records if r.name == "django_authmail.api.problems"]
    assert "error=ZeroDivisionError" in record.getMessage()
    assert "tests.api.test_problems:" in record.getMessage()
    assert "request_id=call-7" in record.getMessage()
    logged = caplog.text + "".join(str(vars(r)) for r in caplog.records)
    for secret in (CODE, TO, api.key):
        assert secret not in response.content.decode()
        assert secret not in logged


class _Exploding:
    """Middleware that fails once the view is done: the project's own error page answers."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        self.get_response(request)
        raise ZeroDivisionError("after the view")


def test_the_debug_page_shows_neither_code_nor_key(api: Api, settings: Settings) -> None:
    settings.DEBUG = True
    settings.MIDDLEWARE = [f"{__name__}._Exploding", *settings.MIDDLEWARE]
    response = api.post(Prefer="respond-async", Accept="text/html, application/json")
    assert response.status_code == 500
    assert b"ZeroDivisionError" in response.content
    for secret in (CODE, TO, api.key):
        assert secret.encode() not in response.content


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/send/otp", "POST"),
        ("PUT", "/send/otp", "POST"),
        ("OPTIONS", "/send/otp", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/messages/x", "GET, HEAD"),
    ],
)
def test_other_methods_are_refused_before_the_key_is_asked_for(
    method: str, path: str, allow: str
) -> None:
    response = Client().generic(method, path)
    problem(response, 405, "method_not_allowed")
    assert sorted(response["Allow"].split(", ")) == sorted(allow.split(", "))


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("", 200),
        ("application/json", 200),
        ("application/*;q=0.5", 200),
        ("application/problem+json", 200),
        ("text/html,application/xhtml+xml,*/*;q=0.8", 200),
        ("text/html", 406),
        ("application/xml", 406),
    ],
)
def test_accept(api: Api, accept: str, status: int) -> None:
    response = api.post(X_Dry_Run="1", Accept=accept)
    if status == 406:
        problem(response, 406, "not_acceptable")
    assert response.status_code == status


@pytest.mark.parametrize(
    ("language", "hint"),
    [
        ("ko", "`Authorization: Bearer KEY` 헤더를 보내세요."),
        ("ko-KR,ko;q=0.9,en;q=0.8", "`Authorization: Bearer KEY` 헤더를 보내세요."),
        ("en-US,ko;q=0.5", "Send the header `Authorization: Bearer KEY`."),
        ("ko;q=0, en", "Send the header `Authorization: Bearer KEY`."),
        ("ko;q=0", "Send the header `Authorization: Bearer KEY`."),
        ("fr", "Send the header `Authorization: Bearer KEY`."),
        ("", "Send the header `Authorization: Bearer KEY`."),
    ],
)
def test_hints_are_in_the_caller_s_language(language: str, hint: str) -> None:
    headers = {"Accept-Language": language}
    body = problem(Client().post("/send/otp", headers=headers), 401, "missing_credentials")
    assert body["hint"] == hint
    assert body["title"] == "No API key"


@pytest.mark.parametrize(("language", "begins"), [("", "The mail server"), ("ko", "메일 서버")])
def test_the_hint_of_a_502_is_in_the_caller_s_language_too(
    api: Api, settings: Settings, use_mailer: Any, dead_port: int, language: str, begins: str
) -> None:
    settings.LANGUAGE_CODE = "en" if language else "ko"
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    headers = {"Accept_Language": language} if language else {}
    body = problem(api.post(**headers), 502, "smtp_connection")
    assert body["hint"].startswith(begins)


@pytest.mark.parametrize(
    ("language", "whose", "settings_of_the_operator"),
    [
        (
            "en",
            " runs this service",
            r"host|port\b|[Pp]assword|STARTTLS|AUTHMAIL_|manage\.py",
        ),
        ("ko", "서비스의 운영자", r"호스트|포트|비밀번호|STARTTLS|AUTHMAIL_|manage\.py"),
    ],
)
def test_a_caller_is_not_told_to_change_what_is_the_operator_s(
    language: str, whose: str, settings_of_the_operator: str
) -> None:
    with translation.override(language):
        pairs = [(str(hints.hint_for_caller(r)), str(hints.hint(r))) for r in Reason]
    assert [told for told, _ in pairs if re.search(settings_of_the_operator, told)] == []
    others = [told for told, own in pairs if told != own]
    assert [told for told in others if whose not in told] == []
    assert len(others) > 10


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_hint_has_the_words_of_the_project(
    api: Api, settings: Settings, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = ""
    monkeypatch.setattr(AuthmailConfig, "words", {"AUTHMAIL_LINK_BASE_URL": "MAGIC_LINK_BASE_URL"})
    link = {"to": TO, "user_name": "홍길동", "token": "t"}
    answer = api.post("/send/magic-link", link, Accept_Language=language)
    body = problem(answer, 503, "magic_link_not_configured")
    page = Client().get("/docs/errors", headers={"Accept-Language": language}).content.decode()
    for text in (body["hint"], page):
        assert "MAGIC_LINK_BASE_URL" in text
        assert "AUTHMAIL_LINK_BASE_URL" not in text


def test_every_hint_exists_in_korean() -> None:
    def texts(language: str) -> list[str]:
        with translation.override(language):
            own = [str(kind.hint) for kind in KINDS.values()]
            told = [str(hints.hint_for_caller(reason)) for reason in Reason]
            return own + told + [str(hints.hint(reason)) for reason in Reason]

    pairs = zip(texts("en"), texts("ko"), strict=True)
    assert [english for english, korean in pairs if english == korean] == []


@pytest.mark.parametrize("given", ["a", "A.b_c-9", "x" * 128])
def test_echoes_a_harmless_request_id(given: str) -> None:
    response = Client().get("/health", headers={"X-Request-ID": given})
    assert response["X-Request-ID"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\r\nb", "홍", "a;b"])
def test_replaces_any_other_request_id(given: str) -> None:
    response = Client().get("/health", headers={"X-Request-ID": given})
    assert len(response["X-Request-ID"]) == 36


def test_every_code_of_a_delivery_is_a_problem() -> None:
    assert {str(code) for code in ErrorCode} <= KINDS.keys()


def test_every_reason_has_a_hint() -> None:
    assert [reason for reason in Reason if not hints.hint(reason)] == []
    assert hints.hint("no such reason") == ""


def test_a_502_is_not_reported_to_admins_by_mail(
    api: Api, caplog: pytest.LogCaptureFixture, use_mailer: Any, dead_port: int
) -> None:
    use_mailer({"host": "127.0.0.1", "port": dead_port})
    problem(api.post(), 502, "smtp_connection")
    assert not [r for r in caplog.records if r.name == "django.request"]


def test_the_project_s_rest_framework_settings_do_not_count(api: Api, settings: Settings) -> None:
    settings.REST_FRAMEWORK = {
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.BrowsableAPIRenderer"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
        "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
        "EXCEPTION_HANDLER": "does.not.exist",
        "URL_FORMAT_OVERRIDE": "format",
        "COMPACT_JSON": False,
        "UNICODE_JSON": False,
        "UNAUTHENTICATED_USER": "does.not.exist",
    }
    response = api.post(path="/send/otp?format=xml", X_Dry_Run="1")
    assert json.loads(response.content)["dry_run"] is True
    problem(Api(key="").post(), 401, "missing_credentials")
