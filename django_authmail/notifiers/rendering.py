"""Templates to text: subject, text part and HTML part of one kind, in one language.

Templates come from the project's Django engine, so a file of the same name in the project replaces
one of ours, block by block with `{% extends %}` or whole. Two things differ from the project's own
pages: text is not escaped (no mail shall greet "O&#x27;Brien"), and a name that is not in the
context is an error instead of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from django.template import Context, Engine, TemplateDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
from django.utils import translation

from django_authmail.exceptions import InvalidContext
from django_authmail.guards import one_line

_OWN_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
# What the templates of this package load, whatever a project has installed.
_LIBRARIES = {
    "authmail": "django_authmail.templatetags.authmail",
    "i18n": "django.templatetags.i18n",
}
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The three parts of a mail. They hold codes, so a repr shows none of them."""

    subject: str = field(repr=False)
    text_body: str = field(repr=False)
    html_body: str = field(repr=False)


def render(folder: str, values: Mapping[str, object], *, locale: str) -> Rendered:
    """Render `subject.txt`, `body.txt` and, if there is one, `body.html` of `authmail/<folder>/`.

    The HTML sees the finished subject as `subject`.

    Raises:
        InvalidContext: a template uses a name that is not in `values`.
        UnsafeHeader: the subject has more than one line.
    """
    engine = _engine()
    with translation.override(locale):
        subject = one_line(_render(engine, f"authmail/{folder}/subject.txt", values), "subject")
        text = _render(engine, f"authmail/{folder}/body.txt", values)
        html = _render(engine, f"authmail/{folder}/body.html", {**values, "subject": subject})
    return Rendered(
        subject=subject,
        text_body=_BLANK_LINES.sub("\n\n", text).strip() + "\n" if text else "",
        html_body=_BLANK_LINES.sub("\n", html).strip() + "\n" if html else "",
    )


def _render(engine: Engine, name: str, values: Mapping[str, object]) -> str:
    is_html = name.endswith(".html")
    try:
        template = engine.get_template(name)
    except TemplateDoesNotExist as error:
        if is_html and str(error) == name:
            return ""  # a kind may be text only
        raise
    context = _StrictContext(values, autoescape=is_html)
    rendered = template.render(context)
    if context.missed_names:
        raise InvalidContext(
            context.missed_names[0], f"{name} uses this name, and the notifier does not give it"
        )
    return rendered


class _StrictContext(Context):
    """A context that remembers which names were asked for in vain.

    Django turns a missing name into None inside `{% if %}` and `{% for %}` and swallows what is
    raised there, so it is written down and looked at afterwards. Names that are printed are
    refused at once, by `_Refusal`.
    """

    def __init__(self, values: Mapping[str, object], *, autoescape: bool) -> None:
        super().__init__(dict(values), autoescape=autoescape)
        self.missed_names: list[str] = []

    def __getitem__(self, key: str) -> object:  # type: ignore[override] # the stubs say Any
        try:
            return super().__getitem__(key)
        except KeyError:
            self.missed_names.append(key)
            raise


class _Refusal(str):
    """`string_if_invalid` that is no string but an error: printing a missing name ends here."""

    __slots__ = ()

    def __mod__(self, name: object) -> str:
        raise InvalidContext(
            str(name), "a template uses this name, and the notifier does not give it"
        )


def _engine() -> Engine:
    for backend in engines.all():
        if isinstance(backend, DjangoTemplates):
            # With DEBUG a changed template shows at the next mail; the clone below would cache it.
            return _strict(backend.engine) if not backend.engine.debug else _clone(backend.engine)
    return _strict(None)  # a project without Django templates: ours still work


def _clone(base: Engine | None) -> Engine:
    # The folder of this package comes last, so that the mails are found without APP_DIRS too.
    own = ("django.template.loaders.filesystem.Loader", [str(_OWN_TEMPLATES)])
    if base is None:
        return Engine(
            loaders=[("django.template.loaders.cached.Loader", [own])],
            libraries=_LIBRARIES,
            string_if_invalid=_Refusal("%s"),
        )
    return Engine(
        dirs=base.dirs,
        loaders=[("django.template.loaders.cached.Loader", [*base.loaders, own])],
        libraries=_LIBRARIES | base.libraries,
        builtins=[name for name in base.builtins if name not in Engine.default_builtins],
        file_charset=base.file_charset,
        string_if_invalid=_Refusal("%s"),
    )


_strict = lru_cache(maxsize=4)(_clone)
