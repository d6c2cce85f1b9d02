"""Makes docs/openapi.json, and the tables of docs/http-api.md, of the code:

uv run --group dev python -m tests.api.description
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = DOCS / "openapi.json"
PAGE = DOCS / "http-api.md"
#: What a failing test tells to run.
COMMAND = "uv run --group dev python -m tests.api.description"

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SCOPE = re.compile(r"Scope: `([\w:-]+)`")


def schema() -> str:
    """Return what docs/openapi.json should be."""
    # Django is set up when this is imported by a test, and below when it is run.
    from django_authmail.api.schema import description

    return json.dumps(description("/"), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def page(text: str) -> str:
    """Return the text of docs/http-api.md with its tables made anew."""
    tables = {"endpoints": _endpoints, "codes": _codes}
    return _TABLE.sub(lambda m: "".join([m[1], *(f"{r}\n" for r in tables[m[2]]()), m[3]]), text)


def _endpoints() -> Iterator[str]:
    from django_authmail.api.schema import description

    yield "| request | what it does | key | answers | problems |"
    yield "|---|---|---|---|---|"
    for path, operations in sorted(description("/")["paths"].items()):
        for method, operation in operations.items():
            statuses = sorted(operation["responses"])
            good = ", ".join(status for status in statuses if status < "400")
            bad = ", ".join(status for status in statuses if status >= "400")
            cells = (
                f"{method.upper()} `{path}`",
                operation["summary"],
                _key(operation),
                good,
                bad or "–",
            )
            yield f"| {' | '.join(cells)} |"


def _key(operation: dict[str, Any]) -> str:
    if scope := _SCOPE.search(operation.get("description", "")):
        return f"`{scope[1]}`"
    # An empty requirement: none is needed.
    security = operation.get("security", [{}])
    return "–" if security == [{}] else "any" if {} not in security else "for details"


def _codes() -> Iterator[str]:
    from django.utils import translation

    from django_authmail.api.codes import KINDS

    yield "| status | code | what it says | again later? | what to do |"
    yield "|---|---|---|---|---|"
    with translation.override("en"):
        for code, kind in sorted(KINDS.items(), key=lambda entry: entry[1].status):
            again = "yes" if kind.retryable else "no"
            yield f"| {kind.status} | `{code}` | {kind.title} | {again} | {kind.hint} |"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    SCHEMA.write_text(schema())
    PAGE.write_text(page(PAGE.read_text()))
