"""Mails whose texts are the project's own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.template import TemplateDoesNotExist
from pytest_django.fixtures import Settings

from django_authmail.exceptions import (
    InvalidContext,
    MissingName,
    RepeatedName,
    UnknownName,
    UnsafeHeader,
)
from django_authmail.notifiers import OTPNotifier, TemplateNotifier

TO = "hong@example.org"


def test_strings_are_filled_and_escaped_where_they_are_html() -> None:
    message = TemplateNotifier(
        subject="Order {order}: {total:,} won",
        html_template="<style>p {{ color: red }}</style><p>{name}: {total:,}</p>",
        text_template="{name}: {total:,}",
    ).build(TO, name="<b>O'Brien</b>", order="42", total=50_000, locale="en")
    assert message.subject == "Order 42: 50,000 won"
    assert message.html_body == (
        "<style>p { color: red }</style><p>&lt;b&gt;O&#x27;Brien&lt;/b&gt;: 50,000</p>"
    )
    assert message.text_body == "<b>O'Brien</b>: 50,000"
    assert message.kind == "template"


def test_without_a_text_template_the_text_is_that_of_the_html() -> None:
    notifier = TemplateNotifier(subject="Hi", html_template='<p>{a}</p><a href="{url}">Go</a>')
    message = notifier.build(TO, a="<x>", url="https://example.com/?a=1&b=2")
    assert message.text_body == "<x>\nGo (https://example.com/?a=1&b=2)\n"


def test_escaping_can_be_left_out_by_name() -> None:
    notifier = TemplateNotifier(subject="Hi", html_template="<p>{a}</p>", autoescape=False)
    assert notifier.build(TO, a="<b>bold</b>").html_body == "<p><b>bold</b></p>"


def test_a_value_cannot_hide_or_turn_around_what_it_is() -> None:
    notifier = TemplateNotifier(subject="{a}", html_template="{a}", text_template="{a}")
    message = notifier.build(TO, a="cod\u202e\u200be\u0000.")
    assert (message.subject, message.html_body, message.text_body) == ("code.",) * 3


def test_a_subject_stays_one_line() -> None:
    notifier = TemplateNotifier(subject="{a}", html_template="{a}")
    with pytest.raises(UnsafeHeader):
        notifier.build(TO, a="Hi\r\nBcc: evil@example.org")


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({}, MissingName, "^name: this value is missing; it takes name"),
        (
            {"name": "x", "names": 1},
            UnknownName,
            "^names: there is no such value; did you mean name?",
        ),
        ({"name": "x", "total": 1}, UnknownName, "^total: there is no such value"),
        ({"context": {"name": "x"}, "name": "y"}, RepeatedName, "^name: this value is given twice"),
    ],
)
def test_a_missing_or_unknown_value_fails_at_once(
    values: dict[str, Any], error: type[Exception], said: str
) -> None:
    notifier = TemplateNotifier(subject="Hi", html_template="{name}")
    with pytest.raises(error, match=said):
        notifier.build(TO, **values)


def test_names_that_options_have_are_given_apart() -> None:
    notifier = TemplateNotifier(subject="{locale} {to} {context}", html_template="{place} {a}")
    values = {"locale": "Seoul", "to": "you", "context": "c", "place": "here"}
    message = notifier.build(TO, values, a=1, locale="ko", expires_in=timedelta(hours=1))
    assert message.subject == "Seoul you c"
    assert message.html_body == "here 1"
    assert message.locale == "ko"
    assert message.expires_in == timedelta(hours=1)
    by_name = notifier.build(TO, context=values, a=1)
    assert by_name.subject == message.subject


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return tmp_path / "shop"


@pytest.fixture(params=["django", "jinja2"])
def engine(request: pytest.FixtureRequest, folder: Path, settings: Settings) -> str:
    """Make the project's engine Django's or Jinja2, with the templates in `folder`."""
    backend = {
        "django": "django.template.backends.django.DjangoTemplates",
        "jinja2": "django.template.backends.jinja2.Jinja2",
    }[request.param]
    settings.TEMPLATES = [{"BACKEND": backend, "DIRS": [str(folder.parent)], "APP_DIRS": False}]
    return str(request.param)


FILES: dict[str, Any] = {
    "subject": "shop/subject.txt",
    "text": "shop/body.txt",
    "html": "shop/body.html",
}


def write(folder: Path, subject: str = "Hi", text: str = "Text", html: str = "<p>Text</p>") -> None:
    (folder / "subject.txt").write_text(subject)
    (folder / "body.txt").write_text(text)
    (folder / "body.html").write_text(html)


def test_files_are_templates_of_the_projects_engine(engine: str, folder: Path) -> None:
    write(
        folder,
        "For {{ name }}\n",
        "{{ name }} {% for i in items %}{{ i }},{% endfor %} {{ brand.name }} {{ locale }}",
        "<title>{{ subject }}</title><p>{{ name }}</p>",
    )
    notifier = TemplateNotifier.from_files(**FILES)
    message = notifier.build(TO, {"items": [1, 2]}, name="<O'Brien>", locale="ko")
    assert message.subject == "For <O'Brien>"
    assert message.text_body == "<O'Brien> 1,2, Example ko\n"
    escaped = {"django": "&lt;O&#x27;Brien&gt;", "jinja2": "&lt;O&#39;Brien&gt;"}[engine]
    assert message.html_body == f"<title>For {escaped}</title><p>{escaped}</p>\n"


def test_files_may_leave_out_text_or_html(engine: str, folder: Path) -> None:
    write(folder)
    message = TemplateNotifier.from_files(subject=FILES["subject"], html=FILES["html"]).build(TO)
    assert (message.text_body, message.html_body) == ("Text\n", "<p>Text</p>\n")
    message = TemplateNotifier.from_files(subject=FILES["subject"], text=FILES["text"]).build(TO)
    assert (message.text_body, message.html_body) == ("Text\n", "")
    with pytest.raises(ValueError, match="takes text, html, or both"):
        TemplateNotifier.from_files(subject=FILES["subject"])


@pytest.mark.parametrize(
    "template",
    ["{{ absent }}", "{% if absent %}x{% endif %}", "{% for x in absent %}x{% endfor %}"],
)
@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_name_that_is_not_given_fails_at_once(
    engine: str, folder: Path, template: str, part: str
) -> None:
    write(folder, **{part: template})
    with pytest.raises(InvalidContext) as caught:
        TemplateNotifier.from_files(**FILES).build(TO, name="CANARY")
    assert caught.value.name == "absent"
    assert "CANARY" not in str(caught.value)


def test_a_value_that_files_do_not_use_passes(engine: str, folder: Path) -> None:
    write(folder, html="{% if vip %}{{ gift }}{% endif %}<p>Text</p>")
    message = TemplateNotifier.from_files(**FILES).build(TO, vip=False, gift="x", other="y")
    assert message.html_body == "<p>Text</p>\n"


def test_a_value_is_no_template(engine: str, folder: Path) -> None:
    write(folder, "{{ a }}", "{{ a }}", "{{ a }}")
    for value in ("{{ 7 * 7 }}", "{% debug %}", "{# x #}"):
        message = TemplateNotifier.from_files(**FILES).build(TO, a=value)
        assert message.subject == value
        assert message.text_body == f"{value}\n"


def test_a_value_of_a_file_cannot_hide_what_it_is(engine: str, folder: Path) -> None:
    write(folder, "{{ a }}", "{{ a }}", "{{ a }}")
    message = TemplateNotifier.from_files(**FILES).build(TO, a="cod\u202e\u200be\u0000.")
    assert (message.subject, message.text_body) == ("code.", "code.\n")
    assert message.html_body == "code.\n"


@pytest.mark.parametrize("name", ["brand", "lifetime", "origin", "locale"])
def test_no_value_takes_the_place_of_what_every_mail_has(
    engine: str, folder: Path, name: str
) -> None:
    write(folder)
    with pytest.raises(InvalidContext) as caught:
        TemplateNotifier.from_files(**FILES).build(TO, {name: "CANARY"})
    assert caught.value.name == name
    assert "CANARY" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(engine: str, folder: Path) -> None:
    write(folder)
    with pytest.raises(TemplateDoesNotExist, match="shop/nowhere.html"):
        TemplateNotifier.from_files(subject=FILES["subject"], html="shop/nowhere.html").build(TO)


def test_format_currency_is_there(engine: str, folder: Path) -> None:
    write(
        folder,
        html={
            "django": "{% load authmail %}{{ sum|format_currency:'KRW' }}",
            "jinja2": "{{ sum|format_currency('KRW') }}",
        }[engine],
    )
    message = TemplateNotifier.from_files(**FILES).build(TO, sum=50_000, locale="ko")
    assert message.html_body == "50,000원\n"


def test_format_currency_names_the_value_that_is_not_given(engine: str, folder: Path) -> None:
    write(
        folder,
        html={
            "django": "{% load authmail %}{{ total|format_currency:'KRW' }}",
            "jinja2": "{{ total|format_currency('KRW') }}",
        }[engine],
    )
    with pytest.raises(InvalidContext) as caught:
        TemplateNotifier.from_files(**FILES).build(TO)
    assert caught.value.name == "total"
    assert "the notifier does not give it" in caught.value.problem


def test_jinja2_replaces_the_templates_of_a_kind(
    folder: Path, settings: Settings, tmp_path: Path
) -> None:
    """Where Jinja2 comes first in TEMPLATES it is asked first; what it has not is Django's."""
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.jinja2.Jinja2",
            "DIRS": [str(tmp_path)],
            "APP_DIRS": False,
        },
        {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True},
    ]
    (tmp_path / "authmail" / "otp").mkdir(parents=True)
    (tmp_path / "authmail" / "otp" / "body.html").write_text("<p>{{ code }} {{ lifetime }}</p>")
    message = OTPNotifier().build(TO, "", "482901", locale="en")
    assert message.html_body == "<p>482901 5 minutes</p>\n"
    assert message.subject == "Your verification code"
    assert "Enter this code" in message.text_body
