"""The examples of the documentation do what it says: each is run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.utils import translation
from django.utils.module_loading import import_string
from django.utils.translation import gettext

from tests.settings import BASE_DIR

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PAGES = ("previews.md", "integrations.md", "keys.md", "notifiers.md", "outbox-backend.md")


def examples() -> Iterator[Any]:
    for name in _PAGES:
        text = (BASE_DIR / "docs" / name).read_text()
        for block in _BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 2
            yield pytest.param(block[1], id=f"{name}:{line}")


def dotted_paths(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("django_authmail."):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from dotted_paths(inner)


@pytest.mark.parametrize("source", list(examples()))
def test_an_example_runs_and_what_it_names_is_there(source: str) -> None:
    names: dict[str, Any] = {}
    exec(compile(source, "example", "exec"), names)  # the project's own documentation
    for value in names.values():
        for path in dotted_paths(value):
            assert isinstance(import_string(path), type)


def test_the_integration_that_is_documented_is_the_one_that_is_tested() -> None:
    (line,) = re.findall(
        "^ACCOUNT_ADAPTER = .*$", (BASE_DIR / "docs" / "integrations.md").read_text(), re.MULTILINE
    )
    assert line in (BASE_DIR / "tests" / "contrib" / "allauth_settings.py").read_text()


def test_the_glossary_has_the_korean_words_of_the_admin() -> None:
    rows = re.findall(
        r"^\| ([a-z ]+) \| (.+?) \|", (BASE_DIR / "docs" / "glossary.md").read_text(), re.MULTILINE
    )
    with translation.override("ko"):
        words = {word: (korean, gettext(word)) for word, korean in rows}
        page = gettext("carriers")
    assert page in words["carrier"][0]
    translated = {word: pair for word, pair in words.items() if pair[1] != word}
    assert set(translated) >= {
        "message",
        "kind",
        "recipient",
        "owner",
        "mailer",
        "carrier",
        "attempt",
        "outcome",
        "held",
    }
    assert [word for word, (ours, admin) in translated.items() if admin not in ours] == []


def test_every_file_that_a_page_points_at_is_there() -> None:
    pages = [*BASE_DIR.glob("*.md"), *(BASE_DIR / "docs").glob("*.md")]
    targets = [
        (page.name, page.parent / target)
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    ]
    assert len(targets) > 10
    assert [(name, path.name) for name, path in targets if not path.is_file()] == []
