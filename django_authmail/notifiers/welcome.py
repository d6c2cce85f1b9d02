"""The mail for somebody who is new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _

from django_authmail.message import Priority
from django_authmail.notifiers.base import Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import sample_name
from django_authmail.notifiers.values import clean_name


@dataclass(frozen=True, slots=True, kw_only=True)
class WelcomeContext:
    """What the templates in `authmail/welcome/` are given."""

    #: May be empty.
    user_name: str = field(repr=False)
    #: Where to go on. May be empty.
    link: str


@register
class WelcomeNotifier(LinkNotifier):
    """Welcomes somebody whose account is ready.

        WelcomeNotifier().send("user@example.com", user_name="홍길동")

    It has a button where AUTHMAIL_LINK_PATHS has a path for `welcome`.
    """

    kind: ClassVar[str] = "welcome"
    description = _("A welcome")
    priority: ClassVar[Priority] = Priority.LOW

    @sends
    def send(self, to: str, user_name: str, **options: Unpack[Options]) -> WelcomeContext:
        """Send the welcome. `user_name` may be empty."""
        return WelcomeContext(user_name=clean_name(user_name), link=self.page)

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        return {"welcome": {"user_name": sample_name(locale)}}
