"""Where a person sends webhooks again: one, or those that were chosen in the list."""

from __future__ import annotations

import uuid
from collections import Counter
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST

from django_authmail.models import WebhookDelivery
from django_authmail.webhooks import replaying

if TYPE_CHECKING:
    from django_authmail.admin.webhook_deliveries import WebhookDeliveryAdmin


#: Webhooks that one action sends again.
MOST_AT_ONCE = 1000


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
        done = replaying.replay(WebhookDelivery.objects.filter(pk=id))
        if done.gone:
            messages.warning(request, _GONE % {"count": done.gone})
            return HttpResponseRedirect(self._url("changelist"))
        if done.count:
            self._admin.log_change(request, row, "sent again")
        else:
            messages.warning(request, _("It was not sent again; why is said below."))
        return HttpResponseRedirect(self._url("change", id))

    def replay_chosen(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        """Send those of the list again that can be, and say how many, and why not the others."""
        if queryset.count() > MOST_AT_ONCE:
            # Each is read with what was posted, and noted in the history.
            refusal = gettext(
                "Nothing was sent again: choose %(most)d at most. For more there is the command "
                "authmail_webhook replay."
            )
            messages.error(request, refusal % {"most": MOST_AT_ONCE})
            return
        now = timezone.now()
        rows: list[WebhookDelivery] = []
        left: Counter[replaying.Obstacle] = Counter()
        for row in queryset:
            if (obstacle := replaying.obstacle(row, now)) is None:
                rows.append(row)
            else:
                left[obstacle] += 1
        keys = [row.pk for row in rows]
        done = replaying.replay(WebhookDelivery.objects.filter(pk__in=keys))
        # A courier or another person was faster.
        left[replaying.Obstacle.UNDER_WAY] += len(rows) - done.count - done.gone
        there = set(WebhookDelivery.objects.filter(pk__in=keys).values_list("pk", flat=True))
        for row in rows:
            if row.pk in there:
                self._admin.log_change(request, row, "sent again")
        said = ngettext(
            "%(count)d webhook will be sent again.",
            "%(count)d webhooks will be sent again.",
            done.count,
        )
        level = messages.SUCCESS if done.count else messages.WARNING
        messages.add_message(request, level, said % {"count": done.count})
        for obstacle, words in _LEFT_OUT.items():
            if left[obstacle]:
                messages.warning(request, words % {"count": left[obstacle]})
        if done.gone:
            messages.warning(request, _GONE % {"count": done.gone})

    def _url(self, page: str, *args: uuid.UUID) -> str:
        return reverse(f"{self._admin.admin_site.name}:authmail_webhookdelivery_{page}", args=args)


_LEFT_OUT: dict[replaying.Obstacle, Promise] = {
    replaying.Obstacle.UNDER_WAY: _("Not sent again: %(count)d on the way already."),
    replaying.Obstacle.OF_A_REQUEST: _(
        "Not sent again: %(count)d of a request's own webhook, whose URL and secret are gone."
    ),
    replaying.Obstacle.DISABLED: _(
        "Not sent again: %(count)d to an endpoint that is disabled. Enable it first."
    ),
    replaying.Obstacle.ERASED: _(
        "Not sent again: %(count)d without what was sent, which is not kept any more."
    ),
}
# Old ones are deleted, and those of an endpoint or of an address that somebody has deleted.
_GONE = _("Not sent again: %(count)d that were deleted in this moment.")
