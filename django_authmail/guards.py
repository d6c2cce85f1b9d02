"""What may become a header or an envelope address. No Django, no settings.

Every door passes here once, in the constructor of the message. Nothing behind it checks again,
except where bytes come back from a database.
"""

from __future__ import annotations

import re
from email.headerregistry import Address

from django_authmail.exceptions import InvalidAddress, UnsafeHeader

#: RFC 5321 4.5.3.1.1 and 4.5.3.1.2, and the path limit of 4.5.3.1.3 less its angle brackets.
MAX_LOCAL_OCTETS = 64
MAX_DOMAIN_OCTETS = 255
MAX_ADDRESS_OCTETS = 254

_UNSAFE = re.compile(r"[\r\n\0]")
# Other line separators of Unicode and control characters: no header is broken by them, but mail
# programs and terminals differ in what they show.
_CONTROL = re.compile(r"[\x01-\x1f\x7f\x80-\x9f\u2028\u2029]")
# RFC 2047: what looks like one is decoded on the way, to text that no guard has seen.
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[BbQq]\?")
# RFC 5322 dot-atom; quoted local parts are legal, rare, and a classic way to smuggle an address.
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


def safe_header(value: str, field: str) -> str:
    """Return `value` unchanged if it can stand in a header.

    Raises:
        UnsafeHeader: it holds CR, LF, NUL, another control character, a lone surrogate or an
            encoded word.
    """
    if _UNSAFE.search(value) or _CONTROL.search(value.replace("\t", " ")):
        raise UnsafeHeader(field)
    if _ENCODED_WORD.search(value):
        raise UnsafeHeader(field, "contains a MIME encoded word; give the plain text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnsafeHeader(field) from None
    return value


def envelope_address(value: str, field: str) -> str:
    """Return the bare address of `value` (`a@b` or `Name <a@b>`) with its domain as A-labels.

    Raises:
        UnsafeHeader: see `safe_header`.
        InvalidAddress: it is no address, is too long, or has a non-ASCII local part, which
            SMTP without SMTPUTF8 (RFC 6531) cannot carry.
    """
    safe_header(value, field)
    bare = _bare(value, field)
    local, _, domain = bare.rpartition("@")
    if not local or not domain:
        raise InvalidAddress(field, "it needs the form name@domain")
    if not local.isascii():
        raise InvalidAddress(
            field, "the part before the @ has non-ASCII characters, which mail servers refuse"
        )
    if not _LOCAL.fullmatch(local):
        raise InvalidAddress(field, "the part before the @ has characters that are not allowed")
    if len(local) > MAX_LOCAL_OCTETS:
        raise InvalidAddress(field, f"the part before the @ is over {MAX_LOCAL_OCTETS} characters")
    ascii_domain = _ascii_domain(domain, field)
    if len(local) + 1 + len(ascii_domain) > MAX_ADDRESS_OCTETS:
        raise InvalidAddress(field, f"it is over {MAX_ADDRESS_OCTETS} characters")
    return f"{local}@{ascii_domain}"


def header_address(value: str, field: str) -> str:
    """Return `value` (`a@b` or `Name <a@b>`) as one mailbox for an address header.

    The display name is kept and quoted where RFC 5322 asks for it; the domain becomes A-labels.
    Raises as `envelope_address`.
    """
    bare = envelope_address(value, field)
    name = value.partition("<")[0].strip() if "<" in value else ""
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return str(Address(name, addr_spec=bare)) if name else bare


def one_line(value: str, field: str) -> str:
    """Return `value` stripped; for subjects rendered from templates, which end in a line feed.

    Raises:
        UnsafeHeader: a line break is left inside.
    """
    return safe_header(value.strip(), field)


def _bare(value: str, field: str) -> str:
    value = value.strip()
    if "<" not in value:
        return value
    # One mailbox only: "a@b, c@d" or "Name <a@b> <c@d>" would add a recipient nobody asked for.
    if value.count("<") != 1 or not value.endswith(">"):
        raise InvalidAddress(field, "write one address, as name@domain or Name <name@domain>")
    return value[value.index("<") + 1 : -1].strip()


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
