"""Access tokens from a function of the project."""

from __future__ import annotations

from collections.abc import Callable

from django_authmail.secret import Secret
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.oauth.answers import TOKEN, passing, refused


class TokenFunction:
    """Takes each token from a function of the project, which keeps and renews it itself."""

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function

    def __repr__(self) -> str:
        return f"<TokenFunction {name_of(self._function)}>"

    def token(self) -> str:
        """Return what the function returns."""
        try:
            token = self._function()
        except SmtpFailure:
            raise
        except Exception as error:  # it may raise anything, and its text may hold a secret
            raise SmtpFailure(
                passing(f"{name_of(self._function)} raised {type(error).__name__}")
            ) from None
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            raise SmtpFailure(
                refused(f"{name_of(self._function)} returned no token (one line of ASCII text)")
            )
        return Secret(token)

    def refresh(self, rejected: str) -> str:
        """Call the function again."""
        return self.token()


def name_of(thing: object) -> str:
    """Return what to call a function or a class in a message."""
    # Never repr(): that of a partial shows its arguments.
    if isinstance(thing, str):
        return repr(thing)
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{getattr(named, '__qualname__', '')}"
