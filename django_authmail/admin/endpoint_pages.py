"""Where a person tests and rotates an endpoint, and where its new secret is shown, once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from django_authmail.admin import shown
from django_authmail.exceptions import (
    EndpointChanged,
    EndpointDisabled,
    RotatedTooOften,
    SealBroken,
)
from django_authmail.models import WebhookEndpoint
from django_authmail.webhooks import endpoints


class _RotationForm(forms.Form):
    hours = forms.IntegerField(
        label=_("The secret before signs too for (hours)"),
        initial=24,
        min_value=0,
        max_value=endpoints.MOST_OVERLAP // timedelta(hours=1),
        help_text=_(
            "Until then each webhook has both signatures, and the receiver may know either. 0: the "
            "one before ends at once, as after a leak."
        ),
    )
    #: Of the secrets that there were when the form was shown.
    of = forms.CharField(widget=forms.HiddenInput)


class EndpointPages:
    """Pages of the ModelAdmin of endpoints."""

    def __init__(self, model_admin: ModelAdmin[Any]) -> None:
        self._admin = model_admin

    @property
    def urls(self) -> list[URLPattern]:
        return [self._path("rotate", self.rotate), self._path("test", self.test)]

    def _path(self, page: str, view: Callable[..., HttpResponse]) -> URLPattern:
        def view_or_gone(request: HttpRequest, id: uuid.UUID) -> HttpResponse:
            try:
                return view(request, id)
            except WebhookEndpoint.DoesNotExist:
                return shown.gone(self._admin, request=request, id=id)

        wrapped = self._admin.admin_site.admin_view(view_or_gone)
        return path(f"<uuid:id>/{page}/", wrapped, name=f"authmail_webhookendpoint_{page}")

    def links(self, row: WebhookEndpoint) -> dict[str, str]:
        """Return what the page of an endpoint shows of this."""
        links = {"rotate_url": self._url("rotate", row.pk)}
        return {**links, "test_url": self._url("test", row.pk)} if row.enabled else links

    @method_decorator(require_POST)
    def test(self, request: HttpRequest, id: uuid.UUID) -> HttpResponse:
        row = self._row(request, id)
        try:
            delivery = endpoints.send_test(row.pk)
        except EndpointDisabled:
            messages.warning(request, _("It is disabled; nothing was sent. Enable it first."))
            return HttpResponseRedirect(self._url("change", row.pk))
        self._admin.log_change(request, row, "test event")
        # Its page shows how it goes. There is no other message: it would be old in a moment.
        page = f"{self._admin.admin_site.name}:authmail_webhookdelivery_change"
        return HttpResponseRedirect(reverse(page, args=[delivery.pk]))

    def _was_rotated(self, request: HttpRequest, row: WebhookEndpoint) -> HttpResponse:
        messages.warning(request, _("It was rotated since; nothing was done."))
        return HttpResponseRedirect(self._url("change", row.pk))

    @method_decorator(require_http_methods(["GET", "POST"]))
    @sensitive_variables()
    def rotate(self, request: HttpRequest, id: uuid.UUID) -> HttpResponse:
        row = self._row(request, id)
        form = _RotationForm(
            request.POST if request.method == "POST" else None, initial={"of": _mark(row)}
        )
        if request.method == "POST" and form.is_valid():
            if form.cleaned_data["of"] != _mark(row):
                # The browser sent it again: the secret that was copied is not to be replaced.
                return self._was_rotated(request, row)
            hours = form.cleaned_data["hours"]
            try:
                secret = endpoints.rotate(
                    row.pk, overlap=timedelta(hours=hours), seen=bytes(row.sealed_secrets)
                )
            except EndpointChanged:
                return self._was_rotated(request, row)
            except RotatedTooOften as error:
                said = gettext(
                    "%(count)d secrets sign already: give 0, which ends all of them, or wait until "
                    "%(time)s."
                )
                facts = {"count": error.count, "time": shown.when(error.until)}
                form.add_error("hours", said % facts)
            except SealBroken:
                form.add_error(
                    "hours", _("The one before cannot be opened, so it signs no more: give 0.")
                )
            else:
                self._admin.log_change(request, row, "rotated")
                return self.shown_once(request, row, secret, is_rotated=True, hours=hours)
        context = {
            **self._admin.admin_site.each_context(request),
            "title": _("Rotate the secret"),
            "opts": self._admin.opts,
            "endpoint": row,
            "form": form,
            "back": self._url("change", row.pk),
        }
        return TemplateResponse(request, "admin/authmail/webhookendpoint/rotate.html", context)

    @sensitive_variables()
    def shown_once(
        self, request: HttpRequest, row: WebhookEndpoint, secret: str, **facts: Any
    ) -> HttpResponse:
        """Return the one page that shows a new secret."""
        # The answer itself shows it. A message of the messages framework would write it into a
        # cookie or the session table.
        context = {
            **self._admin.admin_site.each_context(request),
            "title": _("The secret of the endpoint"),
            "opts": self._admin.opts,
            "endpoint": row,
            "secret": secret,
            "back": self._url("change", row.pk),
            **facts,
        }
        response = TemplateResponse(request, "admin/authmail/webhookendpoint/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _row(self, request: HttpRequest, id: uuid.UUID) -> WebhookEndpoint:
        if not self._admin.has_change_permission(request):
            raise PermissionDenied
        row: WebhookEndpoint = self._admin.get_queryset(request).get(pk=id)
        return row

    def _url(self, page: str, *args: Any) -> str:
        return reverse(f"{self._admin.admin_site.name}:authmail_webhookendpoint_{page}", args=args)


def _mark(row: WebhookEndpoint) -> str:
    """Return what tells the sealed secrets of a row from those before and after."""
    return hashlib.sha256(bytes(row.sealed_secrets)).hexdigest()[:16]
