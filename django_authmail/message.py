"""One authentication mail, frozen and safe: an AuthMessage that exists can be sent.

The guards run in the constructor; nothing behind it needs to ask again whether a value can break
a header. Neither Django nor settings are needed here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from enum import StrEnum

from django_authmail.exceptions import InvalidAddress
from django_authmail.guards import envelope_address, header_address, safe_header
from django_authmail.hashes import mask

#: RFC 5322 2.1.1 allows lines of 998 characters; a subject is one line.
MAX_SUBJECT = 998

# Everything leaves in 7 bit, so that no server has to offer 8BITMIME or re-encode a signed mail.
_POLICY = SMTP.clone(cte_type="7bit")


class OnUnknown(StrEnum):
    """What happens to a message whose outcome nobody knows: the server may have taken it."""

    #: Send it once more, with the same Message-ID and content, while it is still valid.
    RESEND = "resend"
    #: Leave it: a duplicate would be worse than a loss.
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who a message is from and for on the wire (RFC 5321), whatever its headers say."""

    sender: str
    recipients: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthMessage:
    """A mail that is ready to be sent.

    Addresses may have a display name (`홍길동 <hong@example.com>`). Without `html_body` the mail
    is text only.

    Raises:
        UnsafeHeader: CR, LF or NUL in an address, the subject or the Message-ID.
        InvalidAddress: an address that is none, or no recipient at all.
    """

    to: tuple[str, ...]
    subject: str
    text_body: str
    from_email: str
    html_body: str = ""
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    reply_to: tuple[str, ...] = ()
    #: What kind of mail this is: the name of its notifier, `raw` for none.
    kind: str = "raw"
    #: Language of the text, as in Content-Language (RFC 3282).
    locale: str = ""
    #: How long the content is of use. Past it, the mail is never handed over. None: always.
    expires_in: timedelta | None = None
    on_unknown: OnUnknown = OnUnknown.RESEND
    #: With angle brackets. Fixed here, so that every attempt carries the same one.
    message_id: str = ""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        # A frozen dataclass normalises its own values here, before anybody has seen it.
        normalise = object.__setattr__
        normalise(self, "from_email", header_address(self.from_email, "from_email"))
        for name in ("to", "cc", "bcc", "reply_to"):
            addresses = getattr(self, name)
            if isinstance(addresses, str):
                raise TypeError(f"{name} takes a tuple of addresses, not one string")
            normalise(
                self,
                name,
                tuple(header_address(address, name) for address in addresses),
            )
        if not (self.to or self.cc or self.bcc):
            raise InvalidAddress("to", "at least one recipient is needed")
        if len(safe_header(self.subject, "subject")) > MAX_SUBJECT:
            raise ValueError(f"subject has more than {MAX_SUBJECT} characters")
        domain = envelope_address(self.from_email, "from_email").rpartition("@")[2]
        normalise(
            self,
            "message_id",
            safe_header(self.message_id or f"<{uuid.uuid4()}@{domain}>", "message_id"),
        )

    def __repr__(self) -> str:
        to = ", ".join(mask(address) for address in self.envelope.recipients)
        return f"<AuthMessage {self.kind} to {to} {self.message_id}>"

    @property
    def envelope(self) -> Envelope:
        """Sender and recipients for the wire: each address once, Bcc included."""
        recipients = (
            envelope_address(address, "to") for address in (*self.to, *self.cc, *self.bcc)
        )
        return Envelope(
            sender=envelope_address(self.from_email, "from_email"),
            recipients=tuple(dict.fromkeys(recipients)),
        )

    def as_bytes(self) -> bytes:
        """Return the mail as it goes over the wire: CRLF lines, 7 bit, no Bcc header.

        The same message gives the same headers each time; MIME boundaries differ, so build once.
        """
        mail = EmailMessage(policy=_POLICY)
        mail["From"] = self.from_email
        # A mail for hidden recipients only still needs a To that is no address (RFC 5322 3.4).
        mail["To"] = ", ".join(self.to) or "undisclosed-recipients:;"
        if self.cc:
            mail["Cc"] = ", ".join(self.cc)
        if self.reply_to:
            mail["Reply-To"] = ", ".join(self.reply_to)
        mail["Subject"] = self.subject
        mail["Date"] = format_datetime(self.created_at)
        mail["Message-ID"] = self.message_id
        # RFC 3834: no vacation notice or ticket system shall answer a machine's mail.
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Auto-Response-Suppress"] = "All"
        # Gmail folds mails of one subject into a thread and hides what repeats, the code with it.
        mail["X-Entity-Ref-ID"] = str(uuid.uuid5(uuid.NAMESPACE_OID, self.message_id))
        mail.set_content(_lines(self.text_body))
        if self.html_body:
            mail.add_alternative(_lines(self.html_body), subtype="html")
        if self.locale:
            # Last: setting the content drops every Content-* header that is there.
            mail["Content-Language"] = self.locale
        return mail.as_bytes()


def _lines(body: str) -> str:
    # NUL is illegal in mail (RFC 5322 4), and a lone surrogate is no text: both would fail while
    # the mail is being sent instead of here.
    return body.replace("\0", "").encode("utf-8", "replace").decode()
