"""Rules for the HTML of every kind: what mail programs, eyes and screen readers need."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from django_authmail import notifiers
from django_authmail.message import AuthMessage
from django_authmail.notifiers import OTPNotifier
from django_authmail.notifiers.samples import SAMPLE_CODE, SAMPLE_TOKEN
from tests.kinds import SHIPPED
from tests.notifiers.page import LOCALES, Page

#: One TCP window of ten segments: the mail is there after one round trip.
MAX_BYTES = 14_000

_COLOUR = re.compile(r"#[0-9a-f]{6}")


def samples() -> list[Any]:
    """Return every mail of the package: each kind, in each language, with each of its samples."""
    return [
        pytest.param(kind, locale, name, id=f"{kind}-{locale}-{name}")
        for kind in SHIPPED
        for locale in LOCALES
        for name in notifiers.get(kind).samples(locale)
    ]


@cache
def built(kind: str, locale: str, name: str) -> AuthMessage:
    notifier = notifiers.get(kind)
    values = notifier.samples(locale)[name]
    return notifier.for_samples().build("hong@example.org", locale=locale, **values)


@pytest.fixture
def message(kind: str, locale: str, name: str) -> AuthMessage:
    return built(kind, locale, name)


every_mail = pytest.mark.parametrize(("kind", "locale", "name"), samples())


@every_mail
def test_a_mail_fits_one_window(message: AuthMessage) -> None:
    assert len(message.as_bytes()) < MAX_BYTES


@every_mail
def test_nothing_is_loaded_tracked_or_run(message: AuthMessage) -> None:
    page = Page(message.html_body)
    assert not page.all("script", "img", "link", "iframe", "form", "object", "base")
    assert not re.search(r"url\(|@import", message.html_body)
    assert not any(name.startswith("on") for _, found in page.tags for name in found)
    for link in page.all("a"):
        assert (link["href"] or "").startswith("https://app.example.com/")


@every_mail
def test_the_page_is_well_formed_and_has_a_language(message: AuthMessage) -> None:
    page = Page(message.html_body)
    assert page.open == []
    assert page.all("html") == [{"lang": message.locale}]
    assert len(page.all("h1")) == 1
    assert all(table["role"] == "presentation" for table in page.all("table"))


@every_mail
def test_one_column_of_at_most_600_pixels(message: AuthMessage) -> None:
    widths = re.findall(r"max-width: (\d+)px;", message.html_body)
    assert widths
    assert max(map(int, widths)) <= 600


@every_mail
def test_without_style_sheets_the_mail_is_styled_all_the_same(message: AuthMessage) -> None:
    """Some mail programs drop the style element: what is in it is for phones and dark mode."""
    page = Page(message.html_body)
    styled = [found for tag, found in page.tags if tag in ("h1", "p", "td", "a", "span")]
    assert [found for found in styled if "style" not in found and "aria-hidden" not in found] == []


@every_mail
def test_the_line_in_the_list_of_mails_has_no_secret(message: AuthMessage) -> None:
    preheader, _, body = message.html_body.partition("<table")
    shown = re.sub(r"<style>.*</style>|<title>.*</title>|<[^>]+>", "", preheader, flags=re.S)
    assert SAMPLE_CODE not in preheader
    assert SAMPLE_TOKEN not in preheader
    assert len(re.findall("&#847;", shown)) >= 50
    assert "<h1" in body


@every_mail
def test_the_text_part_stands_alone(message: AuthMessage) -> None:
    """A code or a link has a line of its own, to be selected or opened as a whole."""
    lines = message.text_body.splitlines()
    assert not re.search("[<>]|&[a-z]+;", message.text_body)
    assert "\n\n\n" not in message.text_body
    for secret in (SAMPLE_CODE, SAMPLE_TOKEN):
        found = [line for line in lines if secret in line]
        assert [line for line in found if " " in line] == []
        assert bool(found) == (secret in message.html_body)


@every_mail
def test_no_text_is_left_untranslated(message: AuthMessage, name: str) -> None:
    values = notifiers.get(message.kind).samples(message.locale)[name]
    text = f"{message.subject}\n{message.text_body}"
    for value in [*values.values(), "Example", SAMPLE_TOKEN]:
        text = text.replace(str(value), "")
    text = re.sub(r"https://\S*|\bUTC\b|\S+@[a-z.]+", "", text)
    if message.locale == "ko":
        assert not re.search("[A-Za-z]{3,}", text)
    else:
        assert not re.search("[가-힣]", text)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_code_is_large_selectable_text(locale: str) -> None:
    html = OTPNotifier().build("a@example.org", "", "ABCD-EFGH-12", locale=locale).html_body
    (style,) = re.findall(r'style="([^"]*)">ABCD-EFGH-12</span>', html)
    assert "user-select: all" in style
    assert int(re.findall(r"font-size: (\d+)px", style)[0]) >= 28
    on_phones = re.findall(r"\.am-code { font-size: (\d+)px", html)
    assert [size for size in on_phones if int(size) < 28] == []


def test_both_colour_schemes_are_readable() -> None:
    """WCAG 2.1 AA, 1.4.3: 4.5 to 1 for text."""
    html = OTPNotifier().build("a@example.org", "", "1234", locale="en").html_body
    light = {
        "page": _colours(r'class="am-outer"[^>]*background-color: (#\w+)', html),
        "card": _colours(r'class="am-card"[^>]*background-color: (#\w+)', html),
        "panel": _colours(r'class="am-panel"[^>]*background-color: (#\w+)', html),
        "text": _colours(r'class="am-text"[^>]*[ ;]color: (#\w+)', html),
        "soft": _colours(r'class="am-soft[^>]*[ ;]color: (#\w+)', html),
        "code": _colours(r'class="am-code"[^>]*[ ;]color: (#\w+)', html),
    }
    dark = {
        "page": _colours(r"\.am-outer { background-color: (#\w+)", html),
        "card": _colours(r"\.am-card { background-color: (#\w+)", html),
        "panel": _colours(r"\.am-panel { background-color: (#\w+)", html),
        "text": _colours(r"\.am-text { color: (#\w+)", html),
        "soft": _colours(r"\.am-soft { color: (#\w+)", html),
        "code": _colours(r"\.am-code { color: (#\w+)", html),
    }
    pairs = [(t, g) for t in ("text", "soft") for g in ("page", "card")] + [("code", "panel")]
    for scheme in (light, dark):
        for text, ground in pairs:
            for one in scheme[text]:
                for other in scheme[ground]:
                    assert _contrast(one, other) >= 4.5, (text, ground, one, other)


def _colours(pattern: str, html: str) -> set[str]:
    found = set(re.findall(pattern, html))
    assert found, pattern
    assert all(map(_COLOUR.fullmatch, found))
    return found


def _contrast(one: str, other: str) -> float:
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
