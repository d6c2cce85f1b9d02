"""What the mails of a project look like, with sample values, and what a checker says about them."""

from __future__ import annotations

from django_authmail.previews.checker import Finding, Level, check, untranslated
from django_authmail.previews.samples import Preview, previews

__all__ = ["Finding", "Level", "Preview", "check", "previews", "untranslated"]
