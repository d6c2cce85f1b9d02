"""What is wrong with the values of the environment, told all at once."""

from __future__ import annotations

from types import TracebackType

from django.core.exceptions import ImproperlyConfigured


class Mistakes(list[str]):
    """Texts of mistakes, each with the name that it is about.

    `with mistakes:` adds the ImproperlyConfigured error that is raised within, and goes on.
    """

    def __enter__(self) -> None:
        """There is nothing to prepare."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, ImproperlyConfigured):
            return False
        self.append(str(error))
        return True

    def stop_if_any(self) -> None:
        """Raise ImproperlyConfigured with all of them, each in a line; one is the text itself."""
        if self:
            lines = (f"\n  {mistake}" for mistake in self)
            text = f"{len(self)} mistakes in the environment:{''.join(lines)}"
            raise ImproperlyConfigured(text if len(self) > 1 else self[0])
