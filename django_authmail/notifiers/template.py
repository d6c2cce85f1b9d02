"""Mails whose texts are the project's own: strings with placeholders, or template files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from django.utils.html import escape
from django.utils.safestring import SafeString

from django_authmail.exceptions import InvalidContext, RepeatedName, UnknownName
from django_authmail.guards import one_line
from django_authmail.message import AuthMessage
from django_authmail.notifiers.base import Notifier, Options
from django_authmail.notifiers.delivery import Sender
from django_authmail.notifiers.errors import withholds_values
from django_authmail.notifiers.placeholders import Placeholders
from django_authmail.notifiers.rendering import Rendered, Templates, render
from django_authmail.notifiers.values import visible_text
from django_authmail.outcomes import Queued, SendResult
from django_authmail.plaintext import text_of


class TemplateNotifier(Notifier):
    """Sends texts of the project's own, with `{placeholder}` where a value belongs.

        TemplateNotifier(
            subject="[Shop] Order {order}",
            html_template="<p>{name}, the sum is {total:,} won.</p>",
        ).send("user@example.com", name="홍길동", order="1234", total=50_000)

    Values are escaped in HTML, unless `autoescape` is False; without `text_template`, a text part
    is made from the HTML. A value that is not given, or is not used, is an error. `from_files`
    takes template files instead; there, only a missing value is.
    """

    kind: ClassVar[str] = "template"

    def __init__(
        self,
        sender: Sender | None = None,
        subject: str = "",
        html_template: str = "",
        text_template: str | None = None,
        autoescape: bool = True,
        subject_prefix: str = "",
        expire_minutes: int | None = None,
    ) -> None:
        super().__init__(sender, subject_prefix, expire_minutes)
        self._files: Templates | None = None
        self._subject = Placeholders(subject, "subject")
        self._html = Placeholders(html_template, "html_template")
        self._text = None if text_template is None else Placeholders(text_template, "text_template")
        self._autoescape = autoescape

    @classmethod
    def from_files(
        cls,
        sender: Sender | None = None,
        *,
        subject: str,
        text: str = "",
        html: str = "",
        subject_prefix: str = "",
        expire_minutes: int | None = None,
    ) -> Self:
        """Return a notifier of three templates, by the names that the project's engines find.

        Django's engine or Jinja2, whichever has them. Those of Django's may extend
        `authmail/base.html` and `authmail/base.txt`. Without `text`, a text part is made from the
        HTML. A name that they ask for and that is not given is an error, as with strings. One that
        is given and not asked for passes: what a template with conditions, loops and includes
        uses, nobody can tell.
        """
        if not text and not html:
            raise ValueError("from_files takes text, html, or both")
        notifier = cls(sender, subject_prefix=subject_prefix, expire_minutes=expire_minutes)
        notifier._files = Templates(subject=subject, text=text, html=html)
        return notifier

    @withholds_values
    def send(
        self, /, to: str, context: Mapping[str, Any] | None = None, **values: Any
    ) -> SendResult | Queued:
        """Build the mail and hand it over; see `build`."""
        message = self.build(to, context, **values)
        return self.deliver(message, using=values.get("using"))

    @withholds_values
    def build(
        self, /, to: str, context: Mapping[str, Any] | None = None, **values: Any
    ) -> AuthMessage:
        """Return the mail without sending it.

        Values are given by name, besides the `Options` of every notifier. Those that have the name
        of an option, or `to` or `context`, are given in `context`.

        Raises:
            MissingName, UnknownName, RepeatedName: a value that the texts need, or do not have, or
                that is given twice.
            InvalidContext: a value that does not go with its format.
            InvalidAddress, UnsafeHeader: an address that is none; a subject of several lines.
        """
        names = Options.__annotations__
        options = {name: value for name, value in values.items() if name in names}
        given = {name: value for name, value in values.items() if name not in names}
        if not isinstance(context or {}, Mapping):
            raise InvalidContext("context", "must be a mapping of names to values")
        if twice := given.keys() & (context or {}).keys():
            raise RepeatedName(min(twice))
        given |= context or {}
        return self.compose(to, given, **options)

    def render(
        self, values: Mapping[str, Any], surroundings: Mapping[str, Any], *, locale: str
    ) -> Rendered:
        if self._files is not None:
            for name in values:
                # A caller's `brand` would bring its own links along.
                if name in surroundings:
                    raise InvalidContext(name, "every mail has this; name the value otherwise")
            return render(self._files, {**surroundings, **_visible(values)}, locale=locale)
        parts = [part for part in (self._subject, self._html, self._text) if part is not None]
        known = list(dict.fromkeys(name for part in parts for name in part.names))
        for name in values:
            if name not in known:
                raise UnknownName(name, known, Options.__annotations__)
        shown = _visible(values)
        html = self._html.fill(shown, escape if self._autoescape else str)
        return Rendered(
            subject=one_line(self._subject.fill(shown), "subject"),
            text_body=text_of(html) if self._text is None else self._text.fill(shown),
            html_body=html,
        )


def _visible(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values, strings without what is invisible; markup stays markup."""
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = visible_text(value)
    return SafeString(text) if isinstance(value, SafeString) else text
