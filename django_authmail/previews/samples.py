"""Every kind of mail in every language, with the sample values that it brings along."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _

from django_authmail import wording
from django_authmail.conf import conf
from django_authmail.message import AuthMessage
from django_authmail.notifiers import Notifier, registry
from django_authmail.notifiers.brand import current_brand
from django_authmail.notifiers.languages import LOCALES
from django_authmail.notifiers.links import SAMPLE_BASE_URL
from django_authmail.previews.checker import Finding, Level, check, untranslated

#: Who a sample is for. RFC 2606: nobody.
SAMPLE_RECIPIENT = "sample@example.com"
#: The language that the templates are written in, which others are compared with.
_ORIGINAL = "en"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One sample of a kind in one language, and what the checker says about it."""

    kind: str
    #: Which of the kind's samples: its name, and its place from 1 on.
    sample: str
    number: int
    locale: str
    #: None where it could not be made; then a finding says why.
    message: AuthMessage | None
    findings: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """A name for files and addresses: `otp.1.ko`."""
        return f"{self.kind}.{self.number}.{self.locale}"

    @property
    def kilobytes(self) -> str:
        """The size of the whole mail, as it is sent."""
        return f"{len(self.message.as_bytes()) / 1024:.1f}" if self.message else ""


def previews(
    kinds: Collection[str] = (), *, locales: Collection[str] = LOCALES
) -> Iterator[Preview]:
    """Yield every sample of these kinds, or of all, in each language.

    Nothing is sent or stored, and a kind that cannot be shown does not stop the others. Raises
    LookupError for a kind that does not exist.
    """
    for kind in kinds or registry.kinds():
        notifier = registry.get(kind)
        try:
            samples = {locale: _samples(notifier, locale) for locale in (*locales, _ORIGINAL)}
        except Exception as error:  # whatever a project's own kind raises, as in `_build`
            yield from (_alone(kind, locale, _not_made(error)) for locale in locales)
            continue
        names = list(samples[_ORIGINAL])
        if not names:
            yield from (_alone(kind, locale, _no_sample()) for locale in locales)
        for number, name in enumerate(names, start=1):
            original = _build(notifier, samples[_ORIGINAL][name], _ORIGINAL)
            for locale in locales:
                values = samples[locale].get(name, {})
                yield _preview(notifier, kind, name, number, locale, values, original)


def made_up_links(message: AuthMessage) -> str:
    """Return, for people, that a sample's links are those of no real mail; empty where they are."""
    if conf.link_base_url or SAMPLE_BASE_URL not in message.text_body + message.html_body:
        return ""
    problem = _(
        "Links begin with %(base)s, a sample: AUTHMAIL_LINK_BASE_URL is not set, and real mails of "
        "this kind fail without it."
    ) % {"base": SAMPLE_BASE_URL}
    return wording.said(problem)


def _preview(
    notifier: type[Notifier],
    kind: str,
    name: str,
    number: int,
    locale: str,
    values: Mapping[str, Any],
    original: AuthMessage | Finding,
) -> Preview:
    made = original if locale == _ORIGINAL else _build(notifier, values, locale)
    findings: list[Finding] = []
    if isinstance(made, Finding):
        findings.append(made)
    else:
        base_url = getattr(notifier.for_samples(), "base_url", "") or conf.link_base_url
        findings += check(made, base_url=base_url)
        if problem := made_up_links(made):
            findings.append(Finding(Level.WARNING, "sample_link", problem))
        if locale != _ORIGINAL and isinstance(original, AuthMessage):
            findings += untranslated(made, original, [values, *_own_names(made, locale)])
    return Preview(
        kind=kind,
        sample=name,
        number=number,
        locale=locale,
        message=made if isinstance(made, AuthMessage) else None,
        findings=tuple(findings),
    )


def _samples(notifier: type[Notifier], locale: str) -> Mapping[str, Mapping[str, Any]]:
    with translation.override(locale):
        return notifier.samples(locale)


def _build(
    notifier: type[Notifier], values: Mapping[str, Any], locale: str
) -> AuthMessage | Finding:
    try:
        return notifier.for_samples().build(SAMPLE_RECIPIENT, **values, locale=locale)
    except Exception as error:
        # A project's own kind may raise whatever it likes; the page shows that, and the others.
        return _not_made(error)


def _not_made(error: Exception) -> Finding:
    return Finding(Level.ERROR, "not_made", f"{type(error).__name__}: {error}")


def _no_sample() -> Finding:
    return Finding(
        Level.WARNING,
        "no_sample",
        _("The kind has no sample values; give it a class method `samples`."),
    )


def _alone(kind: str, locale: str, finding: Finding) -> Preview:
    return Preview(kind=kind, sample="", number=0, locale=locale, message=None, findings=(finding,))


def _own_names(message: AuthMessage, locale: str) -> list[str]:
    """Return the project's own words, which are the same in every language."""
    brand = current_brand(message.from_email, locale)
    return [brand.name, *brand.footer, brand.support, conf.autofill_domain]
