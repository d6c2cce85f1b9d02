"""What every kind of mail has: a name, templates, a build and a send."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from email.utils import parseaddr
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils import translation

from django_authmail import mailers
from django_authmail.conf import conf
from django_authmail.guards import header_address, one_line
from django_authmail.message import AuthMessage, OnUnknown
from django_authmail.notifiers.delivery import hand_over
from django_authmail.notifiers.errors import withholds_values
from django_authmail.notifiers.rendering import render
from django_authmail.outcomes import Queued, SendResult

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

logger = logging.getLogger(__name__)

#: The languages that the mails exist in.
LOCALES = ("en", "ko")


class Notifier(ABC):
    """One kind of mail. A subclass sets `kind`, has templates `authmail/<kind>/` and a `build`.

    `build` takes the values of the mail by name, puts them into a frozen dataclass and hands it to
    `compose`; `send` does the same and hands the message over.

    What `send`, `deliver` and `compose` raise comes without the frames inside them, which hold the
    mail. A `build` of your own that checks values itself wants `errors.withholds_values` as well.
    """

    #: The name of this kind: in rows, logs, metrics, and as the folder of its templates.
    kind: ClassVar[str]
    #: What happens when a server may or may not have taken the mail.
    on_unknown: ClassVar[OnUnknown] = OnUnknown.RESEND

    def __init__(self, *, subject_prefix: str = "") -> None:
        self.subject_prefix = one_line(subject_prefix, "subject_prefix")

    @property
    def template_folder(self) -> str:
        """Folder below `authmail/` that has subject.txt, body.txt and body.html."""
        return self.kind

    @abstractmethod
    def build(self, to: str, *args: Any, **values: Any) -> AuthMessage:
        """Return the finished mail without sending it. A wrong value raises InvalidContext."""

    @withholds_values
    def send(self, to: str, *, using: str = "default", **values: Any) -> SendResult | Queued:
        """Build the mail and hand it to the mailer `using`.

        The mailer decides what comes back: what became of it (`SendResult`), or that it is
        recorded and will be sent (`Queued`).
        """
        return self.deliver(self.build(to, **values), using=using)

    @withholds_values
    def deliver(self, message: AuthMessage, *, using: str) -> SendResult | Queued:
        """Hand a built message to the mailer `using`."""
        return hand_over(message, mailers.get_mailer(using))

    @withholds_values
    def compose(
        self,
        to: str,
        context: DataclassInstance,
        *,
        locale: str | None = None,
        expires_in: timedelta | None = None,
    ) -> AuthMessage:
        """Render the templates with the fields of `context` and return the message."""
        checked_to(to)
        language = choose_locale(locale)
        from_email = conf.default_from_email
        values = {name.name: getattr(context, name.name) for name in fields(context)}
        rendered = render(
            self.template_folder, {**_common(language, from_email), **values}, locale=language
        )
        return AuthMessage(
            to=(to,),
            subject=" ".join(part for part in (self.subject_prefix, rendered.subject) if part),
            text_body=rendered.text_body,
            html_body=rendered.html_body,
            from_email=from_email,
            kind=self.kind,
            locale=language,
            expires_in=expires_in,
            on_unknown=self.on_unknown,
        )


def checked_to(to: str) -> str:
    """Return the one recipient of a mail.

    Raises:
        TypeError: it is no string.
        InvalidAddress, UnsafeHeader: it is no address, or would break a header.
    """
    if not isinstance(to, str):
        raise TypeError(f"to is one address, a string, not {type(to).__name__}; send one mail each")
    header_address(to, "to")
    return to


def choose_locale(wanted: str | None) -> str:
    """Return a mail's language: `wanted`, else the active one, else the project's, else English.

    `ko`, `ko-KR` and `ko_KR` are the same. A language that the mails do not exist in is passed
    over, and a line in the log says so.
    """
    for candidate in (wanted, translation.get_language(), conf.language_code):
        family = (candidate or "").replace("_", "-").partition("-")[0].lower()
        if family in LOCALES:
            if wanted and candidate is not wanted:
                logger.warning("no mails in the language %.20r, using %s", wanted, family)
            return family
    if wanted:
        logger.warning("no mails in the language %.20r, using en", wanted)
    return "en"


def _common(locale: str, from_email: str) -> Mapping[str, object]:
    name, address = parseaddr(from_email)
    return {"locale": locale, "sender_name": name or address.rpartition("@")[2]}
