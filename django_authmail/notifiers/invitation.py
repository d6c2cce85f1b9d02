"""The mail that invites somebody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Unpack

from django.utils.translation import gettext_lazy as _

from django_authmail.notifiers.base import Options, sends
from django_authmail.notifiers.links import LinkNotifier
from django_authmail.notifiers.registry import register
from django_authmail.notifiers.samples import SAMPLE_TOKEN, in_locale, sample_name
from django_authmail.notifiers.values import clean_name
from django_authmail.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitationContext:
    """What the templates in `authmail/invitation/` are given."""

    #: May be empty: often nothing but the address is known.
    user_name: str = field(repr=False)
    #: Who invites. May be empty.
    inviter_name: str = field(repr=False)
    #: What to join, where it is not the whole site. May be empty.
    organization: str = field(repr=False)
    link: Secret


@register
class InvitationNotifier(LinkNotifier):
    """Invites somebody to the site, or to a group in it, by a link with a token.

    InvitationNotifier().send("user@example.com", user_name="", inviter_name="김철수", token=token)
    """

    kind: ClassVar[str] = "invitation"
    description = _("An invitation")
    #: A week.
    default_expire_minutes: ClassVar[int] = 7 * 24 * 60
    default_path: ClassVar[str] = "/accept-invitation"
    payload: ClassVar[str] = "token"

    @sends
    def send(
        self,
        to: str,
        user_name: str,
        inviter_name: str,
        token: str,
        organization: str = "",
        **options: Unpack[Options],
    ) -> InvitationContext:
        """Send a link with `token`. All names may be empty; a team's is `organization`."""
        return InvitationContext(
            user_name=clean_name(user_name),
            inviter_name=clean_name(inviter_name, "inviter_name"),
            organization=clean_name(organization, "organization"),
            link=self.link(token),
        )

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        inviter = {"inviter_name": in_locale(locale, ko="김하늘", en="Robin Lee")}
        link = {"user_name": sample_name(locale), "token": SAMPLE_TOKEN} | inviter
        team = in_locale(locale, ko="디자인팀", en="the design team")
        return {
            "team": link | {"organization": team},
            "address only": link | {"user_name": "", "inviter_name": ""},
        }
