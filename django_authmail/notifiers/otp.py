"""The mail with a one-time code."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar

from django.utils import translation

from django_authmail.message import AuthMessage
from django_authmail.notifiers.base import Notifier, checked_to, choose_locale
from django_authmail.notifiers.errors import withholds_values
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.values import (
    checked_code,
    checked_lifetime,
    clean_name,
    lifetime_in_words,
)
from django_authmail.outcomes import Queued, SendResult
from django_authmail.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class OTPContext:
    """What the templates in `authmail/otp/` are given."""

    #: May be empty.
    user_name: str = field(repr=False)
    code: Secret
    #: How long the code is valid, in the mail's language: `5 minutes`.
    lifetime: str


@register
class OTPNotifier(Notifier):
    """Sends a code that the project made, and says how long it is valid.

        OTPNotifier().send("user@example.com", user_name="홍길동", code="482901")

    The code is shown as it is given. It is not in the subject, which phones show on locked screens.
    """

    kind: ClassVar[str] = "otp"

    def __init__(self, *, subject_prefix: str = "", expire_minutes: int = 5) -> None:
        super().__init__(subject_prefix=subject_prefix)
        if expire_minutes < 1:
            raise ValueError(f"expire_minutes must be 1 or more, not {expire_minutes}")
        self.expire_minutes = expire_minutes

    def __repr__(self) -> str:
        return f"OTPNotifier(expire_minutes={self.expire_minutes})"

    @withholds_values
    def build(
        self,
        to: str,
        *,
        user_name: str,
        code: str,
        locale: str | None = None,
        expires_in: timedelta | None = None,
    ) -> AuthMessage:
        """Return the mail without sending it.

        `code`: 4 to 12 ASCII letters, digits, hyphens. `user_name` may be empty. `expires_in`
        defaults to `expire_minutes`; past it the mail is no longer handed over.

        Raises:
            InvalidContext: a value that cannot be shown as it should.
            InvalidAddress: `to` is no address.
            UnsafeHeader: `to` holds a line break or NUL.
            TypeError: `to` is no string.
        """
        checked_to(to)
        lifetime = checked_lifetime(
            timedelta(minutes=self.expire_minutes) if expires_in is None else expires_in
        )
        language = choose_locale(locale)
        with translation.override(language):
            words = lifetime_in_words(lifetime)
        context = OTPContext(
            user_name=clean_name(user_name), code=checked_code(code), lifetime=words
        )
        return self.compose(to, context, locale=language, expires_in=lifetime)

    @withholds_values
    def send(  # type: ignore[override] # each kind names its own values
        self,
        to: str,
        *,
        user_name: str,
        code: str,
        locale: str | None = None,
        expires_in: timedelta | None = None,
        using: str = "default",
    ) -> SendResult | Queued:
        """Build the mail and hand it to the mailer `using`; see `build` for the values."""
        message = self.build(
            to, user_name=user_name, code=code, locale=locale, expires_in=expires_in
        )
        return self.deliver(message, using=using)
