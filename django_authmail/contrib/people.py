"""What a mail may say about a user of the project, and about the browser that asked for it."""

from __future__ import annotations

import re
from typing import Any

_HANGUL = re.compile("[가-힣]+")

# From the special to the general: every browser also calls itself the ones further down. The words
# are ours; nothing that a request says about itself gets into a mail.
_BROWSERS = (
    ("KAKAOTALK", "KakaoTalk"),
    ("NAVER(inapp", "NAVER"),
    ("Whale/", "Whale"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def name_of(user: Any) -> str:
    """Return how a mail addresses a user: by full name; an empty string where there is none.

    A Korean name is family name first, without a space: 홍길동. A login name is no name: it is
    often the address itself.

    `user` is of any user model: what it lacks is taken as empty.
    """
    first = str(getattr(user, "first_name", "") or "").strip()
    last = str(getattr(user, "last_name", "") or "").strip()
    if _HANGUL.fullmatch(first) and _HANGUL.fullmatch(last):
        return last + first
    get_full_name = getattr(user, "get_full_name", None)
    return str(get_full_name()).strip() if get_full_name is not None else f"{first} {last}".strip()


def device_of(user_agent: str) -> str:
    """Return `Chrome, Windows` for a User-Agent header; what is not known is left out."""
    known = (
        next((word for mark, word in words if mark in user_agent), "")
        for words in (_BROWSERS, _SYSTEMS)
    )
    return ", ".join(filter(None, known))
