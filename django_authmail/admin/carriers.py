"""How the mail accounts stand: paused, out of order, how much of their quota is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from django_authmail import hints, mailers
from django_authmail.admin import shown
from django_authmail.conf import conf
from django_authmail.models import Carrier
from django_authmail.outbox import carriers
from django_authmail.outbox.carriers import Status
from django_authmail.wording import marked

if TYPE_CHECKING:
    _CarrierAdmin = admin.ModelAdmin[Carrier]
else:
    # Generic in the stubs only.
    _CarrierAdmin = admin.ModelAdmin

_ACTS = {
    "pause": (carriers.pause, _("Nothing is sent by %(name)s until you resume it.")),
    "resume": (carriers.resume, _("Mail is sent by %(name)s again.")),
    "close": (carriers.close_breaker, _("The next mail tries %(name)s at once.")),
}
_WINDOWS = {"minute": _("minute"), "day": _("day")}


@admin.register(Carrier)
class CarrierAdmin(_CarrierAdmin):
    """One page for all of them: each mailer of the settings, whether it has a row or not."""

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="authmail_carrier_changelist")]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Carrier | None = None) -> bool:
        return False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST":
            return self._act(request)
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        statuses = carriers.statuses()
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            "media": self.media,
            "rows": [_row(status) for status in statuses],
            "all_paused": any(status.all_paused for status in statuses),
            "may_change": self.has_change_permission(request),
        }
        return TemplateResponse(request, "admin/authmail/carrier/change_list.html", context)

    def _act(self, request: HttpRequest) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        name, act = request.POST.get("name", ""), request.POST.get("act", "")
        if act in _ACTS and name in (carriers.ALL, *mailers.names()):
            change, said = _ACTS[act]
            if change(name):
                shown_name = name or str(_("any mailer"))
                self.message_user(request, said % {"name": shown_name}, messages.SUCCESS)
                self.log_change(request, Carrier(name=name), act)
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:authmail_carrier_changelist"))


def _row(status: Status) -> dict[str, Any]:
    order = conf.deliver_using
    return {
        "name": status.name,
        "place": order.index(status.name) + 1 if status.name in order else None,
        "badge": _badge(status),
        "paused_at": shown.when(status.paused_at) if status.paused_at else "",
        "next_try": shown.when(status.broken_until) if status.is_open else "",
        "is_open": status.is_open,
        "is_paused": status.paused_at is not None,
        "failures": status.failure_count,
        "reason": status.reason,
        "hint": marked(hints.hint(status.reason)),
        "quotas": [
            {
                "window": _WINDOWS[quota.window],
                "used": quota.used,
                "most": quota.most,
                "remaining": quota.remaining,
                "share": min(round(100 * quota.used / quota.most), 100),
                "level": "spent" if not quota.remaining else "low" if quota.is_low else "well",
                "ends": shown.when(quota.ends_at) if quota.ends_at else "",
            }
            for quota in status.quotas
        ],
    }


def _badge(status: Status) -> str:
    if status.paused_at is not None or status.all_paused:
        return shown.badge("deferred", str(_("paused")))
    if status.is_open:
        return shown.badge("failed", str(_("unavailable")))
    if any(not quota.remaining for quota in status.quotas):
        return shown.badge("deferred", str(_("quota spent")))
    return shown.badge("accepted", str(_("ready")))
