from __future__ import annotations

import json
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from django_authmail.guards import safe_header
from django_authmail.smtp.presets import PRESETS, Preset, preset

PAGE = Path(__file__).parents[2] / "docs" / "smtp-presets.md"
EVERY = [pytest.param(name, id=name) for name in PRESETS]


def table() -> str:
    """The table of the page, from the code."""

    def mode(entry: Preset) -> str:
        return "TLS" if entry.use_ssl else "STARTTLS" if entry.use_tls else "none"

    lines = [
        "| Name | Host | Port | TLS | Connections | Mails per connection | Mails a day | To know |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{entry.name}` | {entry.host} | {entry.port} | {mode(entry)} | {entry.pool_size} "
        f"| {entry.max_mails} | {entry.daily_quota or '–'} | {entry.note} |"
        for entry in PRESETS.values()
    ]
    return "\n".join(lines)


def headers() -> str:
    """The list of the page, from the code."""
    return "\n".join(
        f"- `{entry.name}`: " + ", ".join(f"`{name}: {text}`" for name, text in items)
        for entry in PRESETS.values()
        if (items := entry.headers.items())
    )


@pytest.mark.parametrize("part", [table, headers])
def test_the_page_says_what_the_code_does(part: Any) -> None:
    assert part() in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE.name}:\n{part()}"


def test_the_providers() -> None:
    assert (
        list(PRESETS)
        == (
            "gmail google-workspace naver daum microsoft365 "
            "sendgrid ses:REGION postmark mailgun mailpit"
        ).split()
    )


@pytest.mark.parametrize("name", EVERY)
def test_each_is_complete(name: str) -> None:
    entry = PRESETS[name]
    assert entry.name == name
    assert not (entry.use_tls and entry.use_ssl)
    assert entry.use_tls == (entry.port == 587)
    assert entry.use_ssl == (entry.port == 465)
    assert (entry.use_tls or entry.use_ssl) == (name != "mailpit")
    assert 1 <= entry.pool_size <= 4
    assert 1 <= entry.max_mails <= 90
    assert entry.max_age > 0
    assert entry.note.endswith(".")
    assert "|" not in entry.note
    hash(entry)


@pytest.mark.parametrize(
    ("name", "quota"), [("gmail", 500), ("google-workspace", 2000), ("naver", 500), ("daum", None)]
)
def test_known_quotas(name: str, quota: int | None) -> None:
    assert preset(name).daily_quota == quota


def test_microsoft_leaves_room_for_other_processes() -> None:
    # Three connections per mailbox, over all processes.
    assert preset("microsoft365").pool_size == 1


def test_ses_is_named_with_its_region() -> None:
    seoul = preset("ses:ap-northeast-2")
    assert seoul.name == "ses:ap-northeast-2"
    assert seoul.host == "email-smtp.ap-northeast-2.amazonaws.com"
    assert preset("ses:us-gov-west-1").host == "email-smtp.us-gov-west-1.amazonaws.com"


@pytest.mark.parametrize(
    "name",
    [
        "ses",
        "ses:",
        "ses:REGION",
        "ses:seoul",
        "ses:AP-NORTHEAST-2",
        "ses:a.evil.com/-1",
        "ses:x\n",
    ],
)
def test_ses_without_a_region_is_refused(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="needs a region of AWS"):
        preset(name)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("gmial", "gmail"), ("Gmail", "gmail"), ("workspace", "google-workspace"), ("navr", "naver")],
)
def test_an_unknown_name_gets_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"did you mean '{meant}'"):
        preset(name)


def test_a_name_like_no_other_gets_the_list() -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        preset("xyz")
    assert str(caught.value) == f"there is no preset 'xyz'; known are {', '.join(PRESETS)}"


def test_headers_switch_every_kind_of_tracking_off() -> None:
    assert preset("postmark").headers == {"X-PM-TrackLinks": "None", "X-PM-TrackOpens": "false"}
    assert preset("mailgun").headers == {
        "X-Mailgun-Track": "no",
        "X-Mailgun-Track-Clicks": "no",
        "X-Mailgun-Track-Opens": "no",
    }
    filters = json.loads(preset("sendgrid").headers["X-SMTPAPI"])["filters"]
    assert filters.keys() == {"clicktrack", "opentrack", "ganalytics", "subscriptiontrack"}
    assert all(value == {"settings": {"enable": 0}} for value in filters.values())


@pytest.mark.parametrize("name", EVERY)
def test_headers_arrive_as_they_are(name: str) -> None:
    wanted = preset(name.replace("REGION", "eu-west-1")).headers
    sent = EmailMessage("Code", "text", "a@example.com", ["b@example.com"], headers=dict(wanted))
    octets = sent.message().as_bytes()
    assert b"=?" not in octets
    received = message_from_bytes(octets, policy=policy.default)
    for header, text in wanted.items():
        assert safe_header(text, header) == text
        assert received[header] == text


def test_a_preset_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        preset("postmark").headers["X-PM-TrackLinks"] = "HtmlAndText"  # type: ignore[index] # the point
    with pytest.raises(TypeError):
        PRESETS["gmail"] = preset("naver")  # type: ignore[index] # the point


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        pytest.param("gmail", {}, ("smtp.gmail.com", 465, False, True), id="nothing given"),
        pytest.param("gmail", {"port": 587}, ("smtp.gmail.com", 587, True, False), id="port"),
        pytest.param(
            "gmail", {"use_tls": True}, ("smtp.gmail.com", 587, True, False), id="STARTTLS"
        ),
        pytest.param(
            "naver",
            {"use_ssl": True},
            ("smtp.naver.com", 465, False, True),
            id="TLS from the start",
        ),
        pytest.param(
            "naver", {"port": 465}, ("smtp.naver.com", 465, False, True), id="the TLS port"
        ),
        pytest.param(
            "gmail",
            {"port": 2000, "use_tls": True, "use_ssl": False, "host": "relay.example.com"},
            ("relay.example.com", 2000, True, False),
            id="everything",
        ),
        pytest.param("gmail", {"use_ssl": False}, ("smtp.gmail.com", 465, False, False), id="off"),
        pytest.param("mailpit", {}, ("localhost", 1025, False, False), id="mailpit"),
        pytest.param("mailpit", {"port": 2025}, ("localhost", 2025, False, False), id="its port"),
        pytest.param("mailpit", {"use_tls": True}, ("localhost", 1025, True, False), id="its TLS"),
    ],
)
def test_what_is_given_wins(
    name: str, given: dict[str, Any], expected: tuple[str, int, bool, bool]
) -> None:
    filled = preset(name).options(given)
    assert (filled["host"], filled["port"], filled["use_tls"], filled["use_ssl"]) == expected


def test_limits_and_user_are_filled_in() -> None:
    filled = preset("sendgrid").options({"password": "key", "max_mails": 10})
    assert filled["user"] == "apikey"
    assert filled["password"] == "key"
    assert filled["max_mails"] == 10
    assert filled["pool_size"] == 4
    assert preset("sendgrid").options({"user": "other"})["user"] == "other"
    assert "user" not in preset("gmail").options({})
