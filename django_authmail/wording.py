"""How texts are shown: in the words of a project's operators, and with what is code in them marked.

A project that reads its settings from the environment, say, has other names for them; its subclass
of `AuthmailConfig` names these in `words`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.apps import apps
from django.utils.functional import Promise, lazy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString


def replace(words: Mapping[str, str], text: str) -> str:
    """Return the text with `words` in place of its own; the longest first."""
    if not words:
        return text
    own = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    return own.sub(lambda found: words[found[0]], text)


def said(text: str | Promise) -> str:
    """Return a text in the words of this project."""
    return replace(getattr(apps.app_configs.get("authmail"), "words", {}), str(text))


#: The same, in the language of the moment when it is shown.
said_lazily = lazy(said, str)


def marked(text: str | Promise) -> SafeString:
    """Return a text of ours as HTML, with what stands between backticks as code."""
    parts = str(text).split("`")
    return format_html_join(
        "",
        "{}",
        ((format_html("<code>{}</code>", p) if i % 2 else p,) for i, p in enumerate(parts)),
    )
