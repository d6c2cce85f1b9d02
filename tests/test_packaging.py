"""What a user installs, and that each environment of tox is what its name says."""

import importlib
import os
import platform
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import django
import pytest
from django.db import connection
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import django_authmail
from tests.queries import driver, server_binds
from tests.settings import BASE_DIR

#: Runs in a process of its own that sees the unpacked wheel and not the work tree.
IMPORT_EVERYTHING = """
import importlib, importlib.util, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "django.contrib.sessions",
        "django_authmail",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    SECRET_KEY="only-this-test-uses-it",
    USE_TZ=True,
    REST_AUTH={"TOKEN_MODEL": None},  # of dj-rest-auth, without which it cannot be imported
)
django.setup()
import django_authmail
from django.template.loader import get_template
drivers = {"django_authmail.pipeline": "psycopg"}  # what is for one that this run may not have
for module in pkgutil.walk_packages(django_authmail.__path__, "django_authmail."):
    if not importlib.util.find_spec(drivers.get(module.name, "django")):
        continue
    importlib.import_module(module.name)
for name in ("subject.txt", "body.txt", "body.html"):
    get_template("authmail/otp/" + name)
print(django_authmail.__file__)
"""

#: The drop-in where there is Django and nothing else, then the app where the extras were forgotten.
DJANGO_ONLY = """
import sys
sys.path[:0] = sys.argv[1:]
from django_authmail import SmtpConfig, SmtpSender
from django.conf import settings
assert not settings.configured
settings.configure(
    SECRET_KEY="only-this-test-uses-it", USE_TZ=True, INSTALLED_APPS=["django_authmail"]
)
from django_authmail.smtp import EmailBackend
import django
from django.core.management import call_command
from django.core.management.base import SystemCheckError
django.setup()
try:
    call_command("check")
except SystemCheckError as errors:
    print(errors)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=BASE_DIR,
        check=True,
        capture_output=True,
        text=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def git_files(*options: str) -> set[str]:
    """Return the tracked files, or what else `options` of `git ls-files` asks for."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", *options],
            cwd=BASE_DIR,
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git work tree")
    return set(filter(None, listed.stdout.split("\0")))


def constraints() -> list[Requirement]:
    lines = (BASE_DIR / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines]


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def pyproject() -> dict[str, Any]:
    with (BASE_DIR / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def pyproject_requirements() -> set[str]:
    written = pyproject()
    project = written["project"]
    lists = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *written["dependency-groups"].values(),
    ]
    texts = [item for requirements in lists for item in requirements if isinstance(item, str)]
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_runs_the_django_that_the_environment_names() -> None:
    expected = os.environ.get("EXPECT_DJANGO")
    if expected is None:
        pytest.skip("EXPECT_DJANGO is not set: not an environment of tox")
    if expected == "constraints.txt":
        (pin,) = (item for item in constraints() if item.name == "django" and applies(item))
        assert django.get_version() in pin.specifier
    else:
        assert ".".join(map(str, django.VERSION[:2])) == expected


def test_runs_the_python_that_the_environment_names() -> None:
    environment = os.environ.get("TOX_ENV_NAME")
    if environment is None:
        pytest.skip("not an environment of tox")
    if named := re.match(r"py(3)(\d+)-", environment):
        assert sys.version_info[:2] == (int(named[1]), int(named[2]))
    else:
        # Those of a database name none, and run on any that the package supports.
        supported = SpecifierSet(pyproject()["project"]["requires-python"])
        assert platform.python_version() in supported


@pytest.mark.django_db
def test_runs_on_the_database_that_the_environment_names() -> None:
    environment = os.environ.get("TOX_ENV_NAME")
    if environment is None:
        pytest.skip("not an environment of tox")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    server, _, way = environment.partition("-")
    vendors = {"postgres": "postgresql", "mariadb": "mysql"}
    assert connection.vendor == vendors.get(server, "sqlite")
    if connection.vendor != "postgresql":
        return
    assert driver() == ("psycopg2" if way == "psycopg2" else "psycopg")
    assert server_binds() == (way == "binding")
    with connection.cursor() as cursor:
        cursor.execute("SELECT inet_server_port()::text")
        has_pool = cursor.fetchone()[0] != (connection.settings_dict["PORT"] or "5432")
    assert has_pool == (way == "pgbouncer")


@pytest.mark.parametrize(
    "file",
    [
        "py.typed",
        "migrations/0001_initial.py",
        "templates/authmail/otp/subject.txt",
        "templates/authmail/otp/body.txt",
        "templates/authmail/otp/body.html",
        "locale/ko/LC_MESSAGES/django.mo",
    ],
)
def test_wheel_contains(wheel: Path, file: str) -> None:
    assert f"django_authmail/{file}" in zipfile.ZipFile(wheel).namelist()


def test_wheel_contains_the_files_of_the_package_and_nothing_else(wheel: Path) -> None:
    # What git does not know yet counts too: a new file is not a failure until it is ignored.
    known = git_files("--cached", "--others", "--exclude-standard", "django_authmail")
    files = {name for name in known if (BASE_DIR / name).is_file()}
    packed = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.partition("/")[0].endswith(".dist-info")
    }
    assert packed == files


def test_every_module_of_the_wheel_imports_away_from_the_work_tree(
    wheel: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    zipfile.ZipFile(wheel).extractall(target)
    ran = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT_EVERYTHING, target],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert Path(ran.stdout.strip()) == target / "django_authmail" / "__init__.py"


def test_a_missing_extra_is_no_import_error(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    zipfile.ZipFile(wheel).extractall(target)
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in ("django", "asgiref", "sqlparse"):
        package = Path(importlib.import_module(name).__path__[0])
        (requirements / name).symlink_to(package)
    ran = subprocess.run(
        # -S: no site-packages, so nothing but what is linked above.
        [sys.executable, "-I", "-S", "-c", DJANGO_ONLY, target, requirements],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_constraints_name_no_host() -> None:
    text = (BASE_DIR / "constraints.txt").read_text()
    assert "://" not in text
    assert "@" not in text


def test_constraints_cover_every_requirement_of_the_project() -> None:
    constrained = {canonicalize_name(item.name) for item in constraints()}
    assert pyproject_requirements() - constrained == {"django-authmail"}


def test_no_file_that_belongs_to_one_machine_is_tracked() -> None:
    names = {Path(file).name for file in git_files()}
    assert names.isdisjoint({"uv.lock", ".python-version", ".env"})


def test_version_is_the_newest_one_of_the_changelog() -> None:
    changelog = (BASE_DIR / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == django_authmail.__version__
