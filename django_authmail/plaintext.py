"""A readable text part from HTML, for mails that were written in HTML only."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset(
    "address article blockquote br div dl dt dd footer h1 h2 h3 h4 h5 h6 header hr li ol p "
    "pre section table tr ul".split()
)
_HIDDEN = frozenset(("head", "script", "style", "title"))


def text_of(html: str, *, with_addresses: bool = True) -> str:
    """Return the text of `html`: one line per block, links with their address behind them.

    Without addresses, a link is what its reader sees of it.
    """
    parser = _Text(with_addresses)
    parser.feed(html)
    parser.close()
    lines = (re.sub(r"[ \t\r\f\v]+", " ", line).strip() for line in parser.text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


class _Text(HTMLParser):
    def __init__(self, with_addresses: bool) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self._with_addresses = with_addresses
        self._hidden = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HIDDEN:
            self._hidden += 1
        elif tag in _BLOCKS:
            self.text += "\n"
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.text)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        elif tag in _BLOCKS:
            self.text += "\n"
        elif tag == "a" and self._links:
            href, start = self._links.pop()
            if self._with_addresses and href and href != self.text[start:].strip():
                self.text += f" ({href})"

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data.replace("\n", " ")
