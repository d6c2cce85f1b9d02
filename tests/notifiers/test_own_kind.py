"""A project's own kind and templates, as docs/notifiers.md has them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from pytest_django.fixtures import Settings

from django_authmail.exceptions import MissingName, UnknownName
from django_authmail.notifiers import OTPNotifier, registry
from tests.settings import BASE_DIR

_FILE = re.compile(r"^```[\w+]+ title=(\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILES = dict(_FILE.findall((BASE_DIR / "docs" / "notifiers.md").read_text()))
KOREAN = {
    "Your parcel is on its way": "택배가 출발했습니다",
    "Nobody from Hanbit will ever ask you for this code.": "한빛상점은 코드를 묻지 않습니다.",
}
VALUES = {"user_name": "홍길동", "carrier": "CJ", "number": "1234-5678"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of the page, in a folder."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "shop" / "__init__.py").touch()
    return tmp_path


@pytest.fixture
def shop(project: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project with its app on the path and its templates in reach."""
    monkeypatch.syspath_prepend(str(project))
    folders = [str(project / "templates"), str(project / "shop" / "templates")]
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": folders}]
    yield project
    registry._KINDS.pop("parcel", None)
    sys.modules.pop("shop.authmail", None)
    sys.modules.pop("shop", None)


def python(project: Path, *arguments: str, cwd: Path | None = None) -> Any:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd or project,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(project), str(BASE_DIR)]),
            "DJANGO_SETTINGS_MODULE": "shop_settings",
            "PYTHONIOENCODING": "utf-8",
        },
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def django(project: Path, *arguments: str, cwd: Path | None = None) -> Any:
    """Run a command of the project, as `python manage.py` does."""
    return python(project, "-m", "django", *arguments, cwd=cwd)


def test_the_kind_of_the_page_works(shop: Path, settings: Settings) -> None:
    settings.AUTHMAIL_NOTIFIERS = ["shop.authmail.ParcelNotifier"]
    assert "parcel" in registry.kinds()
    notifier = registry.get("parcel")()
    message = notifier.build("hong@example.org", **VALUES, locale="en")
    assert message.kind == "parcel"
    assert message.subject == "Your parcel is on its way"
    assert message.text_body == (
        "Hello 홍길동,\n\nYour parcel is on its way: CJ\n\n1234-5678\n\n"
        "This email was sent automatically by Example.\n"
    )
    assert ">1234-5678</span>" in message.html_body
    assert "<p" not in message.html_body.partition("1234-5678")[2]
    assert dict(notifier.samples("ko")["parcel"]) == VALUES
    assert notifier.send("hong@example.org", **VALUES)
    with pytest.raises(
        UnknownName, match="carriers: there is no such value; did you mean carrier?"
    ):
        notifier.build("hong@example.org", **VALUES, carriers="x")
    with pytest.raises(MissingName, match="^number: this value is missing"):
        notifier.build("hong@example.org", "홍길동", "CJ")


def test_one_block_of_ours_is_replaced(shop: Path) -> None:
    message = OTPNotifier().build("hong@example.org", "", "482901", locale="en")
    for part in (message.text_body, message.html_body):
        assert "Nobody from Hanbit will ever ask you for this code." in part
        assert "If you did not ask for this code" not in part
    assert ">482901</span>" in message.html_body


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext is not installed")
def test_translated_as_the_page_says_the_checker_finds_nothing(project: Path) -> None:
    (project / "shop_settings.py").write_text(
        "from tests.settings import *\n"
        "INSTALLED_APPS = [*INSTALLED_APPS, 'shop']\n"
        f"TEMPLATES[0]['DIRS'] = [{str(project / 'templates')!r}]\n"
        f"LOCALE_PATHS = [{str(project / 'locale')!r}]\n"
    )
    shown = ("authmail_preview", "--kind=otp", "--kind=parcel", "--out=out", "--fail-level=warning")
    before = django(project, *shown)
    assert before.stderr == "CommandError: errors: 4, warnings: 0\n"
    assert before.stdout.count("error missing_translation: ") == 4
    for folder in (project, project / "shop"):
        (folder / "locale").mkdir()
    for folder in (project / "shop", project):
        django(project, "makemessages", "-l", "ko", cwd=folder)
        catalogue = folder / "locale" / "ko" / "LC_MESSAGES" / "django.po"
        text = catalogue.read_text()
        for english, korean in KOREAN.items():
            text = text.replace(
                f'msgid "{english}"\nmsgstr ""', f'msgid "{english}"\nmsgstr "{korean}"'
            )
        catalogue.write_text(text)
        django(project, "compilemessages", cwd=folder)
    after = django(project, *shown)
    assert after.stderr == ""
    assert after.stdout.endswith("errors: 0, warnings: 0\n")


def test_the_module_authmail_of_an_app_is_found_when_django_starts(project: Path) -> None:
    (project / "shop_settings.py").write_text(
        "from tests.settings import *\nINSTALLED_APPS = [*INSTALLED_APPS, 'shop']\n"
    )
    program = (
        "import django; django.setup()\n"
        "from django_authmail.notifiers import registry\n"
        "message = registry.get('parcel')().build('a@example.org', '', 'CJ', '1', locale='ko')\n"
        "print(message.text_body.splitlines()[0])\n"
    )
    ran = python(project, "-c", program)
    assert (ran.stdout, ran.stderr) == ("안녕하세요,\n", "")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nowhere.Parcel", "AUTHMAIL_NOTIFIERS: No module named 'nowhere'"),
        ("datetime.date", "AUTHMAIL_NOTIFIERS: datetime.date is no subclass of Notifier"),
        (
            "django_authmail.notifiers.Notifier",
            "AUTHMAIL_NOTIFIERS: Notifier.kind must be lower-case words with hyphens, such as "
            "'parcel-sent', not ''",
        ),
    ],
)
def test_an_entry_that_is_no_notifier_is_named(path: str, said: str, settings: Settings) -> None:
    settings.AUTHMAIL_NOTIFIERS = [path]
    with pytest.raises(ImproperlyConfigured) as caught:
        registry.kinds()
    assert str(caught.value) == said
