"""The mail that confirms an address: by a code, a link, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _

from django_authmail.conf import conf
from django_authmail.exceptions import MissingName
from django_authmail.notifiers.base import Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import SAMPLE_CODE, SAMPLE_TOKEN, sample_name
from django_authmail.notifiers.values import autofill_line, checked_code, clean_name
from django_authmail.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailVerificationContext:
    """What the templates in `authmail/email-verification/` are given; code, link, or both."""

    #: May be empty.
    user_name: str = field(repr=False)
    code: Secret
    link: Secret
    #: Whether the subject shows the code, which phones show on locked screens.
    code_in_subject: bool
    #: The last line of the mail, by which phones know whose code it is. May be empty.
    autofill: Secret


@register
class EmailVerificationNotifier(LinkNotifier):
    """Asks the owner of an address to confirm it, by a code, a link, or either of both.

    EmailVerificationNotifier().send("user@example.com", user_name="", code="482901", token=token)
    """

    kind: ClassVar[str] = "email-verification"
    description = _("Confirmation of an email address")
    default_expire_minutes: ClassVar[int] = 60
    default_path: ClassVar[str] = "/verify-email"
    payload: ClassVar[str] = "token"

    @sends
    def send(
        self, to: str, user_name: str, code: str = "", token: str = "", **options: Unpack[Options]
    ) -> EmailVerificationContext:
        """Send `code`, or a link with `token`, or both. `user_name` may be empty."""
        if not code and not token:
            raise MissingName("code", ("a code", "a link with a token", "or both"))
        secret = checked_code(code) if code else Secret("")
        return EmailVerificationContext(
            user_name=clean_name(user_name),
            code=secret,
            link=self.link(token) if token else Secret(""),
            code_in_subject=bool(code) and conf.code_in_subject,
            autofill=autofill_line(secret) if code else Secret(""),
        )

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        name = {"user_name": sample_name(locale)}
        code, token = {"code": SAMPLE_CODE}, {"token": SAMPLE_TOKEN}
        return {"code": name | code, "link": name | token, "both": name | code | token}
