"""One authentication mail, frozen and safe: an AuthMessage that exists can be sent.

The guards run in the constructor; nothing behind it needs to ask again whether a value can break
a header. Neither Django nor settings are needed here.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from django_authmail.assembler import assemble, attachment_part
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.guards import mailbox, safe_header
from django_authmail.hashes import mask

#: RFC 5322 2.1.1 allows lines of 998 characters; a subject is one line.
MAX_SUBJECT = 998

#: A line of 998 characters less the name of the field; nothing in these values can be folded.
MAX_MESSAGE_ID = 900
MAX_UNBROKEN = 900
#: Leaves room on the first line for an encoded word of some characters (RFC 2047 2).
MAX_HEADER_NAME = 50
#: What file systems take, in octets.
MAX_FILENAME = 255
#: RFC 6838 4.2 has 127 for each half; the rest is for parameters.
MAX_CONTENT_TYPE = 400
#: Contract, section 1: what a caller may have kept with a message is short.
MAX_METADATA = 10
MAX_METADATA_VALUE = 200

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")
# RFC 5646 in short: language, script, region; Django writes some with an underscore.
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:[-_][A-Za-z0-9]{1,8})*")
_METADATA_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
# RFC 5322 3.6.8: printable ASCII without the colon.
_HEADER_NAME = re.compile(r"[!-9;-~]+")
_OUR_HEADERS = frozenset(
    "from to cc reply-to subject date message-id auto-submitted x-auto-response-suppress "
    "x-entity-ref-id mime-version".split()
)
# They name recipients, or belong to the servers on the way: some servers would act on them.
_FOREIGN_HEADERS = frozenset("bcc sender return-path received apparently-to".split())

# RFC 6838 4.2 restricted names; parameters as RFC 2045 5.1, in their plain forms.
_CONTENT_TYPE = re.compile(r"([A-Za-z0-9][\w!#$&^.+-]*)/([A-Za-z0-9][\w!#$&^.+-]*)", re.ASCII)
_PARAMETER = re.compile(
    r"""[ \t]*;[ \t]*([A-Za-z0-9-]+)=(?:([\w!#$%&'*+.^`{|}~-]+)|"([ !#-\[\]-~]*)")""", re.ASCII
)
# RFC 2045 7 has it as a Message-ID; `@` and a domain are left out, and nobody misses them.
_CONTENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHOWN = frozenset((("image", "png"), ("image", "jpeg"), ("image", "gif")))
# Characters that turn the direction of text make `cod.exe` look like `exe.doc`.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class OnUnknown(StrEnum):
    """What happens to a message whose outcome nobody knows: the server may have taken it."""

    #: Send it once more, with the same Message-ID and content, while it is still valid.
    RESEND = "resend"
    #: Keep it until a person has decided: a duplicate would be worse than a delay.
    HOLD = "hold"


class Priority(StrEnum):
    """What is handed over first where mails queue."""

    #: Somebody waits for it: codes, links.
    HIGH = "high"
    #: Receipts, notices: a batch of them never delays a code.
    LOW = "low"


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Who a message is from and for on the wire (RFC 5321), whatever its headers say."""

    sender: str
    recipients: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainMail:
    """A mail that another application made: its bytes and envelope, as they are.

    Where it is recorded, it has the facts that an AuthMessage has.
    """

    envelope: Envelope
    content: bytes = field(repr=False)
    message_id: str
    kind: str = "plain"
    locale: str = ""
    expires_in: timedelta | None = None
    on_unknown: OnUnknown = OnUnknown.RESEND
    #: Nobody can say what it is. A mailing to thousands must not delay a code.
    priority: Priority = Priority.LOW
    supersedes: bool = False
    supersede_key: str = ""
    metadata: tuple[tuple[str, str], ...] = ()

    def as_bytes(self) -> bytes:
        """Return the mail as it goes over the wire."""
        return self.content


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes along with a mail.

    `content_type` is `type/subtype`, with parameters if need be (`text/csv; charset=utf-8`). With a
    `content_id` it is an image that the HTML shows by `cid:` (RFC 2392), and no file to save.

    Raises:
        UnsafeHeader: a file name with a control character, a path or a change of text direction;
            a content type that is none, or one of a message or multipart; a content id that is
            none, or of what is no image.
    """

    #: Composed (NFC): macOS gives Korean names in single letters, which others show as such.
    filename: str
    content: bytes = field(repr=False)
    content_type: str = "application/octet-stream"
    #: Without angle brackets; empty for a file.
    content_id: str = ""

    def __post_init__(self) -> None:
        name = unicodedata.normalize("NFC", safe_header(self.filename, "filename"))
        if not name.strip() or name.strip() in (".", "..") or "/" in name or "\\" in name:
            raise UnsafeHeader("filename", "is empty or a path; give the name of the file alone")
        if "\t" in name or _BIDI.search(name):
            raise UnsafeHeader("filename", "has a character that hides what the file is")
        if len(name.encode()) > MAX_FILENAME:
            raise UnsafeHeader("filename", f"has more than {MAX_FILENAME} octets in UTF-8")
        object.__setattr__(self, "filename", name)
        if not isinstance(self.content, bytes):
            raise TypeError("an attachment's content is bytes; encode text, and read files")
        maintype, subtype, _ = _content_type(self.content_type)
        if not self.content_id:
            return
        if not _CONTENT_ID.fullmatch(self.content_id):
            raise UnsafeHeader("content_id", "takes letters, digits, dot, hyphen and underscore")
        # Not SVG, which is a document with scripts to whoever opens it alone.
        if (maintype, subtype) not in _SHOWN:
            raise UnsafeHeader("content_type", "of an inline file is image/png, image/jpeg or gif")

    def as_part(self) -> bytes:
        """Return the file as a MIME part, in base64."""
        maintype, subtype, parameters = _content_type(self.content_type)
        return attachment_part(
            self.filename,
            self.content,
            maintype=maintype,
            subtype=subtype,
            parameters=parameters,
            content_id=self.content_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class AuthMessage:
    """A mail that is ready to be sent.

    Addresses may have a display name (`홍길동 <hong@example.com>`). Without `html_body` the mail
    is text only.

    Raises:
        UnsafeHeader: CR, LF or NUL in an address, the subject, the Message-ID, the locale or an
            extra header; one of these that cannot be written as it should; an extra header that
            the message writes itself; metadata that is none.
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
    priority: Priority = Priority.HIGH
    #: Whether an older one of the same owner and kind to the same recipient is of no use any more.
    supersedes: bool = False
    #: Narrows that to messages with the same key: `login`, `payment-4711`.
    supersede_key: str = ""
    #: Pairs of name and value that are kept with the row, and never in the mail: `order`, `4711`.
    metadata: tuple[tuple[str, str], ...] = ()
    #: With angle brackets. Fixed here, so that every attempt carries the same one.
    message_id: str = ""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    #: Further headers as pairs of name and value, each name once.
    extra_headers: tuple[tuple[str, str], ...] = ()
    attachments: tuple[Attachment, ...] = ()
    #: Sender and recipients for the wire: each address once, Bcc included.
    envelope: Envelope = field(init=False, compare=False)

    def __post_init__(self) -> None:
        # A frozen dataclass normalises its own values here, before anybody has seen it.
        normalise = object.__setattr__
        sender = mailbox(self.from_email, "from_email")
        normalise(self, "from_email", sender.header)
        recipients: dict[str, None] = {}
        for name in ("to", "cc", "bcc", "reply_to"):
            addresses = getattr(self, name)
            if isinstance(addresses, str):
                raise TypeError(f"{name} takes a tuple of addresses, not one string")
            mailboxes = [mailbox(address, name) for address in addresses]
            normalise(self, name, tuple(each.header for each in mailboxes))
            if name != "reply_to":
                recipients |= dict.fromkeys(each.bare for each in mailboxes)
        if not (self.to or self.cc or self.bcc):
            raise InvalidAddress("to", "at least one recipient is needed")
        if len(safe_header(self.subject, "subject")) > MAX_SUBJECT:
            raise UnsafeHeader("subject", f"has more than {MAX_SUBJECT} characters")
        normalise(self, "envelope", Envelope(sender=sender.bare, recipients=tuple(recipients)))
        domain = sender.bare.rpartition("@")[2]
        normalise(self, "message_id", self.message_id or f"<{uuid.uuid4()}@{domain}>")
        _guard_message_id(self.message_id)
        _guard_locale(self.locale)
        normalise(self, "extra_headers", _guarded_headers(self.extra_headers))
        guard_metadata(self.metadata)
        normalise(self, "attachments", tuple(self.attachments))
        if not all(isinstance(attachment, Attachment) for attachment in self.attachments):
            raise TypeError("attachments takes a tuple of Attachment")
        if not self.html_body and any(attachment.content_id for attachment in self.attachments):
            raise UnsafeHeader("content_id", "is of use in HTML alone, and the mail has none")

    def __repr__(self) -> str:
        # Not by way of the guards: debuggers ask for it while the constructor is still refusing.
        to = ", ".join(mask(str(address)) for address in (*self.to, *self.cc, *self.bcc))
        return f"<AuthMessage {self.kind} to {to} {self.message_id}>"

    def as_bytes(self) -> bytes:
        """Return the mail as it goes over the wire: CRLF lines, 7 bit, no Bcc header.

        The same message gives the same octets each time.
        """
        return assemble(
            from_email=self.from_email,
            to=self.to,
            cc=self.cc,
            reply_to=self.reply_to,
            subject=self.subject,
            created_at=self.created_at,
            message_id=self.message_id,
            locale=self.locale.replace("_", "-"),
            extra_headers=self.extra_headers,
            text=self.text_body,
            html=self.html_body,
            attachments=[file.as_part() for file in self.attachments if not file.content_id],
            inline=[file.as_part() for file in self.attachments if file.content_id],
        )


def _guard_message_id(value: str) -> None:
    safe_header(value, "message_id")
    if not _MESSAGE_ID.fullmatch(value) or len(value) > MAX_MESSAGE_ID:
        raise UnsafeHeader("message_id", "needs the form <name@domain>, in ASCII without spaces")


def _guard_locale(value: str) -> None:
    safe_header(value, "locale")
    if value and not _LANGUAGE.fullmatch(value):
        raise UnsafeHeader("locale", "is not a language tag such as ko or en-GB")


def guard_metadata(pairs: tuple[tuple[str, str], ...]) -> None:
    """Raise UnsafeHeader for metadata that is too much, or not made for lists and logs.

    Its text names no value: it may be anything that a caller knows.
    """
    if not isinstance(pairs, tuple):
        raise TypeError("metadata takes a tuple of pairs; of a dict, tuple(metadata.items())")
    if len(pairs) > MAX_METADATA:
        raise UnsafeHeader("metadata", f"has more than {MAX_METADATA} members")
    for name, value in pairs:
        if not isinstance(name, str) or not _METADATA_NAME.fullmatch(name):
            raise UnsafeHeader(
                "metadata", "has a name that is not 1 to 40 characters of A-Z, a-z, 0-9, _ . and -"
            )
        if not isinstance(value, str) or len(value) > MAX_METADATA_VALUE:
            raise UnsafeHeader(
                "metadata", f"has a value that is no string of at most {MAX_METADATA_VALUE}"
            )
        safe_header(value, "metadata")


def _guarded_headers(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if not isinstance(pairs, tuple):
        raise TypeError("extra_headers takes a tuple of pairs; of a dict, tuple(headers.items())")
    headers: dict[str, tuple[str, str]] = {}
    for name, value in pairs:
        if not _HEADER_NAME.fullmatch(name) or len(name) > MAX_HEADER_NAME:
            raise UnsafeHeader(
                "extra_headers",
                "has a name that is none: it takes printable ASCII without space and colon, "
                f"at most {MAX_HEADER_NAME} characters",
            )
        key = name.lower()
        if key in _OUR_HEADERS or key.startswith("content-"):
            raise UnsafeHeader("extra_headers", f"has {name}, which the message writes itself")
        if key in _FOREIGN_HEADERS or key.startswith("resent-"):
            raise UnsafeHeader("extra_headers", f"has {name}, which servers on the way act on")
        if key in headers:
            raise UnsafeHeader("extra_headers", f"has {name} twice")
        value = safe_header(value, f"extra_headers[{name!r}]").strip(" \t")
        if not value:
            raise UnsafeHeader(f"extra_headers[{name!r}]", "is empty; leave it out")
        if value.isascii() and max(map(len, value.split())) > MAX_UNBROKEN:
            raise UnsafeHeader(
                f"extra_headers[{name!r}]",
                f"has more than {MAX_UNBROKEN} characters without a space to fold at",
            )
        headers[key] = (name, value)
    return tuple(headers.values())


def _content_type(value: str) -> tuple[str, str, dict[str, str]]:
    """Return main type, subtype and parameters."""
    safe_header(value, "content_type")
    found = _CONTENT_TYPE.match(value)
    if not found or len(value) > MAX_CONTENT_TYPE:
        raise UnsafeHeader("content_type", "needs the form type/subtype, such as application/pdf")
    maintype, subtype = found[1].lower(), found[2].lower()
    if maintype in ("message", "multipart"):
        # RFC 2046 5: they may not be in base64, and would be read as parts of this mail.
        raise UnsafeHeader(
            "content_type", f"is {maintype}; attach such a file as application/octet-stream"
        )
    parameters: dict[str, str] = {}
    end = found.end()
    while parameter := _PARAMETER.match(value, end):
        parameters[parameter[1].lower()] = parameter[2] or parameter[3] or ""
        end = parameter.end()
    if value[end:].strip(" ;") or "name" in parameters:
        raise UnsafeHeader("content_type", "has a parameter that cannot be used; filename names it")
    return maintype, subtype, parameters
