"""The mail with a link that signs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _

from django_authmail.notifiers.base import Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import SAMPLE_TOKEN, sample_name, sample_origin
from django_authmail.notifiers.values import clean_name
from django_authmail.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class MagicLinkContext:
    """What the templates in `authmail/magic-link/` are given."""

    #: May be empty.
    user_name: str = field(repr=False)
    link: Secret


@register
class MagicLinkNotifier(LinkNotifier):
    """Sends a link with a token that the project made, which signs in or sets a password.

    MagicLinkNotifier().send("user@example.com", user_name="홍길동", token=token)
    """

    kind: ClassVar[str] = "magic-link"
    description = _("A link that signs in")
    supersedes: ClassVar[bool] = True
    default_expire_minutes: ClassVar[int] = 15
    default_path: ClassVar[str] = "/set-password"
    payload: ClassVar[str] = "token"

    @sends
    def send(
        self, to: str, user_name: str, token: str, **options: Unpack[Options]
    ) -> MagicLinkContext:
        """Send a link with `token`, of at most 2,000 characters. `user_name` may be empty."""
        return MagicLinkContext(user_name=clean_name(user_name), link=self.link(token))

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        values = {"user_name": sample_name(locale), "token": SAMPLE_TOKEN}
        return {"link": values, "asked for elsewhere": values | sample_origin(locale)}
