"""Rules for the HTML of every kind: what mail programs, eyes and screen readers need."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from django_authmail.message import AuthMessage
from django_authmail.notifiers import OTPNotifier

#: One TCP window of ten segments: the mail is there after one round trip.
MAX_BYTES = 14_000

LOCALES = ["ko", "en"]
_COLOUR = re.compile(r"#[0-9a-f]{6}")


class Page(HTMLParser):
    """The tags of a mail with their attributes, and its visible text by element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def otp(locale: str, user_name: str = "홍길동") -> AuthMessage:
    return OTPNotifier().build(
        "hong@example.org", user_name=user_name, code="ABCD-EFGH-12", locale=locale
    )


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("user_name", ["", "홍길동", "가" * 100, "<&>" * 33])
def test_a_mail_fits_one_window(locale: str, user_name: str) -> None:
    assert len(otp(locale, user_name).as_bytes()) < MAX_BYTES


@pytest.mark.parametrize("locale", LOCALES)
def test_nothing_is_loaded_tracked_or_run(locale: str) -> None:
    html = otp(locale).html_body
    page = Page(html)
    assert not page.all("script", "img", "link", "iframe", "form", "object", "a", "base")
    assert not re.search(r"url\(|https?:|//|@import", html)
    assert not any(name.startswith("on") for _, found in page.tags for name in found)


@pytest.mark.parametrize("locale", LOCALES)
def test_the_page_is_well_formed_and_has_a_language(locale: str) -> None:
    page = Page(otp(locale).html_body)
    assert page.open == []
    assert page.all("html") == [{"lang": locale}]
    assert len(page.all("h1")) == 1
    assert all(table["role"] == "presentation" for table in page.all("table"))


@pytest.mark.parametrize("locale", LOCALES)
def test_one_column_of_at_most_600_pixels(locale: str) -> None:
    widths = re.findall(r"max-width: (\d+)px;", otp(locale).html_body)
    assert widths
    assert max(map(int, widths)) <= 600


@pytest.mark.parametrize("locale", LOCALES)
def test_the_code_is_large_selectable_text(locale: str) -> None:
    html = otp(locale).html_body
    (style,) = re.findall(r'style="([^"]*)">ABCD-EFGH-12</span>', html)
    assert "user-select: all" in style
    assert int(re.findall(r"font-size: (\d+)px", style)[0]) >= 28
    on_phones = re.findall(r"\.am-code { font-size: (\d+)px", html)
    assert [size for size in on_phones if int(size) < 28] == []


@pytest.mark.parametrize("locale", LOCALES)
def test_the_line_in_the_list_of_mails_does_not_show_the_code(locale: str) -> None:
    html = otp(locale).html_body
    preheader, _, body = html.partition("<table")
    shown = re.sub(r"<style>.*</style>|<title>.*</title>|<[^>]+>", "", preheader, flags=re.S)
    assert "ABCD" not in preheader
    assert len(re.findall("&#847;", shown)) >= 50
    assert "ABCD" in body


def test_both_colour_schemes_are_readable() -> None:
    """WCAG 2.1 AA, 1.4.3: 4.5 to 1 for text."""
    html = otp("en").html_body
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
