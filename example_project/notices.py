"""What the settings have to tell the operator: allowed, but worth a warning at every start."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage
from django.core.checks import Error as CheckError
from django.core.checks import Warning as CheckWarning

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One warning, or an error (an id with E), in the words of the environment."""

    id: str
    text: str
    hint: str = ""


def check_environment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Report the notices to the commands of manage.py."""
    found: list[CheckMessage] = []
    for notice in _notices():
        kind = CheckError if notice.id.startswith("E") else CheckWarning
        found.append(kind(notice.text, hint=notice.hint or None, id=f"example_project.{notice.id}"))
    return found


def log_notices() -> None:
    """Report the notices in the log of a server or worker, where no system check is shown."""
    for notice in _notices():
        logger.warning("%s: %s %s", notice.id, notice.text, notice.hint)


def _notices() -> Iterable[Notice]:
    notices: Iterable[Notice] = settings.ENVIRONMENT_NOTICES
    return notices
