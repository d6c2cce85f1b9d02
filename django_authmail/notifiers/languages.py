"""Which language a mail is in."""

from __future__ import annotations

import logging

from django.utils import translation

from django_authmail.conf import conf

logger = logging.getLogger(__name__)

#: The languages that the mails exist in.
LOCALES = ("en", "ko")


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
