"""The settings of the example project, as a process of it would have them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from example_project.names import NAMES

ROOT = Path(__file__).parents[2]
SERVER = ["/usr/bin/gunicorn", "example_project.wsgi"]

Load = Callable[..., dict[str, Any]]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Run settings.py anew, as a process with this command line and environment would."""

    def load(argv: list[str] = SERVER, **values: str) -> dict[str, Any]:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"ENV_FILE": "", "DATA_DIR": str(tmp_path / "data"), **values}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", argv)
        # Under another name: the settings of this test run stay what they are.
        path = ROOT / "example_project" / "settings.py"
        spec = importlib.util.spec_from_file_location("settings_under_test", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return vars(module)

    return load
