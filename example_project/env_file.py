"""Reads env files: NAME=value, a line each."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from example_project.mistakes import Mistakes

_ENTRY = re.compile(
    r"""
    [ \t]* (?:export[ \t]+)? (?P<name>[A-Za-z_][A-Za-z0-9_]*) [ \t]*=[ \t]*
    (?:
        '(?P<single>(?:\\['\\]|[^'])*)' [ \t]*(?:\#[^\n]*)?
      | "(?P<double>(?:\\.|[^"\\])*)"  [ \t]*(?:\#[^\n]*)?
      | (?P<bare>(?!['"])[^\n]*)
    )
    (?:\n|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def read_env_file(
    named: str | None, base_dir: Path, *, mistakes: Mistakes | None = None
) -> dict[str, str]:
    """Return what the file of the project holds, or the one that is named; '' names none.

    Raises ImproperlyConfigured where a file that is named is not there, or one cannot be read.
    For `mistakes`, see `parse_env_file`.
    """
    if named == "":
        return {}
    path = base_dir / (named or ".env")
    source = f"ENV_FILE: {path}" if named else str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if named is None:
            return {}
        raise ImproperlyConfigured(
            f"ENV_FILE: there is no file {path}. Name one that is there, or leave ENV_FILE empty."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ImproperlyConfigured(f"{source} cannot be read: {reason}.") from None
    return parse_env_file(text, source=source, mistakes=mistakes)


def parse_env_file(
    text: str, *, source: str = ".env", mistakes: Mistakes | None = None
) -> dict[str, str]:
    """Return the names and values of an env file.

    A value may be bare (a comment starts at white space and `#`), 'single' or "double" quoted, and
    a quoted one may span lines. `$` is an ordinary character: passwords contain it.
    Raises ImproperlyConfigured naming the lines, never their content, which may be a secret. With
    `mistakes`, it is added to them, and what the other lines hold is returned.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    wrong: list[str] = []
    position = 0
    while position < len(text):
        if blank := _BLANK.match(text, position):
            position = blank.end()
            continue
        entry = _ENTRY.match(text, position)
        if entry is None:
            wrong.append(str(text.count("\n", 0, position) + 1))
            position = text.find("\n", position) + 1 or len(text)
            continue
        if (single := entry["single"]) is not None:
            value = re.sub(r"\\(['\\])", r"\1", single)
        elif (double := entry["double"]) is not None:
            value = re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), double, flags=re.DOTALL)
        else:
            value = re.sub(r"\s+#.*", "", entry["bare"]).strip()
        values[entry["name"]] = value
        position = entry.end()
    if wrong:
        lines = " and ".join(filter(None, (", ".join(wrong[:-1]), wrong[-1])))
        with nullcontext() if mistakes is None else mistakes:
            raise ImproperlyConfigured(
                f"{source}, line{'s' if len(wrong) > 1 else ''} {lines}: expected NAME=value, and a"
                " quote that is closed."
            )
    return values
