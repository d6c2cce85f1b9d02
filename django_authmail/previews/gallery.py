"""A folder with every sample of every kind: pages, text, .eml files, and an index to look at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from django.template import Context, Engine
from django.utils import translation
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_authmail.conf import conf
from django_authmail.message import AuthMessage
from django_authmail.notifiers import registry
from django_authmail.notifiers.brand import current_brand
from django_authmail.previews.checker import Level
from django_authmail.previews.frames import Scheme, html_page, text_page
from django_authmail.previews.samples import Preview

_PACKAGE = Path(__file__).resolve().parent.parent

#: The ways that a sample is shown, and what they are called.
VIEWS = {
    "desktop": gettext_lazy("Desktop"),
    "phone": gettext_lazy("Phone"),
    "dark": gettext_lazy("Phone, dark"),
    "text": gettext_lazy("Text part"),
}


@dataclass(kw_only=True)
class Kind:
    """One kind of the gallery."""

    name: str
    description: str
    errors: int = 0
    warnings: int = 0
    samples: list[SafeString] = field(default_factory=list)


def page_of(message: AuthMessage, view: str) -> str:
    """Return the page that shows a mail in one of VIEWS."""
    if view == "text" or not message.html_body:
        return text_page(message)
    return html_page(message, Scheme.DARK if view == "dark" else Scheme.LIGHT)


def write(folder: Path, made: Iterable[Preview]) -> Iterator[Preview]:
    """Write the files of each sample into `folder` and yield it; the index comes last.

    Files of an earlier run are replaced; what else is in the folder stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, Kind] = {}
    locales: dict[str, None] = {}
    for preview in made:
        kind = kinds.setdefault(preview.kind, _kind(preview.kind))
        kind.errors += sum(found.level is Level.ERROR for found in preview.findings)
        kind.warnings += sum(found.level is Level.WARNING for found in preview.findings)
        kind.samples.append(_write_sample(folder, preview))
        locales[preview.locale] = None
        yield preview
    (folder / "index.html").write_text(
        _index(list(kinds.values()), list(locales)), encoding="utf-8"
    )


def _write_sample(folder: Path, preview: Preview) -> SafeString:
    if preview.message is None:
        return _render("sample.html", preview=preview)
    files = {"light": "desktop", "dark": "dark", "text": "text"}
    for suffix, view in files.items():
        (folder / f"{preview.name}.{suffix}.html").write_text(
            page_of(preview.message, view), encoding="utf-8"
        )
    (folder / f"{preview.name}.eml").write_bytes(preview.message.as_bytes())
    sources = {"desktop": "light", "phone": "light", "dark": "dark", "text": "text"}
    frames = [
        (view, title, f"{preview.name}.{sources[view]}.html") for view, title in VIEWS.items()
    ]
    return _render("sample.html", preview=preview, frames=frames, eml=f"{preview.name}.eml")


def _kind(name: str) -> Kind:
    return Kind(name=name, description=str(registry.get(name).description))


def _index(kinds: list[Kind], locales: list[str]) -> str:
    language = translation.get_language() or "en"
    brand = current_brand(conf.default_from_email, language.partition("-")[0])
    return _render(
        "index.html",
        language=language,
        title=_("Mails of %(name)s") % {"name": brand.name},
        summary=_summary(kinds),
        css=(_PACKAGE / "static" / "authmail" / "previews.css").read_text(encoding="utf-8"),
        kinds=kinds,
        locales=locales,
    )


def _summary(kinds: list[Kind]) -> str:
    samples = sum(len(kind.samples) for kind in kinds)
    errors, warnings = (sum(getattr(k, level) for k in kinds) for level in ("errors", "warnings"))
    return ", ".join(
        (
            ngettext("%(count)d kind", "%(count)d kinds", len(kinds)) % {"count": len(kinds)},
            ngettext("%(count)d sample", "%(count)d samples", samples) % {"count": samples},
            ngettext("%(count)d error", "%(count)d errors", errors) % {"count": errors},
            ngettext("%(count)d warning", "%(count)d warnings", warnings) % {"count": warnings},
        )
    )


def _render(name: str, **values: object) -> SafeString:
    return _engine().get_template(f"authmail/previews/{name}").render(Context(values))


@lru_cache(maxsize=1)
def _engine() -> Engine:
    # Of our own: the index is no page of the project, which need not have Django's templates.
    return Engine(
        dirs=[str(_PACKAGE / "templates")], libraries={"i18n": "django.templatetags.i18n"}
    )
