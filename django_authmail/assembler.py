"""The octets of a mail, from values that the guards have passed: CRLF lines, all in 7 bit.

The standard library parses and refolds every header that it writes, which is most of the cost of
a mail. Here each header is written once, in the form that it needs:

    From, To, Cc, Reply-To    phrase <address>: atoms, a quoted string or encoded words (RFC 2047)
    Subject, other text       as it is where that is safe, else encoded words
    text, HTML                7bit, quoted-printable or base64, whichever is shortest and safe

Nothing is checked again: a value with a line break in it would break the header.
"""

from __future__ import annotations

import hashlib
import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.message import MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

#: RFC 2047 2: a line with an encoded word has at most 76 characters, the word itself 75. Lines
#: without one could have 78 (RFC 5322 2.1.1); one limit for both is simpler.
MAX_LINE = 76

# 75 characters less `=?utf-8?b?` and `?=`, in whole groups of four: 60, which hold 45 octets.
_WORD_OCTETS = 45
# The first word shares its line with the name of the field, at most `Reply-To: `: 76 - 10 - 12
# leaves 52 characters, which hold 39 octets.
_FIRST_WORD_OCTETS = 39
# A longer atom or quoted string would not fit behind `Reply-To: `, with a comma.
_MAX_PHRASE_TOKEN = 60

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SPACE_TO_FOLD_AT = re.compile(r"(?<=[^ ]) ")

# What quoted-printable leaves as it is: printable ASCII without `=`, blanks and line ends.
_LITERAL = bytes(octet for octet in range(33, 127) if octet != ord("=")) + b" \t\r\n"

_ATTACHMENT_POLICY = SMTP.clone(cte_type="7bit")


# RFC 5322 3.3, in English whatever the locale.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = tuple("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())

# RFC 3834: no vacation notice or ticket system shall answer a machine's mail.
_AUTOMATIC = "Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"


def assemble(
    *,
    from_email: str,
    to: Iterable[str],
    cc: Iterable[str],
    reply_to: Iterable[str],
    subject: str,
    created_at: datetime,
    message_id: str,
    locale: str,
    extra_headers: Iterable[tuple[str, str]],
    text: str,
    html: str,
    attachments: Iterable[bytes],
    inline: Iterable[bytes] = (),
    automatic: bool = True,
) -> bytes:
    """Return the mail; the same values give the same octets each time.

    Addresses are mailboxes as `guards.header_address` writes them; attachments are parts as
    `attachment_part` makes them; `inline` are those that the HTML shows. An empty `html` makes a
    mail of text only. `automatic` says in the headers that a machine wrote it, which only its
    caller knows of another application's mail.
    """
    # In a header of its own: Gmail folds mails of one subject into a thread and hides what repeats,
    # the code with it.
    reference = hashlib.blake2b(message_id.encode(), digest_size=16).hexdigest()
    head = [
        _from_field(from_email),
        # A mail for hidden recipients only still needs a To that is no address (RFC 5322 3.4).
        _address_field("To", to) or "To: undisclosed-recipients:;\r\n",
        _address_field("Cc", cc),
        _address_field("Reply-To", reply_to),
        _text_field("Subject", subject),
        f"Date: {_date(created_at)}\r\nMessage-ID: {message_id}\r\n",
        f"Content-Language: {locale}\r\n" if locale else "",
        f"{_AUTOMATIC}X-Entity-Ref-ID: {reference}\r\n" if automatic else "",
        *[_text_field(name, value) for name, value in extra_headers],
        "MIME-Version: 1.0\r\n",
    ]
    entity = _text_part(b"plain", text)
    if html:
        page = _text_part(b"html", html)
        if images := list(inline):
            # RFC 2387 3.1: the type of the part that the others belong to.
            subtype = b'related; type="text/html"'
            page = _multipart(subtype, b"=_r%s" % reference.encode(), [page, *images])
        entity = _multipart(b"alternative", b"=_a%s" % reference.encode(), [entity, page])
    if files := list(attachments):
        entity = _multipart(b"mixed", b"=_m%s" % reference.encode(), [entity, *files])
    return "".join(head).encode("ascii") + entity


def attachment_part(
    filename: str,
    content: bytes,
    *,
    maintype: str,
    subtype: str,
    parameters: Mapping[str, str],
    content_id: str = "",
) -> bytes:
    """Return one file as a MIME part in base64, its name in RFC 2231 form where it is not ASCII.

    With a `content_id` it is part of the HTML, and not a file to save.
    """
    part = MIMEPart(policy=_ATTACHMENT_POLICY)
    part.set_content(
        b"",
        maintype=maintype,
        subtype=subtype,
        cte="base64",
        disposition="inline" if content_id else "attachment",
        filename=filename,
        cid=f"<{content_id}>" if content_id else None,
        params=dict(parameters),
    )
    # The library writes a body line by line, which takes several times as long.
    return part.as_bytes() + _base64(content)


# The From of a site is one of a few, and its header the costliest. Recipients are not cached:
# their addresses would stay in memory after the mail.
@lru_cache(maxsize=32)
def _from_field(address: str) -> str:
    return _address_field("From", (address,))


def _address_field(name: str, addresses: Iterable[str]) -> str:
    tokens: list[str] = []
    for address in addresses:
        if tokens:
            tokens[-1] += ","
        phrase, bracket, bare = address.rpartition("<")
        tokens += [*_phrase(phrase.strip(" ")), bracket + bare]
    return _folded(name, tokens) if tokens else ""


def _phrase(phrase: str) -> list[str]:
    """Return a display name, given as itself or as a quoted string, as words to fold between."""
    if not phrase:
        return []
    text = phrase
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = re.sub(r"\\(.)", r"\1", text[1:-1])
    # Programs decode what looks like an encoded word even inside quotes, so that is encoded too.
    if text.isascii() and text.isprintable() and "=?" not in text:
        atoms = text.split(" ")
        if _ATOMS.fullmatch(text) and max(map(len, atoms)) <= _MAX_PHRASE_TOKEN:
            return atoms
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        quoted = f'"{escaped}"'
        if len(quoted) <= _MAX_PHRASE_TOKEN and text == text.strip(" "):
            return [quoted]
    return _encoded_words(text, _FIRST_WORD_OCTETS)


def _text_field(name: str, text: str) -> str:
    """Return a header of free text (RFC 5322 2.2.1).

    Text that folding, or a parser that trims, would change is encoded, and so is what looks like
    an encoded word and a word in a subject that fits no line. Other headers are read by programs
    that may not decode: their long words stay.
    """
    room = MAX_LINE - len(name) - 2
    if (
        text.isascii()
        and text.isprintable()
        and "=?" not in text
        and text[:1] != " "
        and text[-1:] != " "
    ):
        if len(text) <= room:
            return f"{name}: {text}\r\n"
        tokens = _SPACE_TO_FOLD_AT.split(text)
        if name != "Subject" or max(map(len, tokens)) <= room:
            return _folded(name, tokens)
    # As many octets as the base64 groups of four behind `=?utf-8?b?` and `?=` hold.
    first = min(_WORD_OCTETS, (room - 12) // 4 * 3)
    return _folded(name, _encoded_words(text, first))


def _encoded_words(text: str, first_octets: int) -> list[str]:
    """Return `text` as encoded words, each of whole characters (RFC 2047 5)."""
    octets = text.encode()
    words: list[str] = []
    start, room = 0, first_octets
    while start < len(octets):
        end = start + room
        # 10xxxxxx goes on with a character that began before.
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        word = b2a_base64(octets[start:end], newline=False).decode("ascii")
        words.append(f"=?utf-8?b?{word}?=")
        start, room = end, _WORD_OCTETS
    return words


def _folded(name: str, tokens: Iterable[str]) -> str:
    # The first token stays behind the colon: some servers drop a field whose first line is blank.
    pieces = [name, ":"]
    column, fits = len(name) + 1, True
    for token in tokens:
        width = len(token) + 1
        if fits or column + width <= MAX_LINE:
            pieces += (" ", token)
            column += width
        else:
            pieces += ("\r\n ", token)
            column = width
        fits = False
    pieces.append("\r\n")
    return "".join(pieces)


def _date(moment: datetime) -> str:
    if moment.tzinfo is UTC:
        # format_datetime does the same in five times the time.
        return (
            f"{_DAYS[moment.weekday()]}, {moment.day:02} {_MONTHS[moment.month - 1]} "
            f"{moment.year:04} {moment.hour:02}:{moment.minute:02}:{moment.second:02} +0000"
        )
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        # Local mean times have seconds in their offset; RFC 5322 3.3 has hours and minutes.
        moment = moment.astimezone(UTC)
    return format_datetime(moment)


def _text_part(subtype: bytes, text: str) -> bytes:
    encoding, octets = _encoded_text(_octets(text))
    return b'Content-Type: text/%s; charset="utf-8"\r\nContent-Transfer-Encoding: %s\r\n\r\n%s' % (
        subtype,
        encoding,
        octets,
    )


def _octets(text: str) -> bytes:
    # NUL is illegal in mail (RFC 5322 4), and a lone surrogate is no text.
    octets = text.encode("utf-8", "replace").replace(b"\0", b"")
    octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if octets[-1:] != b"\n":
        octets += b"\n"
    return octets.replace(b"\n", b"\r\n")


def _encoded_text(octets: bytes) -> tuple[bytes, bytes]:
    # Quoted-printable makes three octets of one that it escapes, base64 four of every three. Soft
    # line breaks take three octets in 76, the line ends of base64 two in 78: near enough.
    escaped = len(octets.translate(None, _LITERAL))
    if escaped * 6 < len(octets):
        if escaped == octets.count(b"=") and _travels_as_it_is(octets):
            return b"7bit", octets
        quoted = b2a_qp(octets)
        # A mailbox file turns `From ` at the start of a line into `>From `.
        if b"\nFrom " not in quoted and quoted[:5] != b"From ":
            return b"quoted-printable", quoted
    return b"base64", _base64(octets)


def _base64(octets: bytes) -> bytes:
    encoded = b2a_base64(octets, newline=False)
    lines = [encoded[start : start + 76] for start in range(0, len(encoded), 76)]
    lines.append(b"")
    return b"\r\n".join(lines)


def _travels_as_it_is(octets: bytes) -> bool:
    """Return whether no server would alter a line, and none could be a boundary of ours."""
    return (
        b"=_" not in octets
        and b" \r\n" not in octets
        and b"\t\r\n" not in octets
        and b"\nFrom " not in octets
        and octets[:5] != b"From "
        and max(map(len, octets.split(b"\r\n"))) <= MAX_LINE
    )


def _multipart(subtype: bytes, boundary: bytes, parts: Iterable[bytes]) -> bytes:
    # No encoded body can hold `=_`: base64 has no underscore, quoted-printable writes `=3D_`, and
    # 7bit is not used where it occurs. So a boundary that begins with it closes nothing early.
    opening = b"\r\n--%s\r\n" % boundary
    return b'Content-Type: multipart/%s;\r\n boundary="%s"\r\n%s%s\r\n--%s--\r\n' % (
        subtype,
        boundary,
        opening,
        opening.join(parts),
        boundary,
    )
