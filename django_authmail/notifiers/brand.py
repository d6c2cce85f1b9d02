"""How a project's mails look as its own: AUTHMAIL_BRAND."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from pathlib import Path

from django_authmail.conf import conf
from django_authmail.message import Attachment

logger = logging.getLogger(__name__)

#: Of buttons, where the project says nothing.
DEFAULT_COLOUR = "#1d4ed8"
DEFAULT_LOGO_WIDTH = 120

_LOGO_TYPES = {"gif": "image/gif", "jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What the templates are given as `brand`."""

    name: str
    #: To be shown by `cid:` in place of the name; None: there is none.
    logo: Attachment | None = None
    #: In pixels, as it is shown. Files of twice the width are sharp on every screen.
    logo_width: int = DEFAULT_LOGO_WIDTH
    #: Of buttons, as `#rrggbb`.
    colour: str = DEFAULT_COLOUR
    #: The one of black and white that is readable on it.
    on_colour: str = "#ffffff"
    #: An address or an https URL to ask for help; may be empty.
    support: str = ""
    #: Lines at the end of every mail, such as the company's name and address.
    footer: tuple[str, ...] = ()

    @property
    def support_link(self) -> str:
        return self.support if self.support.startswith("https://") else f"mailto:{self.support}"


def current_brand(from_email: str, locale: str) -> Brand:
    """Return the project's brand in a language; its name is that of the From by default."""
    given = conf.brand
    colour = str(given.get("colour", DEFAULT_COLOUR)).lower()
    return Brand(
        name=_in(locale, given.get("name", "")) or _name_of(from_email),
        logo=_logo(os.fspath(given["logo"])) if given.get("logo") else None,
        logo_width=int(given.get("logo_width", DEFAULT_LOGO_WIDTH)),
        colour=colour,
        on_colour=readable_on(colour),
        support=str(given.get("support", "")),
        footer=tuple(_in(locale, given.get("footer", "")).splitlines()),
    )


def readable_on(colour: str) -> str:
    """Return white or black, whichever has the better contrast: 4.5 to 1 at least (WCAG 2.1 AA)."""
    # Their contrasts with a colour of luminance L are 1.05 / (L + 0.05) and (L + 0.05) / 0.05,
    # which are equal, 4.58, where (L + 0.05) squared is 1.05 * 0.05.
    return "#ffffff" if luminance(colour) + 0.05 <= (1.05 * 0.05) ** 0.5 else "#000000"


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.1), 0 to 1."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# A project has one From, or a few.
@lru_cache(maxsize=32)
def _name_of(from_email: str) -> str:
    name, address = parseaddr(from_email)
    return name or address.rpartition("@")[2]


def _logo(path: str) -> Attachment | None:
    try:
        return _read_logo(path)
    except OSError as error:
        # A missing picture stops no login; `manage.py check` says the same, as an error.
        logger.error("AUTHMAIL_BRAND['logo'] cannot be read, mails go without: %s", error)
        return None


# A failure is not cached: what is mended is shown at once.
@lru_cache(maxsize=8)
def _read_logo(path: str) -> Attachment:
    suffix = path.rpartition(".")[2].lower()
    return Attachment(
        f"logo.{suffix}", Path(path).read_bytes(), _LOGO_TYPES[suffix], content_id="logo"
    )


def _in(locale: str, text: str | Mapping[str, str]) -> str:
    """Return a text that is the same in every language, or one for each."""
    return text if isinstance(text, str) else text.get(locale, "")
