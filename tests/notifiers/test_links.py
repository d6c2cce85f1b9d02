"""Links in mails: the host is the project's, the token is encoded, and nothing else gets in."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_django.fixtures import Settings

from django_authmail.exceptions import InvalidContext, NoLinkBaseURL, UnsafeLink
from django_authmail.notifiers import LinkNotifier, MagicLinkNotifier, PasswordResetNotifier

TO = "hong@example.org"
BASE = "https://app.example.com"


@pytest.fixture(autouse=True)
def _base_url(settings: Settings) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = BASE


def links(token: str = "abc", notifier: LinkNotifier | None = None) -> list[str]:
    """Return the links of both parts of a mail, each once."""
    message = (notifier or MagicLinkNotifier()).build(TO, "홍길동", token, locale="en")
    (line,) = (line for line in message.text_body.splitlines() if "://" in line)
    assert message.html_body.count(f'href="{line}"') == 2  # the button, and the link in words
    assert f">{line}</a>" in message.html_body
    return [line]


def test_a_link_is_base_path_and_token() -> None:
    assert links("abc123token") == [f"{BASE}/set-password?token=abc123token"]
    assert links("t", PasswordResetNotifier()) == [f"{BASE}/reset-password?token=t"]


def test_a_path_is_the_projects_by_setting_and_the_notifiers_by_argument(
    settings: Settings,
) -> None:
    settings.AUTHMAIL_LINK_PATHS = {"magic-link": "/login/{token}/"}
    assert links("a/b") == [f"{BASE}/login/a%2Fb/"]
    assert links("t", MagicLinkNotifier(path="/here")) == [f"{BASE}/here?token=t"]
    assert links("t", PasswordResetNotifier()) == [f"{BASE}/reset-password?token=t"]


def test_a_base_url_may_be_the_notifiers_own() -> None:
    notifier = MagicLinkNotifier(base_url="http://localhost:3000/")
    assert links("t", notifier) == ["http://localhost:3000/set-password?token=t"]


@pytest.mark.parametrize(
    "token",
    [
        "a+b&c=d/==",
        "x&next=https://evil.example",
        "../../../evil",
        "x#@evil.example/",
        '"><script>alert(1)</script>',
        "{user_name}%7Btoken%7D",
        "x" * 2000,
        "".join(map(chr, range(0x21, 0x7F))),
    ],
)
@pytest.mark.parametrize("path", ["", "/t/{token}"])
def test_a_token_is_encoded_whatever_is_in_it(token: str, path: str) -> None:
    (link,) = links(token, MagicLinkNotifier(path=path))
    parts = urlsplit(link)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "app.example.com", "")
    if path:
        assert parts.path.count("/") == 2
        assert parts.query == ""
    else:
        assert parse_qs(parts.query, strict_parsing=True) == {"token": [token]}
        assert parts.path == "/set-password"


@pytest.mark.parametrize(
    "token", ["", "a b", "a\n", "토큰", "\u202e", "\x00", "x" * 2001, None, 123, b"x"]
)
def test_refuses_a_token_that_is_none(token: Any) -> None:
    with pytest.raises(InvalidContext) as caught:
        MagicLinkNotifier().build(TO, "", token)
    assert caught.value.name == "token"


def test_a_project_without_a_base_url_is_told_so(settings: Settings) -> None:
    del settings.AUTHMAIL_LINK_BASE_URL
    with pytest.raises(NoLinkBaseURL, match="set AUTHMAIL_LINK_BASE_URL to the https:// address"):
        MagicLinkNotifier().build(TO, "", "t")
    assert MagicLinkNotifier.for_samples().base_url == "https://app.example.com"


def test_a_notifier_refuses_a_base_url_or_path_that_leads_elsewhere() -> None:
    with pytest.raises(UnsafeLink, match="^base_url is http: a token would cross the network"):
        MagicLinkNotifier(base_url="http://app.example.com")
    with pytest.raises(UnsafeLink, match="^path must be a path that begins with one /"):
        MagicLinkNotifier(path="//evil.example")
