"""Where a person sends one webhook again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from django_authmail.models import WebhookDelivery
from django_authmail.webhooks import replaying

if TYPE_CHECKING:
    from django_authmail.admin.webhook_deliveries import WebhookDeliveryAdmin


class ReplayPages:
    """What the ModelAdmin of deliveries does besides showing them."""

    def __init__(self, model_admin: WebhookDeliveryAdmin) -> None:
        self._admin = model_admin

    @property
    def urls(self) -> list[URLPattern]:
        view = self._admin.admin_site.admin_view(self.replay)
        return [path("<uuid:id>/replay/", view, name="authmail_webhookdelivery_replay")]

    def url(self, row: WebhookDelivery) -> str:
        return self._url("replay", row.pk)

    @method_decorator(require_POST)
    def replay(self, request: HttpRequest, id: uuid.UUID) -> HttpResponse:
        if not self._admin.has_replay_permission(request):
            raise PermissionDenied
        rows = self._admin.get_queryset(request).filter(pk=id)
        row = rows.first()
        if row is None:
            raise Http404
        if replaying.replay(WebhookDelivery.objects.filter(pk=id)).count:
            self._admin.log_change(request, row, "sent again")
        else:
            messages.warning(request, _("It was not sent again; why is said below."))
        return HttpResponseRedirect(self._url("change", id))

    def _url(self, page: str, id: uuid.UUID) -> str:
        return reverse(f"{self._admin.admin_site.name}:authmail_webhookdelivery_{page}", args=[id])
