"""What an error of a notifier shows: to a person on a debug page, and to an error tracker."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import clear_url_caches, path
from pytest_django.fixtures import Settings

from django_authmail.exceptions import (
    InvalidAddress,
    InvalidContext,
    MailerUnusable,
    MissingName,
    NoLinkBaseURL,
    UnknownName,
    UnsafeHeader,
)
from django_authmail.message import AuthMessage
from django_authmail.notifiers import (
    EmailVerificationNotifier,
    MagicLinkNotifier,
    Notifier,
    OTPNotifier,
    PaymentReceiptNotifier,
    TemplateNotifier,
)
from tests.conftest import UseMailer

TO = "hong@example.org"
CODE = "CANARY-42"
NUMBER = 482901737


class Call:
    """A project's call of a notifier; its frame and its repr show none of the values."""

    def __init__(self, notifier: Notifier, to: object, values: dict[str, Any]) -> None:
        self.notifier = notifier
        self.to = to
        self.values = values

    def __call__(self) -> object:
        return self.notifier.send(self.to, **self.values)


def call(*, to: object = TO, **given: Any) -> Call:
    return Call(OTPNotifier(), to, {"user_name": "홍길동", "code": CODE} | given)


@dataclass(frozen=True)
class Context:
    token: str


class OwnNotifier(Notifier):
    """A project's own kind of mail, which guards nothing."""

    kind = "own"

    def build(self, to: str, *args: Any, **values: Any) -> AuthMessage:
        shown = f"https://example.com/?{values['token']}"
        return self.compose(to, Context(token=shown))


def own(to: object) -> Call:
    return Call(OwnNotifier(), to, {"token": CODE})


LINKED = {"user_name": "홍길동", "token": CODE}


def link(**given: Any) -> Call:
    return Call(MagicLinkNotifier(base_url="https://app.example.com"), TO, LINKED | given)


def text(template: str, **values: Any) -> Call:
    return Call(TemplateNotifier(subject="Hi", html_template=template), TO, values)


CALLS: dict[str, tuple[Call, type[BaseException]]] = {
    "a line break in the address": (call(to="user@example.com\r\n"), UnsafeHeader),
    "no address": (call(to="user"), InvalidAddress),
    "a list of addresses": (call(to=[TO]), TypeError),
    "no name": (call(user_name=7), InvalidContext),
    "a code with a space": (call(code="CANARY 42"), InvalidContext),
    "a code that is a number": (call(code=NUMBER), InvalidContext),
    "a lifetime that is none": (call(expires_in=timedelta(0)), InvalidContext),
    "a language that is none": (call(locale=7), AttributeError),
    "no such mailer": (call(using="elsewhere"), MailerUnusable),
    "an unknown value": (call(colour="red"), UnknownName),
    "a token with a space": (link(token="CANARY 42"), InvalidContext),
    "a link without a base": (Call(MagicLinkNotifier(), TO, LINKED), NoLinkBaseURL),
    "a verification by nothing": (
        Call(EmailVerificationNotifier(), TO, {"user_name": "홍길동"}),
        MissingName,
    ),
    "an amount that is none": (
        Call(PaymentReceiptNotifier(), TO, {"user_name": "홍길동", "order": CODE, "amount": "x"}),
        InvalidContext,
    ),
    "a text of a project's own, format": (text("{a:,}", a=CODE), InvalidContext),
    "a text of a project's own, missing": (text("{a}{b}", a=CODE), MissingName),
    "a text of a project's own, unknown": (text("{a}", a=CODE, b=CODE), UnknownName),
    "a project's own kind, address": (own("user@example.com\r\n"), UnsafeHeader),
    "a project's own kind, list": (own([TO]), TypeError),
}
SECRETS = ("CANARY", str(NUMBER), "홍길동")

_called: Call

DebugPage = Callable[[Call], str]

_called = call()


def view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(_called()))


urlpatterns = [path("send", view)]


@pytest.fixture
def debug_page(settings: Settings) -> Iterator[DebugPage]:
    """Return what Django's debug page says when a project's view makes a call that fails."""
    settings.DEBUG = True
    settings.ROOT_URLCONF = __name__
    clear_url_caches()

    def page(called: Call) -> str:
        global _called
        _called = called
        response = Client(raise_request_exception=False).get(
            "/send", headers={"Accept": "text/html"}
        )
        assert response.status_code == 500
        return response.content.decode()

    yield page
    clear_url_caches()


def captured(error: BaseException) -> str:
    """Return all that an error tracker has: frames with locals, of causes too."""
    assert error.__traceback__
    # The first two frames are this test's own.
    own_frames = error.__traceback__.tb_next
    assert own_frames
    shown = traceback.TracebackException(
        type(error), error, own_frames.tb_next, capture_locals=True
    )
    texts: list[str] = []
    pending: list[traceback.TracebackException | None] = [shown]
    while pending:
        if (one := pending.pop()) is not None:
            texts += one.format(chain=False)
            pending += [one.__cause__, one.__context__]
    return "".join(texts)


@pytest.mark.parametrize("name", CALLS)
def test_the_debug_page_shows_no_code(name: str, debug_page: DebugPage) -> None:
    called, kind = CALLS[name]
    page = debug_page(called)
    assert kind.__name__ in page
    assert [secret for secret in SECRETS if secret in page] == []


@pytest.mark.parametrize("name", CALLS)
def test_the_frames_of_an_error_hold_no_code(name: str) -> None:
    called, kind = CALLS[name]
    with pytest.raises(kind) as caught:
        called()
    shown = captured(caught.value)
    assert "django_authmail/notifiers/errors.py" in shown
    assert [secret for secret in SECRETS if secret in shown] == []


def test_a_template_that_fails_half_way_shows_no_code(
    tmp_path: Path, settings: Settings, debug_page: DebugPage
) -> None:
    settings.TEMPLATES = [
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [str(tmp_path)]}
    ]
    folder = tmp_path / "authmail" / "otp"
    folder.mkdir(parents=True)
    (folder / "subject.txt").write_text("Your code")
    (folder / "body.txt").write_text('{{ code|slice:":" }} {{ code }}{% include "gone.txt" %}')
    (folder / "body.html").write_text("")
    page = debug_page(call())
    assert "TemplateDoesNotExist" in page
    assert "gone.txt" in page
    # Where it failed is said all the same.
    assert "django.template.loader_tags:" in page
    assert CODE not in page


def test_another_mailer_that_fails_shows_no_code(
    use_mailer: UseMailer, dead_port: int, debug_page: DebugPage
) -> None:
    backend = "django.core.mail.backends.smtp.EmailBackend"
    use_mailer({"host": "127.0.0.1", "port": dead_port}, backend)
    page = debug_page(call())
    assert "ConnectionRefusedError" in page
    assert CODE not in page


@pytest.mark.parametrize("make", [OTPNotifier().build, OTPNotifier().send])
def test_a_list_of_addresses_is_refused_in_words(make: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="^to is one address, a string, not list"):
        make([TO], user_name="", code=CODE)


def test_the_address_is_looked_at_before_anything_is_rendered(settings: Settings) -> None:
    settings.TEMPLATES = [{"BACKEND": "does.not.exist"}]
    with pytest.raises(UnsafeHeader):
        OTPNotifier().build("a@example.com\n", user_name="", code=CODE)
    with pytest.raises(UnsafeHeader):
        OwnNotifier().compose("a@example.com\n", Context(token=CODE))
