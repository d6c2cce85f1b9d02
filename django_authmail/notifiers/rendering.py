"""Templates to text: subject, text part and HTML part of one mail, in one language.

Templates come from the project's engines, in the order of TEMPLATES, so a file of the same name in
the project replaces one of ours, block by block with `{% extends %}` or whole. Two things differ
from the project's own pages: text is not escaped (no mail shall greet "O&#x27;Brien"), and a name
that is not in the context is an error instead of nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.template import Context, Engine, TemplateDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
from django.utils import translation
from django.utils.translation.trans_real import catalog

from django_authmail.conf import conf
from django_authmail.exceptions import InvalidContext
from django_authmail.guards import one_line
from django_authmail.notifiers.flattening import flattened
from django_authmail.plaintext import text_of

if TYPE_CHECKING:
    from jinja2 import Environment

_OWN_TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
# What the templates of this package load, whatever a project has installed.
_LIBRARIES = {
    "authmail": "django_authmail.templatetags.authmail",
    "i18n": "django.templatetags.i18n",
}
_Render = Callable[[Mapping[str, object]], str]

_NOT_GIVEN = "uses this name, or what it extends or includes does: the notifier does not give it"
_BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The three parts of a mail. They hold codes, so a repr shows none of them."""

    subject: str = field(repr=False)
    text_body: str = field(repr=False)
    html_body: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Templates:
    """The names of a mail's templates. Without `text`, a text part is made from the HTML."""

    subject: str
    text: str = ""
    html: str = ""

    @classmethod
    def of(cls, folder: str) -> Templates:
        """Return `subject.txt`, `body.txt` and, if there is one, `body.html` of a folder."""
        html = f"{folder}/body.html"
        return cls(
            subject=f"{folder}/subject.txt",
            text=f"{folder}/body.txt",
            html=html if _exists(html) else "",
        )


def render(templates: Templates, values: Mapping[str, object], *, locale: str) -> Rendered:
    """Render the templates; the HTML sees the finished subject as `subject`.

    Raises:
        InvalidContext: a template uses a name that is not in `values`.
        UnsafeHeader: the subject has more than one line.
        TemplateDoesNotExist: no engine of the project has one of them.
    """
    with translation.override(locale):
        subject = one_line(_render(templates.subject, values, is_html=False), "subject")
        html = ""
        if templates.html:
            html = _render(templates.html, {**values, "subject": subject}, is_html=True)
        # A mail without a text part is one that some programs show as empty.
        text = _render(templates.text, values, is_html=False) if templates.text else text_of(html)
    return Rendered(
        subject=subject,
        text_body=_BLANK_LINES.sub("\n\n", text).strip() + "\n",
        html_body=_BLANK_LINES.sub("\n", html).strip() + "\n" if html else "",
    )


def _render(name: str, values: Mapping[str, object], *, is_html: bool) -> str:
    return _find(name, is_html=is_html)(values)


def _exists(name: str) -> bool:
    try:
        _find(name, is_html=True)
    except TemplateDoesNotExist as error:
        if str(error) == name:
            return False
        raise
    return True


def _find(name: str, *, is_html: bool) -> _Render:
    """Return how to render a template, of the first engine that has it."""
    for find in _finders():
        try:
            return find(name, is_html)
        except TemplateDoesNotExist as error:
            if str(error) != name:
                raise
    raise TemplateDoesNotExist(name)


def _finders() -> Iterator[Callable[[str, bool], _Render]]:
    has_django = False
    for backend in engines.all():
        if isinstance(backend, DjangoTemplates):
            has_django = True
            yield partial(_in_django, backend.engine)
        elif hasattr(backend, "env"):
            yield partial(_in_jinja2, backend.env)
    if not has_django:
        yield partial(_in_django, None)


def _in_django(base: Engine | None, name: str, is_html: bool) -> _Render:
    if base is not None and base.debug:
        # A changed template shows at the next mail; a clone that is kept would cache it.
        template = _clone(base).get_template(name)
    else:
        # Without USE_I18N there need be no catalogue of the project's language.
        texts = catalog() if conf.use_i18n else None
        template = flattened(_strict(base).get_template(name), texts, autoescape=is_html)

    def rendered(values: Mapping[str, object]) -> str:
        context = _StrictContext(values, autoescape=is_html)
        try:
            text = template.render(context)
        except _Missed as missed:
            refused = str(missed)
        else:
            refused = next(iter(context.missed_names), "")
        if refused:
            # Outside of the block above: an exception in the context would keep the values alive.
            raise InvalidContext(refused, f"{name} {_NOT_GIVEN}")
        return str(text)

    return rendered


def _in_jinja2(env: Environment, name: str, is_html: bool) -> _Render:
    # Here, because Jinja2 is there only where the project has such an engine.
    from django_authmail.notifiers.jinja import in_jinja2

    return in_jinja2(env, name, is_html)


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


class _Missed(Exception):
    """Raised where a name is printed that is missing; its text is the name."""


class _Refusal(str):
    """`string_if_invalid` that is no string but an error: printing a missing name ends here."""

    __slots__ = ()

    def __mod__(self, name: object) -> str:
        raise _Missed(name)


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
