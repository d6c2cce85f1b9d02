"""The addresses that nothing is sent to: seen here, and lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_authmail import hints
from django_authmail.admin import shown
from django_authmail.models import Suppression
from django_authmail.outbox import suppression

if TYPE_CHECKING:
    _SuppressionAdmin = admin.ModelAdmin[Suppression]
else:
    # Generic in the stubs only.
    _SuppressionAdmin = admin.ModelAdmin


@admin.register(Suppression)
class SuppressionAdmin(_SuppressionAdmin):
    """Servers write it, people lift it: there is nothing to add or to change."""

    list_display = ("recipient", "why", "owner", "created", "ends")
    list_display_links = None
    list_filter = ("reason", "owner")
    ordering = ("-created_at",)
    actions = ("lift",)

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False

    def get_actions(  # type: ignore[override] # of the stubs: tuples of theirs
        self, request: HttpRequest, action_location: object = None
    ) -> dict[str, object]:
        # From 6.1 on, Django says for which page it asks, and before that it cannot be told. Any:
        # the type of a page is not there before, either.
        asked: dict[str, Any] = (
            {} if action_location is None else {"action_location": action_location}
        )
        actions = super().get_actions(request, **asked)
        # `lift` is what deleting means here, without a page in between.
        actions.pop("delete_selected", None)
        return dict(actions)

    @admin.action(description=_("Send to selected addresses again"), permissions=["delete"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> None:
        self.log_deletions(request, queryset)
        count = suppression.lift(queryset)
        self.message_user(
            request,
            ngettext(
                "Mail is sent to %(count)d address again.",
                "Mail is sent to %(count)d addresses again.",
                count,
            )
            % {"count": count},
            messages.SUCCESS,
        )

    @admin.display(description=_("recipient"), ordering="masked")
    def recipient(self, row: Suppression) -> str:
        return row.address or row.masked

    @admin.display(description=_("reason"), ordering="reason")
    def why(self, row: Suppression) -> SafeString:
        return format_html(
            '<code>{}</code><div class="help">{}</div>', row.reason, hints.hint(row.reason)
        )

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, row: Suppression) -> str:
        return shown.when(row.created_at)

    @admin.display(description=_("ends"), ordering="ends_at")
    def ends(self, row: Suppression) -> str:
        return shown.when(row.ends_at)
