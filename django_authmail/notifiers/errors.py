"""How an error leaves a notifier: without the frames that hold the code."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django_authmail.logs import class_chain, places

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", bound=BaseException)

_NOTE = "Frames that hold the mail are left out of this traceback: "


def withholds_values(function: Callable[P, R]) -> Callable[P, R]:
    """Let what `function` raises leave without its frames, which hold the values of the mail.

    Not `sensitive_variables`: that one does nothing with DEBUG, error trackers do not know it, and
    the frame of its wrapper holds the arguments once more.
    """

    @wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            # This frame stays: it is the one that raises.
            del args, kwargs
            raise without_frames(error) from None

    return guarded


def without_frames(error: E) -> E:
    """Return `error` without its traceback and its causes; a note says where it came from."""
    if not any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ())):
        error.add_note(f"{_NOTE}{class_chain(error)} at {places(error)}")
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
