"""A mail as a page to look at: one colour scheme at a time, or its text part."""

from __future__ import annotations

import re
from base64 import b64encode
from enum import StrEnum

from django.utils.html import format_html

from django_authmail.message import AuthMessage

_SCHEME = re.compile(r"\(\s*prefers-color-scheme:\s*(dark|light)\s*\)")
_PICTURE = re.compile(r"(?<=src=\")cid:([A-Za-z0-9._-]+)(?=\")")
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
    Pictures that go along with the mail are in the page.
    """
    pictures = {file.content_id: file for file in message.attachments if file.content_id}

    def answer(query: re.Match[str]) -> str:
        return "(min-width: 0)" if query[1] == scheme else "(max-width: 0)"

    def picture(reference: re.Match[str]) -> str:
        if (file := pictures.get(reference[1])) is None:
            return reference[0]
        content_type = file.content_type.partition(";")[0]
        return f"data:{content_type};base64,{b64encode(file.content).decode()}"

    page = _DECLARED.sub(scheme, _SCHEME.sub(answer, message.html_body))
    return _PICTURE.sub(picture, page)


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
