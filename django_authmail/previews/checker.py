"""What is wrong with a mail, or may go wrong: a message in, findings out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from html.parser import HTMLParser
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from django_authmail.message import AuthMessage
from django_authmail.notifiers.values import visible_text
from django_authmail.plaintext import text_of
from django_authmail.previews.contrast import too_weak

#: Where Gmail cuts a mail and hides the rest behind a link.
CLIPPED_BYTES = 102 * 1024
#: Ten segments of TCP: the mail is there after one round trip (RFC 6928).
ONE_WINDOW_BYTES = 14_000

_URL_IN_TEXT = re.compile(r"https?://[^\s<>\"']+")
_STYLE_URL = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])([^'\")\s]+)", re.IGNORECASE)
_LOADING = frozenset(("src", "srcset", "background", "poster", "data"))
_ACTIVE = frozenset("script form iframe frame object embed applet base".split())
_LOCAL_SCHEMES = ("cid:", "data:")
_LETTERS = re.compile(r"[^\W\d_]{2,}")


class Level(StrEnum):
    """How bad it is."""

    #: Recipients would see something broken, or something that must not be in a mail.
    ERROR = "error"
    #: It works, and could be better.
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the checker found."""

    level: Level
    #: The word for it; these are listed in docs/previews.md.
    code: str
    detail: str


def check(message: AuthMessage, *, base_url: str = "") -> list[Finding]:
    """Return what is wrong with a mail; details are in the active language.

    `base_url` is what links may begin with; without one, links are not compared.
    """
    page = _Page()
    page.feed(message.html_body)
    page.close()
    return [
        *_parts(message, page),
        *_size(message),
        *_content(page),
        *_links({*page.links, *_URL_IN_TEXT.findall(message.text_body)}, base_url),
        *_contrast(message.html_body),
    ]


def untranslated(message: AuthMessage, original: AuthMessage, values: object = ()) -> list[Finding]:
    """Return a finding for each line of a mail that is still in the language of `original`.

    `values` are what both were made from; they are not text to translate.
    """
    known = sorted(_strings(values), key=len, reverse=True)
    theirs = set(_lines(original))
    left = {
        line: None
        for line in _lines(message)
        if line in theirs and _LETTERS.search(_without(line, known))
    }
    detail = _("This line is the same in both languages: %(line)s")
    return [
        Finding(Level.ERROR, "missing_translation", detail % {"line": line[:80]}) for line in left
    ]


def _parts(message: AuthMessage, page: _Page) -> Iterator[Finding]:
    if not message.text_body.strip():
        yield Finding(
            Level.ERROR, "no_text_part", _("The mail has no text part. Some programs show only it.")
        )
    if not message.html_body:
        return
    if not page.language:
        yield Finding(
            Level.WARNING,
            "no_language",
            _("The HTML names no language (lang), by which screen readers choose a voice."),
        )
    if page.images_without_text:
        yield Finding(
            Level.WARNING,
            "no_alternative",
            _("An image has no text (alt) for those who do not see it."),
        )


def _size(message: AuthMessage) -> Iterator[Finding]:
    size = len(replace(message, attachments=()).as_bytes())
    if size > CLIPPED_BYTES:
        yield Finding(
            Level.ERROR,
            "clipped",
            _("It has %(size)d kB without attachments; Gmail cuts a mail at 102 kB.")
            % {"size": size // 1024},
        )
    elif size > ONE_WINDOW_BYTES:
        yield Finding(
            Level.WARNING,
            "large",
            _("It has %(size)d kB without attachments; up to 14 kB arrive in one round trip.")
            % {"size": size // 1024},
        )


def _content(page: _Page) -> Iterator[Finding]:
    for place in page.remote:
        yield Finding(
            Level.ERROR,
            "remote_content",
            _("It loads something from elsewhere, which tells a server who reads it: %(place)s")
            % {"place": place},
        )
    for tag in page.active:
        yield Finding(
            Level.ERROR,
            "active_content",
            _("Mail programs refuse or remove this: %(tag)s") % {"tag": tag},
        )


def _links(links: set[str], base_url: str) -> Iterator[Finding]:
    for link in sorted(links):
        parts = urlsplit(link)
        if parts.scheme not in ("http", "https"):
            continue  # mailto:, tel:, and what is no address at all
        own = urlsplit(base_url)
        if base_url and (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
            yield Finding(
                Level.ERROR,
                "link_host",
                _("A link leads to %(link)s, not to AUTHMAIL_LINK_BASE_URL (%(base)s).")
                % {"link": f"{parts.scheme}://{parts.netloc}", "base": base_url},
            )


def _contrast(html: str) -> Iterator[Finding]:
    for weak in too_weak(html):
        yield Finding(
            Level.WARNING,
            "low_contrast",
            _("%(text)s on %(ground)s has a contrast of %(ratio).1f; %(wanted).1f is readable.")
            % {
                "text": weak.text,
                "ground": f"{weak.ground} ({weak.scheme})",
                "ratio": weak.ratio,
                "wanted": weak.wanted,
            },
        )


class _Page(HTMLParser):
    """What a mail's HTML loads, runs, and leads to."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.language = ""
        self.links: list[str] = []
        self.remote: list[str] = []
        self.active: list[str] = []
        self.images_without_text = False
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = given.get("lang", "")
        if tag in ("a", "area") and "href" in given:
            self.links.append(given["href"].strip())
        if tag == "link" and "href" in given:
            self._note_remote(tag, given["href"])
        if tag == "img" and "alt" not in given:
            self.images_without_text = True
        if tag in _ACTIVE or any(name.startswith("on") for name in given):
            self.active.append(f"<{tag}>")
        for name in _LOADING & given.keys():
            self._note_remote(tag, given[name])
        self._look_at_style(tag, given.get("style", ""))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self._look_at_style("style", data)

    def _look_at_style(self, tag: str, style: str) -> None:
        for address in _STYLE_URL.findall(style):
            self._note_remote(tag, address)

    def _note_remote(self, tag: str, address: str) -> None:
        if not address.strip().lower().startswith(_LOCAL_SCHEMES):
            self.remote.append(f"<{tag}> {address.strip()[:80]}")


def _lines(message: AuthMessage) -> list[str]:
    """Return what a reader sees of the subject and of both parts, line by line."""
    html = text_of(message.html_body, with_addresses=False)
    shown = [message.subject, *message.text_body.splitlines(), *visible_text(html).splitlines()]
    return [line.strip() for line in shown]


def _without(line: str, known: list[str]) -> str:
    line = _URL_IN_TEXT.sub("", line)
    for value in known:
        line = line.replace(value, "")
    return line


def _strings(values: object) -> Iterator[str]:
    """Yield every string in a structure of mappings, sequences and dataclasses' values."""
    if isinstance(values, str):
        if values:
            yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from _strings(value)
    elif isinstance(values, (list, tuple, set, frozenset)):
        for value in values:
            yield from _strings(value)
