"""The mail with a one-time code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _

from django_authmail.conf import conf
from django_authmail.notifiers.base import Notifier, Options, sends
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import SAMPLE_CODE, sample_name, sample_origin
from django_authmail.notifiers.values import autofill_line, checked_code, clean_name
from django_authmail.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class OTPContext:
    """What the templates in `authmail/otp/` are given."""

    #: May be empty.
    user_name: str = field(repr=False)
    code: Secret
    #: Whether the subject shows the code, which phones show on locked screens.
    code_in_subject: bool
    #: The last line of the mail, by which phones know whose code it is. May be empty.
    autofill: Secret


@register
class OTPNotifier(Notifier):
    """Sends a code that the project made, and says how long it is valid.

        OTPNotifier().send("user@example.com", user_name="홍길동", code="482901")

    The code is shown as it is given.
    """

    kind: ClassVar[str] = "otp"
    description = _("A one-time code")
    supersedes: ClassVar[bool] = True
    default_expire_minutes: ClassVar[int] = 5
    payload: ClassVar[str] = "code"

    @sends
    def send(self, to: str, user_name: str, code: str, **options: Unpack[Options]) -> OTPContext:
        """Send the code: 4 to 12 ASCII letters, digits, hyphens. `user_name` may be empty."""
        secret = checked_code(code)
        return OTPContext(
            user_name=clean_name(user_name),
            code=secret,
            code_in_subject=conf.code_in_subject,
            autofill=autofill_line(secret),
        )

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        values = {"user_name": sample_name(locale), "code": SAMPLE_CODE}
        return {"code": values, "asked for elsewhere": values | sample_origin(locale)}
