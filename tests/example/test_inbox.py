"""The demo's inbox: what it reads from the sink's files, whatever is in them."""

from __future__ import annotations

import re
from pathlib import Path

import polib
import pytest
from django.http import Http404
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from example_project import inbox

GET = RequestFactory().get("/")

MAIL = """\
Return-Path: <bounce@example.com>
From: =?utf-8?b?7ISc67mE7Iqk?= <no-reply@example.com>
To: minji.kim@example.com
Subject: =?utf-8?b?7J247Kad?=
Date: Fri, 20 Nov 2026 11:42:27 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/plain; charset="utf-8"

code 482901
--b
Content-Type: text/html; charset="utf-8"

<b>code 482901</b><script>alert(1)</script>
--b--
"""


@pytest.fixture
def mails(settings: Settings, tmp_path: Path) -> Path:
    """A sink's folder with one mail, `1-0001`, in it, and a file beside that folder."""
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "1-0001.eml").write_text(MAIL)
    (tmp_path / "outside.eml").write_text(MAIL)
    settings.DEMO_INBOX_DIR = folder
    return folder


def test_a_mail_as_people_read_it(mails: Path) -> None:
    mail = inbox.read_mail(mails / "1-0001.eml")

    assert mail.name == "1-0001"
    assert (mail.sender, mail.sender_address) == ("서비스", "no-reply@example.com")
    assert mail.recipients == ["minji.kim@example.com"]
    assert mail.subject == "인증"
    assert mail.sent_at is not None
    assert mail.sent_at.isoformat() == "2026-11-20T11:42:27+00:00"
    assert mail.text.strip() == "code 482901"
    assert "<b>code 482901</b>" in mail.html
    assert mail.source == MAIL


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"From:\r\nTo:\r\nDate: yesterday\r\n\r\nx",
        b"From: <<>>,,\r\nTo: undisclosed-recipients:;\r\n\r\nx",
        b"Date: Fri, 20 Nov 2026 11:42:27 -0000\r\n\r\nno zone",
        b"Content-Type: text/plain; charset=nope\r\n\r\n\xff\xfe",
        b"Content-Type: multipart/alternative\r\n\r\nno boundary",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%",
    ],
)
def test_a_broken_mail_is_shown_too(mails: Path, content: bytes) -> None:
    (mails / "2-0002.eml").write_bytes(content)

    newest = inbox.newest_mails()[0]

    assert newest.name == "2-0002"
    assert newest.initial
    assert newest.sent_at is None or newest.sent_at.tzinfo is not None


def test_only_the_last_mails_are_listed_newest_first(mails: Path) -> None:
    for number in range(2, inbox.LIST_LENGTH + 10):
        (mails / f"9-{number:04d}.eml").write_text(MAIL)

    listed = [mail.name for mail in inbox.newest_mails()]

    assert len(listed) == inbox.LIST_LENGTH
    assert listed == sorted(listed, reverse=True)


def test_half_written_files_are_not_listed(mails: Path) -> None:
    (mails / ".9-0009.eml.part").write_text("half")

    assert [mail.name for mail in inbox.newest_mails()] == ["1-0001"]


def test_html_of_a_mail_may_do_nothing(mails: Path) -> None:
    response = inbox.show_html(GET, "1-0001")

    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "script" not in policy
    assert policy.endswith("sandbox")
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("name", ["../outside", "..%2Foutside", "/etc/passwd", "", ".", "x" * 100])
def test_no_name_leads_out_of_the_folder(mails: Path, name: str) -> None:
    with pytest.raises(Http404):
        inbox.download(GET, name)


def test_download_and_newest(mails: Path) -> None:
    assert inbox.download(GET, "1-0001").content.decode() == MAIL
    assert inbox.newest(GET).content == b'{"newest": "1-0001"}'
    assert inbox.newest(RequestFactory().post("/")).status_code == 405


def test_the_korean_catalogue_is_complete_and_compiled() -> None:
    folder = Path(inbox.__file__).parent / "locale" / "ko" / "LC_MESSAGES"
    source = polib.pofile(str(folder / "django.po"))
    compiled = polib.mofile(str(folder / "django.mo"))
    templates = folder.parents[2] / "templates" / "example_project"
    written = "".join(template.read_text() for template in templates.glob("*.html"))

    assert source.percent_translated() == 100
    assert {(e.msgctxt, e.msgid, e.msgstr) for e in source} == {
        (e.msgctxt, e.msgid, e.msgstr) for e in compiled
    }
    used = set(re.findall(r'(?:translate|_\()\s*"([^"]+)"', written))
    assert used <= {entry.msgid for entry in source}
    assert len(used) > 10
