"""The Korean catalogue: complete, and compiled as it is written."""

from __future__ import annotations

import re
import shutil
import string
import subprocess
import sys
from pathlib import Path

import polib
import pytest

import django_authmail

PACKAGE = Path(django_authmail.__file__).parent
CATALOGUE = PACKAGE / "locale" / "ko" / "LC_MESSAGES" / "django.po"

Key = tuple[str | None, str, str]


def key(entry: polib.POEntry) -> Key:
    return entry.msgctxt, entry.msgid, entry.msgid_plural


@pytest.fixture(scope="module")
def catalogue() -> polib.POFile:
    return polib.pofile(str(CATALOGUE))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> polib.POFile:
    """The strings that the source marks for translation, collected anew."""
    if shutil.which("xgettext") is None:
        pytest.skip("gettext is not installed: the source cannot be searched for strings")
    copy = tmp_path_factory.mktemp("source") / "django_authmail"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "*.po", "*.mo"))
    subprocess.run(
        [sys.executable, "-m", "django", "makemessages", "--locale=ko"],
        cwd=copy,
        check=True,
        capture_output=True,
    )
    return polib.pofile(str(copy / "locale" / "ko" / "LC_MESSAGES" / "django.po"))


def test_every_string_of_the_source_is_translated(
    source: polib.POFile, catalogue: polib.POFile
) -> None:
    translated = {key(entry) for entry in catalogue if entry.translated()}
    missing = {key(entry) for entry in source} - translated
    assert not missing, "run makemessages -l ko in django_authmail, translate, run compilemessages"


def test_no_string_is_left_over_or_uncertain(source: polib.POFile, catalogue: polib.POFile) -> None:
    assert {key(entry) for entry in catalogue} == {key(entry) for entry in source}
    assert [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete] == []
    assert not catalogue.metadata_is_fuzzy


def test_the_compiled_catalogue_is_the_written_one(catalogue: polib.POFile) -> None:
    compiled = polib.mofile(str(CATALOGUE.with_suffix(".mo")))
    assert {key(e): (e.msgstr, e.msgstr_plural) for e in compiled} == {
        key(e): (e.msgstr, e.msgstr_plural) for e in catalogue
    }


def test_a_translation_has_the_placeholders_of_its_string(catalogue: polib.POFile) -> None:
    for entry in catalogue:
        for translation in [entry.msgstr, *entry.msgstr_plural.values()]:
            if translation:
                assert placeholders(translation) == placeholders(entry.msgid), entry.msgid


def placeholders(text: str) -> set[str]:
    named = set(re.findall(r"%\(\w+\)[ds]", text))
    return named | {f"{{{name}}}" for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_catalogue_names_no_machine_and_no_person(catalogue: polib.POFile) -> None:
    text = CATALOGUE.read_text()
    assert "@" not in "".join(catalogue.metadata.values())
    assert not re.search(r"/(work|root|home|tmp)/", text)
