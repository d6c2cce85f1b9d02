"""The longest and the nastiest values in every kind and language, read back by two parsers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from email import message_from_bytes
from email.policy import default
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest
from fast_mail_parser import parse_email

from django_authmail import notifiers
from django_authmail.message import AuthMessage
from tests.kinds import SHIPPED
from tests.notifiers.page import LOCALES, Page

#: What people type as their name, and what they would have a mail say.
NAMES = {
    "direction": "\u202e109284\u202c Kim \u2066\u2067x\u2069\u200f",
    "zero width": "\u200b\u200c\u200d\u2060\ufeffK\u00adi\u034fm\u115f\u3164\U000e0041",
    "an address of a site": "Visit https://evil.example/win now",
    "a site without a scheme": "evil.example/login www.evil.example",
    "dots of other scripts": "evil\u3002a evil\uff0ea evil\uff61a evil\u2024a evil\ufe52a",
    "an address": "security@evil.example",
    "other schemes": "javascript://x data://x ftp://evil mailto://a",
    "a line of our own": "Kim,\r\n\r\nYour code is 000000\n\n\u2028New\u2029Line\x0b\x0c\x85end",
    "headers": "Kim\r\nBcc: victim@example.org\r\nX-Evil: 1",
    "django": "{{ code }}{% debug %}{# x #}{% include 'x' %}",
    "formats": "{code}{0.__class__}%(code)s$code${code}<%= code %>",
    "html": "</td></table><a href='https://evil.example'>click</a><img src=x onerror=alert(1)>",
    "attributes": "\" onmouseover=alert(1) x='",
    "style": "</style><style>*{display:none}</style>",
    "entities": "&lt;b&gt;&#8238;&#x202e;&amp;",
    "encoded word": "=?utf-8?b?SGVsbG8=?=",
    "controls": "K" + "".join(map(chr, range(32))) + "\x7f\x9f\ufffe\ud800\ue000",
    "marks": "K" + "\u0301" * 5_000,
    "ten thousand characters": "가" * 10_000,
    "one long word": "x" * 10_000,
    "nothing": "\u2800\u3164\u200b",
}
_FORBIDDEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u2028\u2029]")
# What mail programs turn into links by themselves; those that were meant are taken out before.
_AUTOMATIC = re.compile(r"://|\w[.\u3002\uff0e\uff61\u2024\ufe52](?!\d)\w")

#: Everything that a person may have typed, in whatever kind takes it.
TYPED = ("user_name", "inviter_name", "organization", "order", "method", "place", "device")
TOKEN = "".join(map(chr, range(0x21, 0x7F))) * 21 + "x" * 26
BASE_URL = "https://app.example.com"


def nasty(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a sample's values with everything replaced that comes from a person."""
    changed = dict(values) | {"place": name, "device": name}
    for key in TYPED:
        # A receipt for no order is refused.
        if key in changed and not (key == "order" and name == NAMES["nothing"]):
            changed[key] = name
    if "token" in changed:
        changed["token"] = TOKEN
    if "code" in changed:
        changed["code"] = "ABCD-EFGH-12"
    if "items" in changed:
        changed["items"] = [{"name": name, "amount": 10**12, "quantity": 999_999}] * 3
    return changed


def samples() -> list[Any]:
    """Return each kind with each of its samples; the project's own kinds are not ours to test."""
    return [
        pytest.param(kind, values, id=f"{kind}-{name}")
        for kind in SHIPPED
        for name, values in notifiers.get(kind).samples("en").items()
    ]


@cache
def plain_mail(kind: str, locale: str) -> AuthMessage:
    return build(kind, nasty(first_sample(kind), "x"), locale)


def first_sample(kind: str) -> Mapping[str, Any]:
    return next(iter(notifiers.get(kind).samples("en").values()))


def build(kind: str, values: Mapping[str, Any], locale: str) -> AuthMessage:
    return notifiers.get(kind).for_samples().build("hong@example.org", locale=locale, **values)


def links(html: str) -> set[str]:
    return {link["href"] or "" for link in Page(html).all("a")}


@pytest.mark.parametrize("kind", SHIPPED)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_person_typed_is_text_and_nothing_else(kind: str, name: str) -> None:
    # The languages differ in nothing that a value goes through.
    locale = LOCALES[len(name) % 2]
    plain = plain_mail(kind, locale)
    message = build(kind, nasty(first_sample(kind), NAMES[name]), locale)
    page = Page(message.html_body)
    assert page.open == []
    if name != "nothing":  # which leaves out the rows that have nothing to say
        assert [tag for tag, _ in page.tags] == [tag for tag, _ in Page(plain.html_body).tags]
        assert message.text_body.count("\n") == plain.text_body.count("\n")
    assert links(message.html_body) == links(plain.html_body)
    assert all(link.startswith(f"{BASE_URL}/") for link in links(message.html_body))
    for part in (message.subject, message.text_body, Page(message.html_body).text):
        shown = part.replace("\u2007", "")
        assert not _FORBIDDEN.search(shown)
        assert not any(unicodedata.category(c) in ("Cs", "Co") for c in shown)
        for link in links(message.html_body):
            shown = shown.replace(link, "")
        # The name of the sender stands for all that is not typed.
        assert not _AUTOMATIC.search(re.sub(r"\S+@example\.org", "", shown))
    assert "\n" not in message.subject
    assert len(message.as_bytes()) < 102_400


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("kind", "values"), samples())
def test_two_parsers_read_what_was_meant(kind: str, values: Mapping[str, Any], locale: str) -> None:
    message = build(kind, nasty(values, NAMES["html"] + NAMES["direction"]), locale)
    content = message.as_bytes()

    first = message_from_bytes(content, policy=default)
    assert first.defects == []
    assert first["Subject"] == message.subject
    parts = [part for part in first.walk() if not part.is_multipart()]
    bodies = [part.get_content().replace("\r\n", "\n") for part in parts]
    assert bodies == [message.text_body, message.html_body]

    second = parse_email(content, strict=True)
    assert second.warnings == []
    assert second.subject == message.subject
    assert [one.replace("\r\n", "\n") for one in second.text_plain] == [message.text_body]
    assert [one.replace("\r\n", "\n") for one in second.text_html] == [message.html_body]
    assert second.attachments == []
    assert [address.address for address in second.to] == ["hong@example.org"]
    assert second.headers["Content-Language"] == [locale]
    assert second.headers.keys() == {
        *("From", "To", "Subject", "Date", "Message-ID", "Content-Language", "Auto-Submitted"),
        *("X-Auto-Response-Suppress", "X-Entity-Ref-ID", "MIME-Version", "Content-Type"),
    }


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize(("kind", "values"), samples())
def test_a_token_changes_neither_host_nor_path(
    kind: str, values: Mapping[str, Any], locale: str
) -> None:
    if "token" not in values:
        return
    message = build(kind, nasty(values, "Kim"), locale)
    (link,) = links(message.html_body)
    assert urlsplit(link).netloc == "app.example.com"
    assert urlsplit(link).fragment == ""
    # On a line of its own, so that it opens as a whole however long it is.
    assert link in message.text_body.splitlines()
