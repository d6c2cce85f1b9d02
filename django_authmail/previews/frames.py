"""A mail as a page to look at: one colour scheme at a time, or its text part."""

from __future__ import annotations

import re
from enum import StrEnum

from django.utils.html import format_html

from django_authmail.message import AuthMessage

_SCHEME = re.compile(r"\(\s*prefers-color-scheme:\s*(dark|light)\s*\)")
_DECLARED = re.compile(r"(?<=color-scheme: )light dark|(?<=content=\")light dark(?=\")")

#: Nothing of a mail may run, load, or leave the frame that shows it, whatever a template holds.
FRAME_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'self'; sandbox"
)


class Scheme(StrEnum):
    """What the reader's system prefers."""

    LIGHT = "light"
    DARK = "dark"


def html_page(message: AuthMessage, scheme: Scheme) -> str:
    """Return the HTML of a mail as it looks to readers who prefer `scheme`.

    A frame has the preference of the whole page, so that the question is answered in the mail.
    """

    def answer(query: re.Match[str]) -> str:
        return "(min-width: 0)" if query[1] == scheme else "(max-width: 0)"

    return _DECLARED.sub(scheme, _SCHEME.sub(answer, message.html_body))


def text_page(message: AuthMessage) -> str:
    """Return the text part of a mail as a page."""
    return format_html(
        '<!doctype html>\n<html lang="{}">\n<head>\n<meta charset="utf-8">\n<title>{}</title>\n'
        "<style>\n"
        "body {{ margin: 0; padding: 20px; background: #ffffff; color: #1c2127; }}\n"
        "pre {{ margin: 0; font: 14px/22px 'SF Mono', Menlo, Consolas, 'Noto Sans Mono CJK KR', "
        "monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}\n"
        "</style>\n</head>\n<body><pre>{}</pre></body>\n</html>\n",
        message.locale,
        message.subject,
        message.text_body,
    )
