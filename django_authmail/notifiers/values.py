"""What a person's name, a code and a lifetime may look like in a mail."""

from __future__ import annotations

import re
import unicodedata
from datetime import MAXYEAR, MINYEAR, datetime, timedelta

from django.utils import timezone
from django.utils.dateformat import format as date_format
from django.utils.translation import npgettext, pgettext

from django_authmail.conf import conf
from django_authmail.exceptions import InvalidContext
from django_authmail.secret import Secret

#: Contract, section 1.
MAX_NAME = 100

MAX_TOKEN = 2_000
#: Marks on one letter; no script has more. Hundreds would be drawn over the lines above and below.
MAX_MARKS = 3

_CODE = re.compile(r"[A-Za-z0-9-]{4,12}")
_TOKEN = re.compile(rf"[!-~]{{1,{MAX_TOKEN}}}")

# Letters and marks that show as nothing (Unicode: Default_Ignorable_Code_Point), which a name can
# use to look like another one. Controls and format characters (bidi, zero-width) go by category.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0000-\U000e0fff]"
)
# What mail programs turn into a link by themselves: "evil.example" in a name would be a link in
# our mail. U+3002, U+FF0E and U+FF61 are dots to IDNA (RFC 3490 3.1), U+2024 and U+FE52 become one
# where text is normalised (NFKC). Before the dot may be anything: "i❤.ws" is a name of a host, and
# so are words that end in a vowel sign. No top-level domain is a number, so versions and IPv4
# addresses stay as they are.
_LINK_DOT = re.compile("(?<=[^\\s.])([.\u2024\u3002\ufe52\uff0e\uff61])(?=\\w)(?!\\d+(?:\\W|$))")

# No top-level domain has a digit, save xn--…; what begins with `www.` is a link to some programs.
_DOTTED_NUMBER = re.compile(
    r"(?i:(?!.*www\.))[A-Za-z0-9_#/-]+(?:\.(?=[A-Za-z]*[0-9])[A-Za-z0-9_#/-]+)+"
)


def clean_name(value: str, field: str = "user_name") -> str:
    """Return what a person typed as it may stand in a mail: visible characters on one line, NFC.

    It is cut at 100 characters, and a dot inside a word is followed by a space, so that no mail
    program makes a link of it. May return an empty string; templates greet without a name then.
    """
    if not isinstance(value, str):
        raise InvalidContext(field, f"must be a string, not {type(value).__name__}")
    # Only the beginning is shown; what a name of megabytes would cost is not spent.
    value = value[: 10 * MAX_NAME]
    # NFC comes last: removing an invisible character can bring a letter and its mark together.
    name = "".join(map(_visible, value))
    name = unicodedata.normalize("NFC", " ".join(_INVISIBLE.sub("", name).split()))
    name = _unstacked(name)
    # A subject with an encoded word (RFC 2047) would be refused, and the mail with it.
    name = _LINK_DOT.sub(r"\1 ", name).replace("://", ": //").replace("=?", "= ?")
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1].rstrip() + "…"


def clean_number(value: str, field: str) -> str:
    """Return the number of an order or the like, as `clean_name` does, but with the dots it has.

    A dot with letters alone behind it is followed by a space there too: that could be a host.
    Raises InvalidContext where nothing is left.
    """
    name = clean_name(value, field)
    if not name:
        raise InvalidContext(field, "must not be empty")
    return value if len(value) <= MAX_NAME and _DOTTED_NUMBER.fullmatch(value) else name


def visible_text(value: str) -> str:
    """Return text without what is invisible or turns its direction; lines and length are kept."""
    lines = (_INVISIBLE.sub("", "".join(map(_visible, line))) for line in value.splitlines())
    return _unstacked(unicodedata.normalize("NFC", "\n".join(lines)))


def checked_code(value: str) -> Secret:
    """Return a one-time code, masked for reprs.

    Raises InvalidContext unless it is a string of 4 to 12 ASCII letters, digits or hyphens.
    """
    if not isinstance(value, str):
        # 012345 as a number would be another code.
        raise InvalidContext("code", f"must be a string, not {type(value).__name__}")
    if not _CODE.fullmatch(value):
        # The value is not shown: it may be a real code with a typing error in it.
        raise InvalidContext("code", "must be 4 to 12 characters of A-Z, a-z, 0-9 and hyphen")
    return Secret(value)


def autofill_line(code: str) -> Secret:
    """Return `@example.com #482901`, by which phones know whose code it is; empty without a domain.

    The form is Apple's domain-bound code, in which the line is the last one.
    """
    domain = conf.autofill_domain
    return Secret(f"@{domain} #{code}" if domain else "")


def checked_token(value: str) -> Secret:
    """Return the secret of a link, masked for reprs.

    Raises InvalidContext unless it is a string of 1 to 2,000 printable ASCII characters.
    """
    if not isinstance(value, str):
        raise InvalidContext("token", f"must be a string, not {type(value).__name__}")
    if not _TOKEN.fullmatch(value):
        raise InvalidContext("token", f"must be 1 to {MAX_TOKEN} printable ASCII characters")
    return Secret(value)


def checked_moment(value: datetime | str, field: str) -> datetime:
    """Return a point in time, from a datetime or ISO 8601 text; InvalidContext without offset."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise InvalidContext(field, "is no time as in 2026-11-26T14:05:00+09:00") from None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidContext(field, "must be a time with its offset from UTC")
    if not MINYEAR < value.year < MAXYEAR:
        raise InvalidContext(field, "is no time that every time zone has")
    return value


def moment_in_words(value: datetime) -> str:
    """Return a time in the current time zone and the active language, with its offset from UTC."""
    local = timezone.localtime(value)
    # Translators: letters of Django's `date` filter.
    shown = date_format(local, pgettext("email", "M j, Y, H:i"))
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    if not minutes:
        return f"{shown} (UTC)"
    hours, rest = divmod(abs(minutes), 60)
    return f"{shown} (UTC{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''})"


def origin(at: datetime | str | None, place: str, device: str) -> tuple[tuple[str, str], ...]:
    """Return when, where and by what a mail was asked for, as labels and values; those known."""
    if at is None and place == device == "":
        return ()  # as nearly always: the labels need no translating
    rows = (
        (pgettext("email", "Time"), moment_in_words(checked_moment(at, "at")) if at else ""),
        (pgettext("email", "Place"), clean_name(place, "place")),
        (pgettext("email", "Device"), clean_name(device, "device")),
    )
    return tuple(row for row in rows if row[1])


def checked_lifetime(value: timedelta) -> timedelta:
    """Return how long a mail's content is valid; InvalidContext unless it is at least a second."""
    if not isinstance(value, timedelta) or value < timedelta(seconds=1):
        raise InvalidContext("expires_in", "must be a timedelta of at least one second")
    return value


def lifetime_in_words(value: timedelta) -> str:
    """Return `5 minutes`, `2 hours`, `90 seconds` in the active language.

    The unit is the largest that says it exactly; fractions are dropped, so that a mail never
    promises more than is true.
    """
    seconds = int(value.total_seconds())
    if seconds >= 180 and seconds % 60:
        seconds -= seconds % 60
    size, words = next(unit for unit in _UNITS if seconds >= unit[0] and seconds % unit[0] == 0)
    return words(seconds // size) % {"count": seconds // size}


def _days(count: int) -> str:
    return npgettext("email", "%(count)d day", "%(count)d days", count)


def _hours(count: int) -> str:
    return npgettext("email", "%(count)d hour", "%(count)d hours", count)


def _minutes(count: int) -> str:
    return npgettext("email", "%(count)d minute", "%(count)d minutes", count)


def _seconds(count: int) -> str:
    return npgettext("email", "%(count)d second", "%(count)d seconds", count)


_UNITS = ((86400, _days), (3600, _hours), (60, _minutes), (1, _seconds))


def _unstacked(text: str) -> str:
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        if marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)


def _visible(character: str) -> str:
    match unicodedata.category(character):
        case "Zl" | "Zp" | "Zs":
            return " "
        case "Cc" if character in "\t\n\v\f\r\x85":
            return " "
        case "Cc" | "Cf" | "Cs" | "Co" | "Cn":
            return ""
        case _:
            return character
