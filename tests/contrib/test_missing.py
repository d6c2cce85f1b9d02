"""An integration whose package is not installed says so, and what to install."""

from __future__ import annotations

import importlib
import sys

import pytest

from django_authmail.exceptions import MissingExtra


@pytest.mark.parametrize(
    ("module", "package", "distribution"),
    [
        ("allauth", "allauth", "django-allauth"),
        ("dj_rest_auth", "dj_rest_auth", "dj-rest-auth"),
    ],
)
def test_says_what_to_install(
    module: str, package: str, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # what a missing package is to Python
    monkeypatch.delitem(sys.modules, f"django_authmail.contrib.{module}", raising=False)
    with pytest.raises(MissingExtra) as caught:
        importlib.import_module(f"django_authmail.contrib.{module}")
    assert str(caught.value) == (
        f"django_authmail.contrib.{module} needs the package {package!r}, which is not installed; "
        f"run: pip install {distribution}"
    )
