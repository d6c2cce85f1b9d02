"""How rows, states, times and replies look in the admin."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    # Generic in the stubs only.
    _ModelAdmin = admin.ModelAdmin

EMPTY = "-"


class ReadOnly:
    """Rows that people look at and nobody edits."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class PlainTitles(_ModelAdmin):
    """Pages that are called by what they show, and say something where there is nothing to show.

    Django's "Select message to view" and "View message" are no sentences in its Korean.
    """

    #: What gets into the list, and how: said where it is empty, or a search finds nothing.
    when_empty: str | Promise

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        own = {"title": capfirst(self.opts.verbose_name_plural), "when_empty": self.when_empty}
        return super().changelist_view(request, {**own, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None and not self.has_change_permission(request, row):
            context["title"] = capfirst(self.opts.verbose_name)
        return super().render_change_form(request, context, *args, **options)


class Titled:
    """A row whose str() is for people who read the admin in their own language."""

    def __init__(self, row: models.Model, title: str) -> None:
        self._row = row
        self._title = title

    def __str__(self) -> str:
        return self._title

    def __getattr__(self, name: str) -> Any:  # whatever the templates ask of a row
        return getattr(self._row, name)


def gone(model_admin: _ModelAdmin, *, request: HttpRequest, id: object) -> HttpResponse:
    """Return Django's own answer about a row that somebody has deleted, from a page of ours."""
    # Not in the stubs: Django's subclasses use it, the documentation does not tell of it.
    redirect: Any = model_admin._get_obj_does_not_exist_redirect  # type: ignore[attr-defined]
    answer: HttpResponse = redirect(request, model_admin.opts, str(id))
    return answer


def badge(state: str, label: str) -> SafeString:
    return format_html(
        '<span class="authmail-state authmail-state-{}">{}</span>', state.replace("_", "-"), label
    )


def when(value: datetime | None) -> str:
    # With seconds and the zone, and in the one order that nobody reads as another: logs are next to
    # it, and those of others are in other zones.
    return f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S %Z}" if value is not None else EMPTY


def moment(value: datetime | None) -> SafeString | str:
    """Return what `when` does, for columns: a narrow list leaves the zone out."""
    if value is None:
        return EMPTY
    time, zone = when(value).rsplit(" ", 1)
    return format_html('{}&nbsp;<span class="authmail-zone">{}</span>', time, zone)


def reply(code: int | None, enhanced: str, text: str) -> str:
    return " ".join(filter(None, (str(code or ""), enhanced, text))) or EMPTY
