"""`manage.py authmail_preview`: every kind in every language, as files that a person opens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from io import StringIO
from pathlib import Path
from typing import Any, Unpack

import pytest
from django.core.management import CommandError, call_command
from django.utils import translation
from pytest_django.fixtures import Settings

from django_authmail.notifiers import Notifier, register, registry, sends
from django_authmail.notifiers.base import Options
from django_authmail.previews import Level, previews
from tests.kinds import SHIPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parcel:
    parcel: str


class _ParcelNotifier(Notifier):
    kind = "parcel-of-tests"
    description = "A parcel"

    @sends
    def send(self, to: str, parcel: str, **options: Unpack[Options]) -> _Parcel:
        return _Parcel(parcel=parcel)

    @classmethod
    def samples(cls, locale: str) -> Mapping[str, Mapping[str, Any]]:
        return {"parcel": {"parcel": "KR-1"}}


@dataclass(kw_only=True)
class Parcel:
    """A kind of the project's own, whose templates a test writes."""

    folder: Path
    kind: str = _ParcelNotifier.kind

    def write(self, name: str, content: str) -> None:
        (self.folder / name).write_text(content)


@pytest.fixture
def parcel(settings: Settings, tmp_path: Path) -> Iterator[Parcel]:
    folder = tmp_path / "templates" / "authmail" / _ParcelNotifier.kind
    folder.mkdir(parents=True)
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [tmp_path / "templates"]}]
    register(_ParcelNotifier)
    parcel = Parcel(folder=folder)
    parcel.write("subject.txt", "{% load i18n %}{% translate 'Hello,' context 'email' %}")
    parcel.write("body.txt", "{{ parcel }}")
    yield parcel
    del registry._KINDS[_ParcelNotifier.kind]


class Run:
    """One run of the command."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        out = StringIO()
        self.error = ""
        try:
            call_command("authmail_preview", *arguments, out=str(folder), stdout=out)
        except CommandError as error:
            self.error = str(error)
        self.out = out.getvalue()


def test_every_kind_that_is_shipped_is_shown_without_findings(
    settings: Settings, tmp_path: Path
) -> None:
    settings.AUTHMAIL_LINK_BASE_URL = "https://shop.example"
    run = Run(tmp_path / "new" / "folder", *(f"--kind={kind}" for kind in SHIPPED))
    assert run.error == ""
    folder = tmp_path / "new" / "folder"
    shown = {path.name.partition(".")[0] for path in folder.glob("*.eml")}
    assert shown == set(SHIPPED)
    index = (folder / "index.html").read_text()
    sources = re.findall(r'<iframe src="([^"]+)"', index)
    assert sources
    assert {source for source in sources if not (folder / source).is_file()} == set()
    for path in folder.glob("*.eml"):
        mail = message_from_bytes(path.read_bytes(), policy=policy.default)
        assert f"  {path.stem:<34} {mail['Subject']}\n" in run.out
        for suffix in ("light.html", "dark.html", "text.html"):
            assert (folder / f"{path.stem}.{suffix}").stat().st_size
    assert run.out.endswith(f"Open {folder / 'index.html'}\nerrors: 0, warnings: 0\n")


def test_a_link_that_begins_with_a_sample_address_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    kinds = ("--kind=magic-link", "--kind=otp", "--kind=welcome")
    run = Run(tmp_path, *kinds)
    assert run.out.endswith("errors: 0, warnings: 4\n")
    assert run.out.count("    warning sample_link: ") == 4
    assert (
        "Links begin with https://app.example.com, a sample: AUTHMAIL_LINK_BASE_URL is not set, "
        "and real mails of this kind fail without it."
    ) in run.out
    settings.AUTHMAIL_LINK_BASE_URL = "https://app.example.com"
    assert Run(tmp_path, *kinds).out.endswith("errors: 0, warnings: 0\n")


def test_each_language_has_a_sample_of_its_own(tmp_path: Path) -> None:
    assert Run(tmp_path, "--kind=otp").error == ""
    names = {path.name for path in tmp_path.glob("otp.1.*.eml")}
    assert names == {"otp.1.en.eml", "otp.1.ko.eml"}
    assert "인증 코드" in (tmp_path / "otp.1.ko.text.html").read_text()


def test_the_index_is_in_the_active_language_and_loads_nothing_from_elsewhere(
    tmp_path: Path,
) -> None:
    with translation.override("ko"):
        Run(tmp_path, "--kind=otp")
    index = (tmp_path / "index.html").read_text()
    assert '<html lang="ko">' in index
    assert "<h1>Example의 메일</h1>" in index
    assert not re.search(r"https?://|<script|url\(", index)
    assert re.findall("<iframe [^>]*>", index) == re.findall(
        r'<iframe src="otp[^"]*" title="[^"]+" sandbox loading="lazy">', index
    )


def test_a_kind_of_the_project_is_checked_as_well(parcel: Parcel, tmp_path: Path) -> None:
    parcel.write(
        "body.html", '<html lang="x"><img src="https://x.example/a.png" alt="{{ parcel }}">'
    )
    run = Run(tmp_path / "out", "--kind", parcel.kind)
    assert run.error == "errors: 2, warnings: 0"
    assert (
        "error remote_content: It loads something from elsewhere, which tells a server who reads "
        "it: <img> https://x.example/a.png"
    ) in run.out
    index = (tmp_path / "out" / "index.html").read_text()
    assert index.count("<code>remote_content</code>") == 2
    assert "A parcel" in index


def test_a_string_that_is_not_translated_is_found(parcel: Parcel, tmp_path: Path) -> None:
    parcel.write("body.txt", "{% load i18n %}{% translate 'Your parcel:' %} {{ parcel }}")
    run = Run(tmp_path / "out", "--kind", parcel.kind)
    assert run.error == "errors: 1, warnings: 0"
    assert "missing_translation: This line is the same in both languages: Your parcel: KR-1" in (
        run.out
    )


def test_a_kind_that_cannot_be_made_does_not_stop_the_others(
    parcel: Parcel, tmp_path: Path
) -> None:
    parcel.write("body.txt", "{{ parsel }}")
    run = Run(tmp_path / "out", "--kind", parcel.kind, "--kind", "otp")
    assert re.search(
        r"error not_made: InvalidContext: parsel: .* the notifier does not give it", run.out
    )
    assert "otp.1.ko" in run.out
    assert run.error == "errors: 2, warnings: 0"


def test_a_kind_whose_samples_fail_does_not_stop_the_others(
    parcel: Parcel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def samples(locale: str) -> Mapping[str, Mapping[str, Any]]:
        raise KeyError(locale)

    monkeypatch.setattr(_ParcelNotifier, "samples", samples)
    run = Run(tmp_path / "out", "--kind", parcel.kind, "--kind", "otp")
    assert "error not_made: KeyError: 'en'" in run.out
    assert "otp.1.ko" in run.out
    assert run.error == "errors: 2, warnings: 0"


def test_files_are_utf_8_whatever_the_machine_prefers(tmp_path: Path) -> None:
    code = (
        "import django; django.setup(); from pathlib import Path;"
        "from django_authmail.previews import previews;"
        "from django_authmail.previews.gallery import write;"
        f"print(len(list(write(Path({str(tmp_path)!r}), previews(['otp'])))))"
    )
    environment = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "홍길동" in (tmp_path / "otp.1.ko.light.html").read_text(encoding="utf-8")


def test_warnings_count_where_asked_for(
    parcel: Parcel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ParcelNotifier, "samples", classmethod(lambda cls, locale: {}))
    [first, second] = previews([parcel.kind])
    assert {(f.level, f.code) for made in (first, second) for f in made.findings} == {
        (Level.WARNING, "no_sample")
    }
    assert Run(tmp_path / "out", "--kind", parcel.kind).error == ""
    at_warning = Run(tmp_path / "out", "--kind", parcel.kind, "--fail-level=warning")
    assert at_warning.error == "errors: 0, warnings: 2"


def test_an_error_can_be_let_pass(parcel: Parcel, tmp_path: Path) -> None:
    parcel.write("body.txt", "")
    assert Run(tmp_path / "out", "--kind", parcel.kind).error == "errors: 2, warnings: 0"
    assert Run(tmp_path / "out", "--kind", parcel.kind, "--fail-level=never").error == ""


def test_an_unknown_kind_is_told_with_the_nearest(tmp_path: Path) -> None:
    run = Run(tmp_path / "out", "--kind", "magic-lnk")
    assert "did you mean 'magic-link'?" in run.error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    run = Run(tmp_path / "file" / "out")
    assert run.error == f"{tmp_path / 'file' / 'out'} cannot be written to: Not a directory"
