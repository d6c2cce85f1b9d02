"""Which text of a mail is too weak to read, in the light and in the dark (WCAG 2.1 AA, 1.4.3).

Mails carry their colours in `style` attributes, and those of the dark in classes within
`@media (prefers-color-scheme: dark)`. Colours that are not written as #rrggbb are not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser

from django_authmail.notifiers.brand import luminance

NORMAL_TEXT = 4.5
#: From 24 px on, and bold from 18.66 px (14 points) on.
LARGE_TEXT = 3.0

_DARK = re.compile(r"@media[^{]*prefers-color-scheme:\s*dark[^{]*\{((?:[^{}]*\{[^{}]*\})*)[^{}]*\}")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_HEX = re.compile("#[0-9a-f]{6}")
_PIXELS = re.compile(r"([\d.]+)px")
_VOID = frozenset("area br col hr img input link meta source wbr".split())
_BOLD = frozenset(("b", "strong", "h1", "h2", "h3", "th"))
_UNSEEN = frozenset(("head", "style", "title", "script"))

#: What mail programs begin with: text, ground, links.
_DEFAULTS = {"light": ("#000000", "#ffffff", "#0000ee"), "dark": ("#ffffff", "#121212", "#9e9eff")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weak:
    """A pair of colours that text has somewhere in a mail."""

    scheme: str
    text: str
    ground: str
    ratio: float
    wanted: float


def too_weak(html: str) -> list[Weak]:
    """Return the pairs of colours whose contrast is too low, each once."""
    found: dict[Weak, None] = {}
    dark = dict(_dark_rules(html))
    for scheme, rules in (("light", {}), ("dark", dark)):
        if scheme == "dark" and not dark:
            continue  # such a mail is shown in its light colours, or inverted by the program
        page = _Colours(scheme, rules)
        page.feed(html)
        page.close()
        found.update(page.weak)
    return list(found)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@dataclass(frozen=True, slots=True)
class _Style:
    text: str
    ground: str
    pixels: float = 16.0
    bold: bool = False
    seen: bool = True


class _Colours(HTMLParser):
    def __init__(self, scheme: str, rules: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(convert_charrefs=True)
        self.weak: dict[Weak, None] = {}
        self._scheme = scheme
        self._rules = rules
        text, ground, self._link = _DEFAULTS[scheme]
        self._open = [("", _Style(text, ground))]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            return
        given = {name: value or "" for name, value in attrs}
        wanted = dict(_declarations(given.get("style", "")))
        for name in given.get("class", "").split():
            wanted |= self._rules.get(name, {})
        around = self._open[-1][1]
        text = self._link if tag == "a" else around.text
        size = _PIXELS.match(wanted.get("font-size", ""))
        style = _Style(
            text=wanted.get("color", text),
            ground=wanted.get("background-color", around.ground),
            pixels=float(size[1]) if size else around.pixels,
            bold=_is_bold(tag, wanted.get("font-weight", ""), around),
            seen=around.seen and tag not in _UNSEEN and wanted.get("display") != "none",
        )
        self._open.append((tag, style))

    def handle_endtag(self, tag: str) -> None:
        # Up to its start: what is open inside ends with it.
        if any(name == tag for name, _ in self._open[1:]):
            while self._open.pop()[0] != tag:
                pass

    def handle_data(self, data: str) -> None:
        style = self._open[-1][1]
        if not data.strip() or not style.seen:
            return
        if not (_HEX.fullmatch(style.text) and _HEX.fullmatch(style.ground)):
            return
        large = style.pixels >= 24 or (style.bold and style.pixels >= 18.66)
        wanted = LARGE_TEXT if large else NORMAL_TEXT
        ratio = contrast(style.text, style.ground)
        if ratio < wanted:
            pair = Weak(
                scheme=self._scheme,
                text=style.text,
                ground=style.ground,
                ratio=ratio,
                wanted=wanted,
            )
            self.weak[pair] = None


def _is_bold(tag: str, weight: str, around: _Style) -> bool:
    if weight.isdigit():
        return int(weight) >= 700
    return weight == "bold" or tag in _BOLD or (not weight and around.bold)


def _dark_rules(html: str) -> Iterator[tuple[str, dict[str, str]]]:
    rules: dict[str, dict[str, str]] = {}
    for block in _DARK.findall(html):
        for selectors, body in _RULE.findall(block):
            for selector in selectors.split(","):
                name = selector.strip().rpartition(".")[2]
                rules.setdefault(name, {}).update(_declarations(body))
    yield from rules.items()


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style.split(";"):
        name, colon, value = declaration.partition(":")
        if colon:
            value = value.replace("!important", "").strip().lower()
            name = name.strip().lower()
            yield ("background-color" if name == "background" else name), value
