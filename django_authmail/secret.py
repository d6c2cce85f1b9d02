"""A string that does not show itself."""

from __future__ import annotations


class Secret(str):
    """A `str` whose repr is masked, so that tracebacks, logs of locals and reprs do not leak it.

    It is a real string where one is needed (`str.encode`, comparison, formatting with `str()`).
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret('…')" if self else "Secret('')"
