"""What a project's operators write in place of the package's settings.

A project that reads its settings from the environment, say, has other names for them; its subclass
of `AuthmailConfig` names these in `words`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.apps import apps
from django.utils.functional import Promise, lazy


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
