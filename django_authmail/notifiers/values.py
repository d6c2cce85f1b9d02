"""What a person's name, a code and a lifetime may look like in a mail. Pure."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta

from django.utils.translation import npgettext

from django_authmail.exceptions import InvalidContext
from django_authmail.secret import Secret

#: Contract, section 1.
MAX_NAME = 100

_CODE = re.compile(r"[A-Za-z0-9-]{4,12}")

# Letters and marks that show as nothing (Unicode: Default_Ignorable_Code_Point), which a name can
# use to look like another one. Controls and format characters (bidi, zero-width) go by category.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0000-\U000e0fff]"
)
# What mail programs turn into a link by themselves: "evil.example" in a name would be a link in
# our mail. U+3002, U+FF0E and U+FF61 are dots to IDNA (RFC 3490 3.1).
_LINK_DOT = re.compile("(?<=\\w)([.\u3002\uff0e\uff61])(?=\\w)")


def clean_name(value: str) -> str:
    """Return a person's name as it may stand in a mail: visible characters on one line, NFC.

    It is cut at 100 characters, and a dot inside a word is followed by a space, so that no mail
    program makes a link of it. May return an empty string; templates greet without a name then.
    """
    if not isinstance(value, str):
        raise InvalidContext("user_name", f"must be a string, not {type(value).__name__}")
    # NFC comes last: removing an invisible character can bring a letter and its mark together.
    name = "".join(map(_visible, value))
    name = unicodedata.normalize("NFC", " ".join(_INVISIBLE.sub("", name).split()))
    name = _LINK_DOT.sub(r"\1 ", name).replace("://", ": //")
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1].rstrip() + "…"


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
