"""The endpoints for one kind of mail, and the one for any: what arrives, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, Unpack

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from django_authmail import keys
from django_authmail.models import Message
from django_authmail.notifiers import Notifier, register, registry, sends
from django_authmail.notifiers.base import Options
from django_authmail.notifiers.template import TemplateNotifier
from tests.api.conftest import TO, Api, MakeKey, problem
from tests.kinds import SHIPPED
from tests.smtp_server import SmtpServer

pytestmark = pytest.mark.django_db

BASE = "https://app.example.com"
TOKEN = "CANARY+token/="
LINK = "CANARY%2Btoken%2F%3D"
CODE = "CANARY-7391"
PERSON = {"to": TO, "user_name": "홍길동"}

#: Path, members besides those of everybody, and what the mail must show.
KINDS = {
    "magic-link": ({"token": TOKEN}, [f"{BASE}/set-password?token={LINK}"]),
    "password-reset": ({"token": TOKEN}, [f"{BASE}/reset-password?token={LINK}"]),
    "email-verification": ({"token": TOKEN}, [f"?token={LINK}"]),
    "invitation": ({"token": TOKEN, "inviter_name": "김영희"}, [f"?token={LINK}", "김영희"]),
}


@pytest.fixture(autouse=True)
def _base_url(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = BASE


@pytest.mark.parametrize("kind", KINDS)
def test_sends_the_mail_of_its_kind(kind: str, api: Api, smtp_server: SmtpServer) -> None:
    members, shown = KINDS[kind]
    response = api.post(f"/send/{kind}", {**PERSON, **members, "locale": "ko", "expires_in": 7200})
    assert response.status_code == 200, response.content
    assert response.json()["sent"] is True
    [mail] = smtp_server.mails
    assert mail.recipients == [TO]
    assert "안녕하세요, 홍길동님." in mail.text
    assert "2시간" in mail.text
    for text in shown:
        assert text in mail.text
        assert text in mail.html.replace("&amp;", "&")
    row = Message.objects.get()
    assert (row.kind, row.locale) == (kind, "ko")


def test_a_verification_has_a_code_a_link_or_both(api: Api, smtp_server: SmtpServer) -> None:
    path = "/send/email-verification"
    for members in ({"code": CODE}, {"token": TOKEN}, {"code": CODE, "token": TOKEN}):
        assert api.post(path, {**PERSON, **members}).status_code == 200
    texts = [mail.text for mail in smtp_server.mails]
    assert [CODE in text for text in texts] == [True, False, True]
    assert [LINK in text for text in texts] == [False, True, True]
    body = problem(api.post(path, PERSON), 422, "validation_error")
    assert body["errors"] == [{"pointer": "", "detail": "needs a token, a code, or both"}]


@pytest.mark.parametrize("headers", [{}, {"X_Dry_Run": "1"}, {"Prefer": "respond-async"}])
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_base_url_there_is_no_link(
    kind: str, headers: dict[str, str], api: Api, settings: Settings, smtp_server: SmtpServer
) -> None:
    del settings.AUTHMAIL_LINK_BASE_URL
    code = "magic_link_not_configured" if kind == "magic-link" else "link_base_url_not_configured"
    response = api.post(f"/send/{kind}", {**PERSON, **KINDS[kind][0]}, **headers)
    body = problem(response, 503, code)
    assert "AUTHMAIL_LINK_BASE_URL" in body["hint"]
    assert body["retryable"] is False
    assert "CANARY" not in response.content.decode()
    assert not Message.objects.exists()
    # What is wrong with the body is said first.
    problem(api.post(f"/send/{kind}", PERSON, **headers), 422, "validation_error")


@pytest.mark.parametrize("path", [*(f"/send/{kind}" for kind in KINDS), "/send/template"])
def test_needs_a_key_that_allows_it(path: str, make_key: MakeKey) -> None:
    problem(Client().post(path), 401, "missing_credentials")
    scope = path.removeprefix("/").replace("/", ":")
    others = tuple(known for known in keys.SCOPES if known != scope)
    assert len(others) == len(keys.SCOPES) - 1
    problem(Api(key=make_key(scopes=others)[1]).post(path, {}), 403, "insufficient_scope")


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        pytest.param({"token": ""}, ["/token"], id="an empty token"),
        pytest.param({"token": "x" * 2001}, ["/token"], id="a token of 2,001 characters"),
        pytest.param({"token": "a b"}, ["/token"], id="a space in a token"),
        pytest.param({"token": "a\nb"}, ["/token"], id="a line break in a token"),
        pytest.param({"token": "홍"}, ["/token"], id="a token that is no ASCII"),
        pytest.param({"token": 7}, ["/token"], id="a number for a token"),
        pytest.param({"base_url": "https://evil.example"}, ["/base_url"], id="a base of its own"),
        pytest.param({"to": [TO, TO]}, ["/to"], id="two recipients"),
    ],
)
def test_refuses(api: Api, given: dict[str, Any], pointers: list[str]) -> None:
    response = api.post("/send/magic-link", {**PERSON, "token": TOKEN, **given})
    body = problem(response, 422, "validation_error")
    assert [fault["pointer"] for fault in body["errors"]] == pointers
    assert "CANARY" not in response.content.decode()


def test_takes_the_longest_token(api: Api, smtp_server: SmtpServer) -> None:
    token = "/" * 2000
    assert api.post("/send/magic-link", {**PERSON, "token": token}).status_code == 200
    assert "%2F" * 2000 in smtp_server.mails[0].text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    parcel: str
    weight: float


class _ParcelNotifier(Notifier):
    kind = "parcel-of-tests"

    @sends
    def send(self, to: str, parcel: str, weight: float = 1, **options: Unpack[Options]) -> _Parcel:
        return _Parcel(parcel=parcel, weight=weight)


#: Its templates, as a project has them in a folder.
_TEMPLATES = {
    "subject.txt": "Parcel {{ parcel }}",
    "body.txt": "{{ parcel }} of {{ weight }} kg",
}


@pytest.fixture
def parcel(settings: Settings, tmp_path: Any) -> Iterator[str]:
    """A kind of the project's own."""
    folder = tmp_path / "authmail" / _ParcelNotifier.kind
    folder.mkdir(parents=True)
    for name, content in _TEMPLATES.items():
        (folder / name).write_text(content)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    register(_ParcelNotifier)
    yield _ParcelNotifier.kind
    del registry._KINDS[_ParcelNotifier.kind]


def test_sends_a_kind_of_the_project_s_own(api: Api, parcel: str, smtp_server: SmtpServer) -> None:
    given = {"to": TO, "template": parcel, "context": {"parcel": "{{ 7|add:7 }} <b>", "weight": 2}}
    assert api.post("/send/template", given).status_code == 200
    [mail] = smtp_server.mails
    assert mail.mail["Subject"] == "Parcel {{ 7|add:7 }} <b>"
    assert mail.text.split() == "{{ 7|add:7 }} <b> of 2 kg".split()
    assert Message.objects.get().kind == parcel


class _OrderNotifier(TemplateNotifier):
    kind = "order-of-tests"

    def __init__(self) -> None:
        super().__init__(subject="Order {order}", html_template="<p>{name}: {total:,}</p>")


@pytest.fixture
def order() -> Iterator[str]:
    """A kind whose texts are strings of the project."""
    register(_OrderNotifier)
    yield _OrderNotifier.kind
    del registry._KINDS[_OrderNotifier.kind]


def test_sends_texts_of_the_project_s_own(api: Api, order: str, smtp_server: SmtpServer) -> None:
    context = {"order": "{name}", "name": "<b>", "total": 50_000}
    given = {"to": TO, "template": order, "context": context}
    assert api.post("/send/template", given).status_code == 200
    [mail] = smtp_server.mails
    assert mail.mail["Subject"] == "Order {name}"
    assert "<p>&lt;b&gt;: 50,000</p>" in mail.html
    for wrong, pointer in (
        ({**context, "total": "x"}, "/context/total"),
        ({**context, "sum": 1}, "/context/sum"),
        ({"context": context}, "/context/context"),
    ):
        response = api.post("/send/template", {**given, "context": wrong})
        [fault] = problem(response, 422, "template_error")["errors"]
        assert fault["pointer"] == pointer
    assert len(smtp_server.mails) == 1


def test_a_mail_may_say_when_and_where_it_was_asked_for(api: Api, smtp_server: SmtpServer) -> None:
    origin = {"at": "2026-11-26T14:05:00+09:00", "place": "Seoul", "device": "Chrome, Windows"}
    given = {"to": TO, "template": "otp", "context": {"user_name": "", "code": CODE, **origin}}
    assert api.post("/send/template", given).status_code == 200
    assert "Seoul" in smtp_server.mails[0].text


@pytest.mark.parametrize(
    ("context", "pointers"),
    [
        pytest.param({}, ["/context/parcel"], id="a missing value"),
        pytest.param({"parcel": "x", "weights": 2}, ["/context/weights"], id="an unknown value"),
        pytest.param({"parcel": "x", "using": "other"}, ["/context/using"], id="another mailer"),
        pytest.param({"parcel": "x", "bcc": ["a@example.com"]}, ["/context/bcc"], id="a recipient"),
        pytest.param({"parcel": "x", "to": "a@example.com"}, ["/context/to"], id="the recipient"),
        pytest.param({"parcel": "x", "CANARY 7": 1}, ["/context"], id="a name that is none"),
        pytest.param({"parcel": "x", "at": "CANARY"}, ["/context/at"], id="a wrong time"),
        pytest.param(
            {"parcel": "x", "at": "9999-12-31T23:59:59-12:00"}, ["/context/at"], id="no such time"
        ),
        pytest.param({"parcel": "x", "self": 1}, ["/context/self"], id="a name of Python's"),
    ],
)
def test_says_which_value_is_wrong(
    api: Api, parcel: str, context: dict[str, Any], pointers: list[str]
) -> None:
    given = {"to": TO, "template": parcel, "context": context}
    response = api.post("/send/template", given)
    body = problem(response, 422, "template_error")
    assert [fault["pointer"] for fault in body["errors"]] == pointers
    assert "CANARY" not in response.content.decode()
    assert not Message.objects.exists()


@pytest.mark.parametrize(
    ("context", "detail"),
    [
        ({}, "this value is missing; it takes parcel, weight"),
        ({"parcel": "x", "zzz": 1}, "there is no such value; it takes parcel, weight"),
        ({"parcel": "x", "to": TO}, "belongs to the body, beside `context`"),
        ({"parcel": "x", "locale": "ko"}, "belongs to the body, beside `context`"),
        ({"parcel": "x", "using": "other"}, "is no value of a mail"),
    ],
)
def test_says_where_a_value_belongs(
    api: Api, parcel: str, context: dict[str, Any], detail: str
) -> None:
    given = {"to": TO, "template": parcel, "context": context}
    body = problem(api.post("/send/template", given), 422, "template_error")
    assert [fault["detail"] for fault in body["errors"]] == [detail]


@pytest.mark.parametrize(
    ("name", "pointer"),
    [("payload", "/context/code"), ("context", "/context/context"), ("self", "/context/self")],
)
def test_the_names_of_our_own_methods_are_no_values(api: Api, name: str, pointer: str) -> None:
    context = {"user_name": "", "code": CODE, name: CODE}
    response = api.post("/send/template", {"to": TO, "template": "otp", "context": context})
    body = problem(response, 422, "template_error")
    assert [fault["pointer"] for fault in body["errors"]] == [pointer]


def test_an_unknown_kind_is_told_with_the_nearest(api: Api) -> None:
    given = {"to": TO, "template": "magic-lnk", "context": {}}
    body = problem(api.post("/send/template", given), 422, "unknown_template")
    assert [fault["pointer"] for fault in body["errors"]] == ["/template"]
    assert "Did you mean `magic-link`?" in body["hint"]
    given["template"] = "CANARY"
    response = api.post("/send/template", given)
    assert "magic-link, " in problem(response, 422, "unknown_template")["hint"]
    assert "CANARY" not in response.content.decode()


def test_a_link_of_any_kind_needs_a_base_url(api: Api, settings: Settings) -> None:
    del settings.AUTHMAIL_LINK_BASE_URL
    context = {"user_name": "", "token": TOKEN}
    given = {"to": TO, "template": "magic-link", "context": context}
    problem(api.post("/send/template", given), 503, "link_base_url_not_configured")


def as_json(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) else value.isoformat()  # type: ignore[arg-type] # an instance


_JUNK: tuple[Any, ...] = (None, True, 7, -1.5, "", "CANARY\r\n", "x" * 3000, [], [1], {}, {"a": 1})


@pytest.mark.parametrize("kind", SHIPPED)
def test_junk_in_any_value_is_refused_or_shown_but_never_an_error_of_ours(
    kind: str, api: Api, smtp_server: SmtpServer
) -> None:
    samples = registry.get(kind).samples("en").values()
    values = {name: value for sample in samples for name, value in sample.items()}
    plain = json.loads(json.dumps(values, default=as_json))
    for name in plain:
        for junk in _JUNK:
            given = {"to": TO, "template": kind, "context": {**plain, name: junk}}
            response = api.post("/send/template", given, X_Dry_Run="1")
            assert response.status_code in (200, 422), (name, junk, response.content)
            if response.status_code == 422:
                pointers = [fault["pointer"] for fault in response.json()["errors"]]
                assert pointers == [f"/context/{name}"], (name, junk)
