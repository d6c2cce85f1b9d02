"""Where a person rotates or revokes a key, in the admin, and where a new key is shown, once."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from django_authmail import keyring
from django_authmail.admin import shown
from django_authmail.exceptions import NotRotatable
from django_authmail.models import ApiKey

#: A year: whoever needs more needs two keys.
_MOST_HOURS = 8760


class _RotationForm(forms.Form):
    hours = forms.IntegerField(
        label=_("The old key goes on for (hours)"),
        initial=24,
        min_value=0,
        max_value=_MOST_HOURS,
        help_text=_("Until then both are valid. 0: the old one ends at once, as after a leak."),
    )


class KeyPages:
    """Pages of the ModelAdmin of keys."""

    def __init__(self, model_admin: ModelAdmin[Any]) -> None:
        self._admin = model_admin

    @property
    def urls(self) -> list[URLPattern]:
        pages = {"rotate": self.rotate, "revoke": self.revoke}
        return [
            path(
                f"<uuid:id>/{name}/",
                self._admin.admin_site.admin_view(view),
                name=f"authmail_apikey_{name}",
            )
            for name, view in pages.items()
        ]

    def links(self, request: HttpRequest, row: ApiKey) -> dict[str, str]:
        """Return the pages of what this person may do with the key, for the context of its own."""
        if row.revoked_at is not None or not self._admin.has_change_permission(request):
            return {}
        links = {"revoke_url": self._url("revoke", row.pk)}
        if self._admin.has_add_permission(request):
            links["rotate_url"] = self._url("rotate", row.pk)
        return links

    @method_decorator(require_http_methods(["GET", "POST"]))
    @sensitive_variables()
    def rotate(self, request: HttpRequest, id: uuid.UUID) -> HttpResponse:
        may = self._admin.has_change_permission(request) and self._admin.has_add_permission(request)
        if not may:
            raise PermissionDenied
        row = self._admin.get_queryset(request).filter(pk=id).first()
        if row is None:
            raise Http404
        form = _RotationForm(request.POST if request.method == "POST" else None)
        if request.method != "POST" or not form.is_valid():
            context = {
                **self._admin.admin_site.each_context(request),
                "title": _("Rotate a key"),
                "opts": self._admin.opts,
                "api_key": row,
                "form": form,
                "back": self._url("change", row.pk),
            }
            return TemplateResponse(request, "admin/authmail/apikey/rotate.html", context)
        try:
            new, key = keyring.rotate(row, overlap=timedelta(hours=form.cleaned_data["hours"]))
        except NotRotatable as error:
            messages.warning(request, str(error))
            return HttpResponseRedirect(self._url("change", row.pk))
        row.refresh_from_db()
        self._admin.log_change(request, row, f"rotated: {new.prefix}…")
        self._admin.log_addition(request, new, f"rotated: {row.prefix}…")
        ends = None if row.revoked_at is not None else shown.when(row.expires_at)
        return self.shown_once(request, new, key, replaced=row, ends=ends)

    @method_decorator(require_safe)
    def revoke(self, request: HttpRequest, id: uuid.UUID) -> HttpResponse:
        """Ask before the list's own action does it."""
        if not self._admin.has_change_permission(request):
            raise PermissionDenied
        row = self._admin.get_queryset(request).filter(pk=id).first()
        if row is None:
            raise Http404
        context = {
            **self._admin.admin_site.each_context(request),
            "title": _("Revoke a key"),
            "opts": self._admin.opts,
            "api_key": row,
            "back": self._url("change", row.pk),
        }
        return TemplateResponse(request, "admin/authmail/apikey/revoke.html", context)

    @sensitive_variables()
    def shown_once(
        self,
        request: HttpRequest,
        row: ApiKey,
        key: str,
        **facts: Any,
    ) -> HttpResponse:
        """Return the one page that shows a new key."""
        # The answer itself shows it. A message of the messages framework would write it into a
        # cookie or the session table.
        context = {
            **self._admin.admin_site.each_context(request),
            "title": _("The key was made"),
            "opts": self._admin.opts,
            "api_key": row,
            "key": key,
            **facts,
        }
        response = TemplateResponse(request, "admin/authmail/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _url(self, page: str, *args: Any) -> str:
        return reverse(f"{self._admin.admin_site.name}:authmail_apikey_{page}", args=args)
