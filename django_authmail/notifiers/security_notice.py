"""The mail that tells somebody what happened to their account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _

from django_authmail.exceptions import InvalidContext, MissingName
from django_authmail.guards import envelope_address
from django_authmail.hashes import mask
from django_authmail.notifiers.base import Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import sample_name, sample_origin
from django_authmail.notifiers.values import clean_name


class SecurityEvent(StrEnum):
    """What happened."""

    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - an event
    EMAIL_CHANGED = "email-changed"
    NEW_SIGN_IN = "new-sign-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityNoticeContext:
    """What the templates in `authmail/security-notice/` are given."""

    #: May be empty.
    user_name: str = field(repr=False)
    event: str
    #: Whether this mail goes to the address that the account has now.
    to_new_email: bool
    #: The other one of the two addresses, masked; empty for other events.
    other_email: str
    #: Where to see to it. May be empty.
    link: str


@register
class SecurityNoticeNotifier(LinkNotifier):
    """Tells the owner of an account what happened to it, and what to do if it was not them.

        SecurityNoticeNotifier().send(
            "user@example.com", user_name="홍길동", event="new-sign-in",
            at=timezone.now(), place="서울", device="Windows의 Chrome",
        )

    After a change of address, the same values go to both: the one that the account had, whose
    owner may have to act, and the one that it has now. Neither mail shows the other address in
    full. It has a button where AUTHMAIL_LINK_PATHS has a path for `security-notice`.
    """

    kind: ClassVar[str] = "security-notice"
    description = _("A notice of a change or a sign-in")

    @sends
    def send(
        self,
        to: str,
        user_name: str,
        event: SecurityEvent | str,
        old_email: str = "",
        new_email: str = "",
        **options: Unpack[Options],
    ) -> SecurityNoticeContext:
        """Send a notice of `event`. `old_email` and `new_email` are for `email-changed`."""
        try:
            event = SecurityEvent(event)
        except ValueError:
            raise InvalidContext("event", f"must be one of {', '.join(SecurityEvent)}") from None
        is_new, other = False, ""
        if event is SecurityEvent.EMAIL_CHANGED:
            if not old_email or not new_email:
                missing = "new_email" if old_email else "old_email"
                raise MissingName(missing, ("old_email", "new_email"))
            old = _checked_address(old_email, "old_email")
            new = _checked_address(new_email, "new_email")
            is_new = envelope_address(to, "to").lower() == new.lower()
            other = mask(old if is_new else new)
        return SecurityNoticeContext(
            user_name=clean_name(user_name),
            event=event.value,
            to_new_email=is_new,
            other_email=other,
            link=self.page,
        )

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        values = {"user_name": sample_name(locale)} | sample_origin(locale)
        changed = values | {"event": SecurityEvent.EMAIL_CHANGED, "new_email": "new@example.org"}
        return {
            "password changed": values | {"event": SecurityEvent.PASSWORD_CHANGED},
            "new sign-in": values | {"event": SecurityEvent.NEW_SIGN_IN},
            "email changed": changed | {"old_email": "old@example.org"},
        }


def _checked_address(value: str, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidContext(field, f"must be a string, not {type(value).__name__}")
    return envelope_address(value, field)
