"""A readable text part from HTML, for mails that were written in HTML only.

Not by `html.parser`: in many a Python that is in use it takes minutes for a megabyte of `<!--`
(CVE-2025-6069), and a caller writes that megabyte. Here each character is looked at a few times,
because what is never closed hides all that follows it, as in a browser.
"""

from __future__ import annotations

import re
from html import unescape

_BLOCKS = frozenset(
    "address article blockquote br div dl dt dd footer h1 h2 h3 h4 h5 h6 header hr li ol p "
    "pre section table tr ul".split()
)
# HTML, 13.2.5. Possessive: nothing is read again. A quote that is never closed is part of a name;
# there is one such of each kind at most, the last.
_ATTRIBUTE = (
    r"(?P<name>[^\s/>][^\s/>=]*+)"
    r"(?:\s*+=\s*+(?:\"(?P<double>[^\"]*+)\"|'(?P<single>[^']*+)'|(?P<bare>[^\s>\"'][^\s>]*+)))?+"
)
_ATTRIBUTES = re.compile(_ATTRIBUTE)
_TAG = re.compile(
    rf"<(?P<end>/?)(?P<tag>[A-Za-z][^\s/>]*+)"
    rf"(?P<attributes>(?:[\s/]++|{re.sub(r'[?]P<[a-z]+>', '?:', _ATTRIBUTE)})*+)>"
)
_TAG_OPEN = re.compile("</?[A-Za-z]")
# Python refuses to read a number of more than 4,300 digits, zeros before it among them.
_LONG_NUMBER = re.compile("&#([0-9]{8,})")
_COMMENT_END = re.compile("--!?>")
# What is inside of these is no HTML, and not shown.
_RAW = {
    tag: re.compile(rf"</{tag}(?=[\s/>])", re.IGNORECASE) for tag in ("script", "style", "title")
}


def text_of(html: str, *, with_addresses: bool = True) -> str:
    """Return the text of `html`: one line per block, links with their address behind them.

    Without addresses, a link is what its reader sees of it.
    """
    text = _Text(with_addresses)
    text.read(html)
    lines = (re.sub(r"[ \t\r\f\v]+", " ", line).strip() for line in text.lines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Text:
    def __init__(self, with_addresses: bool) -> None:
        self._pieces: list[str] = []
        self._with_addresses = with_addresses
        self._is_hidden = False
        self._link: tuple[str, int] | None = None

    def read(self, html: str) -> None:
        at = 0
        while (start := html.find("<", at)) >= 0:
            self._data(html[at:start])
            after = self._markup(html, start)
            if after < 0:
                break
            at = after
        else:
            self._data(html[at:])
        self._end_link()

    def lines(self) -> list[str]:
        return "".join(self._pieces).split("\n")

    def _markup(self, html: str, start: int) -> int:
        """Take what begins with the `<` at `start`; return where it ends, or -1: nowhere."""
        if html.startswith("<!--", start):
            comment_end = _COMMENT_END.search(html, start + 2)
            return comment_end.end() if comment_end else -1
        if tag := _TAG.match(html, start):
            name = tag["tag"].lower()
            if tag["end"]:
                self._end(name)
                return tag.end()
            self._begin(name, tag["attributes"])
            if name not in _RAW:
                return tag.end()
            closing = _RAW[name].search(html, tag.end())
            return closing.start() if closing else -1
        if _TAG_OPEN.match(html, start):
            # To look for a ">" would find those in its quotes, and read the rest anew for each.
            return -1
        if html[start + 1 : start + 2] in ("!", "?", "/"):
            # A declaration, or a tag that is none.
            end = html.find(">", start)
            return end + 1 if end >= 0 else -1
        self._data("<")
        return start + 1

    def _begin(self, tag: str, attributes: str) -> None:
        if tag == "head":
            self._is_hidden = True
        elif tag == "body":
            self._is_hidden = False
        elif tag in _BLOCKS:
            # No head has one: it has ended, and nothing said so.
            self._is_hidden = False
            self._pieces.append("\n")
        elif tag in ("td", "th"):
            self._pieces.append(" ")
        elif tag == "a":
            self._end_link()
            self._link = (_href(attributes), len(self._pieces))

    def _end(self, tag: str) -> None:
        if tag == "head":
            self._is_hidden = False
        elif tag in _BLOCKS:
            self._pieces.append("\n")
        elif tag == "a":
            self._end_link()

    def _end_link(self) -> None:
        # There is no link within a link, so that no text is looked at twice.
        if self._link is None:
            return
        (href, start), self._link = self._link, None
        if self._with_addresses and href and href != "".join(self._pieces[start:]).strip():
            self._pieces.append(f" ({href})")

    def _data(self, data: str) -> None:
        if data and not self._is_hidden:
            self._pieces.append(_unescaped(data).replace("\n", " "))


def _href(attributes: str) -> str:
    for attribute in _ATTRIBUTES.finditer(attributes):
        if attribute["name"].lower() == "href":
            value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
            return _unescaped(value).strip()
    return ""


def _unescaped(text: str) -> str:
    # No character has a number of more than seven digits; of eight, they are as good as of more.
    return unescape(_LONG_NUMBER.sub(lambda found: f"&#{found[1].lstrip('0')[:8] or 0}", text))
