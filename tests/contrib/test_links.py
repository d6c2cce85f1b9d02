"""Links that other packages make go to the project's own host, and nowhere else."""

from __future__ import annotations

import pytest

from django_authmail.contrib.auth import ResetLinkNotifier
from django_authmail.contrib.links import local_part
from django_authmail.exceptions import NoLinkBaseURL


@pytest.mark.parametrize(
    ("url", "link"),
    [
        pytest.param("/reset/MQ/abc-1/", "https://app.example.com/reset/MQ/abc-1/", id="a path"),
        pytest.param(
            "https://evil.example/reset?key=a%2Fb#top",
            "https://app.example.com/reset?key=a%2Fb#top",
            id="another host, a query, a fragment",
        ),
        pytest.param(
            "https://app.example.com//evil.example/x",
            "https://app.example.com/evil.example/x",
            id="two slashes",
        ),
        pytest.param("https://evil.example", "https://app.example.com/", id="a host alone"),
        pytest.param(
            "https://user:pw@evil.example/x", "https://app.example.com/x", id="a user in it"
        ),
        pytest.param("@evil.example/x", "https://app.example.com/@evil.example/x", id="an @"),
        pytest.param(".evil.example/x", "https://app.example.com/.evil.example/x", id="a dot"),
    ],
)
def test_host_is_the_project_s(url: str, link: str) -> None:
    notifier = ResetLinkNotifier(base_url="https://app.example.com")
    assert notifier.link(local_part(url)) == link


def test_a_path_of_the_base_is_left_out() -> None:
    notifier = ResetLinkNotifier(base_url="https://example.com/app")
    assert notifier.link(local_part("/app/reset/x/")) == "https://example.com/app/reset/x/"


def test_without_a_base_there_is_no_link() -> None:
    with pytest.raises(NoLinkBaseURL, match="AUTHMAIL_LINK_BASE_URL"):
        ResetLinkNotifier().link("/x")
