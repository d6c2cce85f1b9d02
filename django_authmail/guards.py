"""What may become a header, an envelope address, or the beginning of a link. No settings.

Every door passes here once, in the constructor of the message. Nothing behind it checks again,
except where bytes come back from a database.
"""

from __future__ import annotations

import re
from email.header import decode_header, make_header
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from django_authmail.exceptions import InvalidAddress, UnsafeHeader, UnsafeLink

#: RFC 5321 4.5.3.1.1 and 4.5.3.1.2, and the path limit of 4.5.3.1.3 less its angle brackets.
MAX_LOCAL_OCTETS = 64
MAX_DOMAIN_OCTETS = 255
MAX_ADDRESS_OCTETS = 254
#: Address and display name together; longer names are no names.
MAX_MAILBOX = 1000

_UNSAFE = re.compile(r"[\r\n\0]")
# Other line separators of Unicode and control characters: no header is broken by them, but mail
# programs and terminals differ in what they show.
_CONTROL = re.compile(r"[\x01-\x1f\x7f\x80-\x9f\u2028\u2029]")
# RFC 2047: what looks like one is decoded on the way, to text that no guard has seen.
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?")
_SPECIALS = re.compile(r'[()<>\[\]:;@\\,."]')
# One mailbox: an optional display name, quoted or not, and an address in angle brackets.
_MAILBOX = re.compile(r'(?P<name>"(?P<quoted>(?:[^"\\]|\\.)*)"|[^"<>]*)\s*<(?P<address>[^<>]*)>')
# RFC 5322 dot-atom; quoted local parts are legal, rare, and a classic way to smuggle an address.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
# Letters of any script, which are encoded, and the ASCII of RFC 3986 without quotes.
_URL = re.compile(r"[\w!$%&()*+,./:;=?@#\[\]{}~-]{1,1000}")
_PATH_SAFE = "/%!$&()*+,;=:@{}~"
#: RFC 1035 2.3.4 less the length octets of the first label and of the root.
MAX_HOST_OCTETS = 253
_HOST_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def safe_header(value: str, field: str) -> str:
    """Return `value` unchanged if it can stand in a header.

    Raises:
        UnsafeHeader: it holds CR, LF, NUL, another control character, a lone surrogate or an
            encoded word.
    """
    if _is_plain(value):
        return value
    _refuse_controls(value, field)
    if _ENCODED_WORD.search(value):
        raise UnsafeHeader(field, "contains a MIME encoded word; give the plain text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnsafeHeader(field, "contains half of a character, a lone surrogate") from None
    return value


def _is_plain(value: str) -> bool:
    """Whether it is blanks and ASCII that can be seen, and cannot be an encoded word: nearly all.

    Nothing that is refused is among these, and they need none of the searches for it.
    """
    return value.isascii() and value.isprintable() and "=?" not in value


def _refuse_controls(value: str, field: str) -> None:
    if value.isprintable():
        return  # nearly always, and by one look
    if _UNSAFE.search(value) or _CONTROL.search(value.replace("\t", " ")):
        raise UnsafeHeader(field)


def safe_header_block(content: bytes) -> bytes:
    """Return a mail's bytes unchanged if its headers hold no NUL and no bare CR or LF.

    For mail that this package did not build: a header is folded by CRLF or LF and a blank, and by
    nothing else.

    Raises:
        UnsafeHeader: they do.
    """
    block = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    if b"\0" in block or b"\r" in block:
        raise UnsafeHeader("a header")
    return content


class Mailbox(NamedTuple):
    """One guarded address: bare, for the envelope, and as an address header has it."""

    bare: str
    header: str


def mailbox(value: str, field: str) -> Mailbox:
    """Return the address `value` (`a@b` or `Name <a@b>`), its domain as A-labels.

    In the header the display name is kept, and quoted where RFC 5322 asks for it.

    Raises:
        UnsafeHeader: see `safe_header`.
        InvalidAddress: it is no address, is too long, or has a non-ASCII local part, which
            SMTP without SMTPUTF8 (RFC 6531) cannot carry.
    """
    name, given = _parts(value, field)
    bare = _bare(given, field)
    if not name.strip():
        return Mailbox(bare, bare)
    # RFC 5322 3.2.3: what is no atom stands in quotes. (email.headerregistry.Address does the same
    # in ten times the time, by parsing the address again.)
    if _SPECIALS.search(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return Mailbox(bare, f"{name} <{bare}>")


def envelope_address(value: str, field: str) -> str:
    """Return the bare address of `value`. Raises as `mailbox`."""
    return mailbox(value, field).bare


def header_address(value: str, field: str) -> str:
    """Return `value` as one mailbox for an address header. Raises as `mailbox`."""
    return mailbox(value, field).header


def one_line(value: str, field: str) -> str:
    """Return `value` stripped; for subjects rendered from templates, which end in a line feed.

    Raises:
        UnsafeHeader: a line break is left inside.
    """
    return safe_header(value.strip(), field)


def host_problem(host: str) -> str | None:
    """Say why `host` cannot be the name or address of a mail server; None when it can.

    The text does not show it: what is no host may be a URL with a password in it.
    """
    if any(mark in host for mark in ("://", "@", "/")):
        return "must be the name or address of a server alone, without scheme or user"
    if host.count(":") == 1:
        return "must not hold a port, which has a place of its own"
    if re.search(r"\s", host):
        return "is no host name: it contains white space"
    try:
        host.encode("idna")
    except UnicodeError:
        return "is no host name"
    return None


def host_name(value: str) -> str:
    """Return the host of a URL in the one form that hosts are compared in.

    An address is in its shortest form, a name in small letters, its labels as A-labels. An
    underscore is taken, as containers have it in their names.

    Raises:
        ValueError: it is neither, or a way to write one that programs read differently, such as
            `0x7f.1`, `2130706433`, `example.com.` or letters that only look like ASCII.
    """
    try:
        if "%" not in value:  # the zone of an address means something on one machine alone
            return str(ip_address(value))
    except ValueError:
        pass
    # Each by itself: some letters that are not ASCII have small ones that are.
    labels = [label.lower() if label.isascii() else _a_label(label) for label in value.split(".")]
    name = ".".join(labels)
    if len(name) > MAX_HOST_OCTETS or not all(map(_HOST_LABEL.fullmatch, labels)):
        raise ValueError("this is no name of a host")
    # Some programs read an address wherever a number comes last (WHATWG URL, "ends in a number").
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise ValueError("this is no name of a host, and no address in its usual form")
    return name


def _a_label(label: str) -> str:
    encoded = label.encode("idna").decode("ascii")
    # What becomes plain ASCII, as a full-width or a circled letter does, is written to deceive.
    if not encoded.startswith("xn--") or "." in encoded:
        raise ValueError("this has letters that only look like others")
    return encoded.lower()


def port_problem(port: object) -> str | None:
    """Say why `port` cannot be a port; None when it can. Digits in a string can."""
    if isinstance(port, int | str) and not isinstance(port, bool):
        digits = str(port)
        if digits.isascii() and digits.isdecimal() and 1 <= int(digits) <= 65535:
            return None
    return f"must be a whole number from 1 to 65535, not {port!r}"


def _bare(bare: str, field: str) -> str:
    local, _, domain = bare.rpartition("@")
    if not local or not domain:
        raise InvalidAddress(field, "it needs the form name@domain")
    if not local.isascii():
        raise InvalidAddress(
            field, "the part before the @ has non-ASCII characters, which mail servers refuse"
        )
    if "=?" in local:
        # Some parsers decode even an encoded word without a charset: another address, unguarded.
        raise InvalidAddress(field, "the part before the @ has characters that are not allowed")
    if not _LOCAL.fullmatch(local):
        raise InvalidAddress(field, "the part before the @ has characters that are not allowed")
    if len(local) > MAX_LOCAL_OCTETS:
        raise InvalidAddress(field, f"the part before the @ is over {MAX_LOCAL_OCTETS} characters")
    ascii_domain = _ascii_domain(domain, field)
    if len(local) + 1 + len(ascii_domain) > MAX_ADDRESS_OCTETS:
        raise InvalidAddress(field, f"it is over {MAX_ADDRESS_OCTETS} characters")
    return f"{local}@{ascii_domain}"


def _parts(value: str, field: str) -> tuple[str, str]:
    """Return display name and bare address of one mailbox."""
    if len(value) > MAX_MAILBOX:
        raise InvalidAddress(field, f"it is over {MAX_MAILBOX} characters")
    # Line breaks first, in whatever part: the rest looks at words.
    _refuse_controls(value, field)
    value = value.strip()
    if "<" not in value:
        return "", safe_header(value, field)
    found = _MAILBOX.fullmatch(value)
    if found is None:
        # One mailbox only: "a@b, c@d" or "Name <a@b> <c@d>" would add a recipient nobody asked for.
        raise InvalidAddress(field, "write one address, as name@domain or Name <name@domain>")
    name = found["name"].strip()
    if found["quoted"] is not None:
        name = re.sub(r"\\(.)", r"\1", found["quoted"])
    elif "@" in name:
        raise InvalidAddress(
            field, "its name has an @; put a name with special characters in quotes"
        )
    if _ENCODED_WORD.search(name):
        # What email.utils.formataddr makes of a Korean name. It is guarded as what it says.
        try:
            name = str(make_header(decode_header(name)))
        except (LookupError, UnicodeError, ValueError):
            raise UnsafeHeader(field, "has a name that is no valid encoded word") from None
    return safe_header(name, field), safe_header(found["address"].strip(), field)


def _ascii_domain(domain: str, field: str) -> str:
    if domain.startswith("["):
        raise InvalidAddress(field, "an IP address literal is not accepted, use a domain name")
    try:
        # Python's codec is IDNA 2003, which is what mail servers' own tools resolve as well; the
        # result is checked label by label below, so that nothing odd comes out of a mapping.
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidAddress(field, "its domain is not a valid domain name") from None
    labels = ascii_domain.split(".")
    if len(ascii_domain) > MAX_DOMAIN_OCTETS or not all(map(_LABEL.fullmatch, labels)):
        raise InvalidAddress(field, "its domain is not a valid domain name")
    return ascii_domain.lower()


def link_base(value: str, field: str) -> str:
    """Return the URL that links begin with, without a slash at its end, its host as A-labels.

    Raises:
        UnsafeLink: it is neither https, nor http to this machine (RFC 8252 7.3), or has a user, a
            query, a fragment, or characters that no URL has.
    """
    if not _URL.fullmatch(value):
        raise UnsafeLink(field, "has a character that no URL has, or is too long")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UnsafeLink(field, "is not a URL") from None
    if parts.scheme not in ("https", "http") or not host:
        raise UnsafeLink(field, "must begin with https:// and the name of a host")
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise UnsafeLink(field, "is scheme, host and path alone, without user, query or fragment")
    loopback = _is_loopback(host)
    if parts.scheme == "http" and not loopback:
        raise UnsafeLink(field, "is http: a token would cross the network readable; use https")
    if not loopback or host == "localhost":
        try:
            host = _ascii_domain(host, field)
        except InvalidAddress:
            raise UnsafeLink(field, "has a host that is no valid name") from None
    shown = f"[{host}]" if ":" in host else host
    path = quote(parts.path.rstrip("/"), safe=_PATH_SAFE)
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}"


def link_path(value: str, field: str) -> str:
    """Return the path behind a link's base; `{token}` in it stands for the token.

    Raises:
        UnsafeLink: it does not begin with one slash, or leads elsewhere.
    """
    if (
        not _URL.fullmatch(value)
        or not value.startswith("/")
        or value.startswith("//")
        or "?" in value
        or "#" in value
        or ".." in value.split("/")
    ):
        raise UnsafeLink(field, "must be a path that begins with one /, without ?, # and ..")
    return quote(value, safe=_PATH_SAFE)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
