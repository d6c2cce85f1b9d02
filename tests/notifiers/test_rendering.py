"""Templates: where they are found, what they may use, what is escaped."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from django.template import TemplateDoesNotExist
from pytest_django.fixtures import Settings

from django_authmail.exceptions import InvalidContext, UnsafeHeader
from django_authmail.notifiers.brand import Brand
from django_authmail.notifiers.rendering import Rendered, Templates
from django_authmail.notifiers.rendering import render as render_templates
from django_authmail.secret import Secret

Write = Callable[..., None]

OTP_VALUES = {
    "user_name": "",
    "code": Secret("1234"),
    "code_in_subject": False,
    "autofill": "",
    "lifetime": "x",
    "locale": "en",
    "origin": (),
    "brand": Brand(name="S"),
}
VALUES = {"user_name": "<b>O'Brien</b>", "code": Secret("CANARY-1")}


def render(kind: str, values: Mapping[str, object], *, locale: str) -> Rendered:
    return render_templates(Templates.of(f"authmail/{kind}"), values, locale=locale)


@pytest.fixture
def write(tmp_path: Path, settings: Settings) -> Write:
    """Write templates of a kind `mine` into a project's folder."""
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [str(tmp_path)],
            "APP_DIRS": True,
        }
    ]

    def write(subject: str = "Hi", text: str = "Text", html: str | None = None) -> None:
        folder = tmp_path / "authmail" / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "subject.txt").write_text(subject)
        (folder / "body.txt").write_text(text)
        if html is not None:
            (folder / "body.html").write_text(html)

    return write


def test_text_is_not_escaped_and_html_is(write: Write) -> None:
    write("For {{ user_name }}\n", "{{ user_name }}", "<p>{{ user_name }}</p>")
    rendered = render("mine", VALUES, locale="en")
    assert rendered.subject == "For <b>O'Brien</b>"
    assert rendered.text_body == "<b>O'Brien</b>\n"
    assert rendered.html_body == "<p>&lt;b&gt;O&#x27;Brien&lt;/b&gt;</p>\n"


def test_translated_blocks_escape_alike(write: Write) -> None:
    block = "{% load i18n %}{% blocktranslate %}X {{ user_name }}{% endblocktranslate %}"
    write(text=block, html=block)
    rendered = render("mine", VALUES, locale="en")
    assert rendered.text_body == "X <b>O'Brien</b>\n"
    assert rendered.html_body == "X &lt;b&gt;O&#x27;Brien&lt;/b&gt;\n"


def test_a_kind_may_be_text_only(write: Write) -> None:
    write()
    assert render("mine", VALUES, locale="en").html_body == ""


def test_html_that_extends_a_missing_template_is_no_text_only_kind(write: Write) -> None:
    write(html='{% extends "authmail/nowhere.html" %}')
    with pytest.raises(TemplateDoesNotExist, match="nowhere"):
        render("mine", VALUES, locale="en")


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("{{ absent }}", id="printed"),
        pytest.param("{{ absent|default:'x' }}", id="printed with a default"),
        pytest.param("{% if absent %}x{% endif %}", id="in a condition"),
        pytest.param("{% if user_name and not absent %}x{% endif %}", id="in a longer condition"),
        pytest.param("{% for x in absent %}x{% endfor %}", id="in a loop"),
        pytest.param("{% with x=absent %}{{ x }}{% endwith %}", id="under another name"),
        pytest.param(
            "{% load i18n %}{% blocktranslate %}X {{ absent }}{% endblocktranslate %}",
            id="in a translated block",
        ),
    ],
)
@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_name_that_is_not_given_fails_at_once(write: Write, template: str, part: str) -> None:
    write(**{part: template})
    with pytest.raises(InvalidContext) as caught:
        render("mine", VALUES, locale="en")
    assert caught.value.name == "absent"
    file = {"subject": "subject.txt", "text": "body.txt", "html": "body.html"}[part]
    assert caught.value.problem.startswith(f"authmail/mine/{file} uses this name")


def test_an_attribute_that_is_not_there_fails_at_once(write: Write) -> None:
    write(text="{{ user_name.first }}")
    with pytest.raises(InvalidContext, match="user_name.first"):
        render("mine", VALUES, locale="en")


def test_loops_and_own_names_are_no_missing_names(write: Write) -> None:
    write(text="{% for c in code %}{{ forloop.counter }}{{ c }}{% endfor %}")
    assert render("mine", VALUES, locale="en").text_body.startswith("1C2A3N")


def test_the_error_of_a_template_shows_no_value(write: Write) -> None:
    write(text="{{ code }} {{ absent }}")
    with pytest.raises(InvalidContext) as caught:
        render("mine", VALUES, locale="en")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = "".join(shown.format())
    assert "rendering.py" in frames
    assert "CANARY" not in frames


def test_a_subject_is_one_line(write: Write) -> None:
    write(subject="one\ntwo")
    with pytest.raises(UnsafeHeader, match="subject contains a line break, NUL"):
        render("mine", VALUES, locale="en")


def test_a_template_is_found_without_app_dirs(settings: Settings) -> None:
    settings.TEMPLATES = []
    assert "1234" in render("otp", OTP_VALUES, locale="en").html_body


def test_a_project_replaces_one_block(write: Write, tmp_path: Path) -> None:
    write()
    (tmp_path / "authmail" / "otp").mkdir()
    (tmp_path / "authmail" / "otp" / "subject.txt").write_text("Mine")
    rendered = render("otp", OTP_VALUES, locale="en")
    assert rendered.subject == "Mine"
    assert "<title>Mine</title>" in rendered.html_body


def test_with_debug_a_changed_template_shows_at_once(write: Write, settings: Settings) -> None:
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "OPTIONS": {"debug": True}}]
    write(text="one")
    assert render("mine", VALUES, locale="en").text_body == "one\n"
    write(text="two")
    assert render("mine", VALUES, locale="en").text_body == "two\n"


def test_a_repr_shows_nothing() -> None:
    assert "CANARY" not in repr(render("otp", OTP_VALUES | VALUES, locale="en"))


WITHOUT_TRANSLATIONS = """
import django
from django.conf import settings

settings.configure(
    USE_I18N=False,
    LANGUAGE_CODE="zh-cn",  # Django has no catalogue of this name
    SECRET_KEY="x" * 50,
    DEFAULT_FROM_EMAIL="no-reply@example.com",
)
django.setup()
from django_authmail.notifiers import OTPNotifier

print(OTPNotifier().build("kim@example.com", user_name="Kim", code="482901").text_body)
"""


def test_a_project_without_translations_needs_no_catalogue() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TRANSLATIONS], capture_output=True, text=True
    )
    assert "Hello Kim," in done.stdout, done.stderr
