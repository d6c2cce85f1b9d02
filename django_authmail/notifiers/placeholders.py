"""Texts with `{name}` in them: what `str.format` knows of names and formats, and nothing more.

    {total:,}   a value, with a format of Python's
    {{ and }}   one brace

Attributes and indexes (`{user.password}`, `{0}`) would lead from a value to everything that it can
reach, so they are refused when the text is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter

from django_authmail.exceptions import InvalidContext, MissingName


class Placeholders:
    """A text whose placeholders are known.

    Raises ValueError, with the name of the part, for a placeholder that is more than a name and a
    format.
    """

    def __init__(self, text: str, part: str) -> None:
        self._pieces: list[tuple[str, str | None, str]] = []
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{part}: {error}; a brace that is text is written twice") from None
        for literal, name, spec, conversion in parsed:
            if name is not None and (not name.isidentifier() or conversion):
                raise ValueError(
                    f"{part}: {{{name}}} is no name; placeholders take a name and a format, "
                    "neither attributes, indexes nor conversions"
                )
            if spec and ("{" in spec or "}" in spec):
                raise ValueError(f"{part}: the format of {{{name}}} has a placeholder in it")
            self._pieces.append((literal, name, spec or ""))
        self.names = tuple(dict.fromkeys(name for _, name, _ in self._pieces if name is not None))

    def fill(self, values: Mapping[str, object], finish: Callable[[str], str] = str) -> str:
        """Return the text with its values, each formatted and then passed through `finish`.

        Raises:
            MissingName: a value is not given.
            InvalidContext: a value does not go with its format.
        """
        written: list[str] = []
        for literal, name, spec in self._pieces:
            written.append(literal)
            if name is None:
                continue
            if name not in values:
                raise MissingName(name, self.names)
            try:
                text = format(values[name], spec)
            except (TypeError, ValueError):
                raise InvalidContext(name, f"cannot be written as {spec!r}") from None
            written.append(finish(text))
        return "".join(written)
