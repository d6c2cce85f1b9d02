"""Write every kind of mail into a folder, to look at before anybody gets one."""

from __future__ import annotations

from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from django_authmail.management.database import DatabaseCommand
from django_authmail.notifiers import registry
from django_authmail.previews import Level, previews
from django_authmail.previews.gallery import write

_FAILS_AT = {
    "error": (Level.ERROR,),
    "warning": (Level.ERROR, Level.WARNING),
    "never": (),
}


class Command(DatabaseCommand):
    help = (
        "Write every kind of mail, the project's own too, in each language into a folder: as a "
        "page for light and dark, as text and as .eml, with an index.html that shows them on a "
        "desktop and on phones. Sample values only; nothing is sent. Ends with 1 if the checker "
        "finds an error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--out", required=True, metavar="DIR", help="the folder; made if need be"
        )
        parser.add_argument(
            "--kind", action="append", default=[], dest="kinds", help="only this kind, repeatable"
        )
        parser.add_argument(
            "--fail-level",
            choices=sorted(_FAILS_AT),
            default="error",
            help="what makes it end with 1; by default an error",
        )

    def handle(
        self, *args: Any, out: str, kinds: list[str], fail_level: str, **options: Any
    ) -> None:
        folder = Path(out)
        for kind in kinds:
            try:
                registry.get(kind)
            except LookupError as error:
                raise CommandError(str(error)) from None
        counts: Counter[Level] = Counter()
        try:
            for preview in write(folder, previews(kinds)):
                counts.update(finding.level for finding in preview.findings)
                self._line(preview)
        except OSError as error:
            raise CommandError(f"{folder} cannot be written to: {error.strerror}") from None
        self.stdout.write(f"Open {folder.resolve() / 'index.html'}")
        found = f"errors: {counts[Level.ERROR]}, warnings: {counts[Level.WARNING]}"
        if any(counts[level] for level in _FAILS_AT[fail_level]):
            raise CommandError(found)
        self.stdout.write(self.style.SUCCESS(found))

    def _line(self, preview: Any) -> None:
        subject = preview.message.subject if preview.message else "-"
        self.stdout.write(f"  {preview.name:<34} {subject}")
        for finding in preview.findings:
            style = self.style.ERROR if finding.level is Level.ERROR else self.style.WARNING
            self.stdout.write(style(f"      {finding.level} {finding.code}: {finding.detail}"))
