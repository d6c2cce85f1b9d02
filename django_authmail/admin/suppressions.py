"""The addresses that nothing is sent to: seen here, and lifted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from django_authmail import hints
from django_authmail.admin import shown
from django_authmail.admin.address_search import AddressSearch, by_hashes
from django_authmail.hashes import address_hashes
from django_authmail.keyring.owners import owner_choices, owner_name
from django_authmail.models import Message, Suppression
from django_authmail.outbox import suppression
from django_authmail.outcomes import Reason
from django_authmail.wording import marked

#: Addresses that the page which asks shows by themselves.
_MOST_SHOWN = 100


class OwnerFilter(admin.SimpleListFilter):
    """By owner, whom people know by name."""

    title = _("owner")
    parameter_name = "owner"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return owner_choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(owner=self.value()) if self.value() else queryset


@admin.register(Suppression)
class SuppressionAdmin(AddressSearch):
    """Servers write it, people lift it: there is nothing to add or to change."""

    list_display = ("recipient", "why", "owner", "created", "ends")
    list_display_links = ("recipient",)
    list_filter = ("reason", OwnerFilter)
    fields = ("recipient", "why", "advice", "whose", "created", "ends")
    readonly_fields = fields
    ordering = ("-created_at",)
    search_fields = ("address_hash",)
    search_help_text = _(
        "The full address of a recipient. Addresses are kept as hashes, so part of one finds "
        "nothing."
    )
    nothing_found = _("This is no address. Type all of it, as in hong@example.com.")
    when_empty = _(
        "An address gets here when a mail server says that there is no such mailbox. For some time "
        "its owner sends no more mail to it that is recorded; here it can be lifted earlier."
    )
    actions = ("lift",)

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Suppression | None = None) -> bool:
        return False

    def get_list_display(self, request: HttpRequest) -> list[str | Callable[[Any], str | bool]]:
        # A query for each owner, not for each row.
        name_of = cache(owner_name)

        @admin.display(description=_("owner"), ordering="owner")
        def whose(row: Suppression) -> str:
            return name_of(row.owner)

        return [whose if name == "owner" else name for name in self.list_display]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        if self.has_delete_permission(request):
            name = f"{self.admin_site.name}:authmail_suppression_changelist"
            context["lift_url"] = reverse(name)
        # `lift` is what deleting means here.
        context["show_delete"] = False
        return super().render_change_form(request, context, *args, **options)

    def to_addresses(
        self, queryset: QuerySet[Suppression], hashes: list[str]
    ) -> QuerySet[Suppression]:
        return queryset.filter(address_hash__in=hashes)

    def masks(self, hashes: list[str]) -> QuerySet[Any, str]:
        return self.to_addresses(Suppression.objects.all(), hashes).values_list("masked", flat=True)

    def get_actions(  # type: ignore[override] # of the stubs: tuples of theirs
        self, request: HttpRequest, action_location: object = None
    ) -> dict[str, object]:
        # From 6.1 on, Django says for which page it asks, and before that it cannot be told. Any:
        # the type of a page is not there before, either.
        asked: dict[str, Any] = (
            {} if action_location is None else {"action_location": action_location}
        )
        actions = super().get_actions(request, **asked)
        # `lift` is what deleting means here.
        actions.pop("delete_selected", None)
        return dict(actions)

    @admin.action(description=_("Send to selected addresses again"), permissions=["delete"])
    def lift(self, request: HttpRequest, queryset: QuerySet[Suppression]) -> HttpResponse | None:
        count = queryset.count()
        # By their number: "all of them" may be others than those that the page before named.
        if count and request.POST.get("confirmed") != str(count):
            return self._confirmation(request, queryset, count)
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
            messages.SUCCESS if count else messages.WARNING,
        )
        return None

    def _confirmation(
        self, request: HttpRequest, queryset: QuerySet[Suppression], count: int
    ) -> HttpResponse:
        title = ngettext(
            "Send mail to %(count)d address again?",
            "Send mail to %(count)d addresses again?",
            count,
        )
        name_of = cache(owner_name)
        context = {
            **self.admin_site.each_context(request),
            "title": title % {"count": count},
            "opts": self.opts,
            "rows": [
                (self.recipient(row), self.why(row), name_of(row.owner), self.ends(row))
                for row in queryset[:_MOST_SHOWN]
            ],
            "advice": [
                (reason, marked(hints.hint(reason)))
                for reason in queryset.order_by("reason")
                .values_list("reason", flat=True)
                .distinct()
            ],
            "more": max(0, count - _MOST_SHOWN),
            "count": count,
            "back": request.get_full_path(),
            "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/authmail/suppression/lift.html", context)

    @admin.display(description=_("recipient"), ordering="masked")
    def recipient(self, row: Suppression) -> str:
        return row.address or row.masked

    @admin.display(description=_("reason"), ordering="reason")
    def why(self, row: Suppression) -> SafeString:
        # What to do about it is on its page: said in each row, it hides the rows.
        return format_html("<code>{}</code>", row.reason)

    @admin.display(description=_("what it means"))
    def advice(self, row: Suppression) -> SafeString | str:
        return marked(hints.hint(row.reason))

    @admin.display(description=_("owner"))
    def whose(self, row: Suppression) -> str:
        return owner_name(row.owner)

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, row: Suppression) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description=_("ends"), ordering="ends_at")
    def ends(self, row: Suppression) -> SafeString | str:
        return shown.moment(row.ends_at)


def page_of_stops(site: AdminSite, request: HttpRequest, row: Message) -> str | None:
    """Return the page of what stops the mail of `row`; None where there is none to see."""
    if not site.is_registered(Suppression):
        return None
    if not site.get_model_admin(Suppression).has_view_permission(request):
        return None
    stopped = {
        found
        for each in row.recipients.filter(reason=Reason.SUPPRESSED)
        # Where the address is stored, by every key: it may have been suppressed before a rotation.
        for found in (each.address_hash, *(address_hashes(each.address) if each.address else ()))
    }
    stops = Suppression.objects.filter(owner=row.owner, address_hash__in=stopped)
    if not (hashes := sorted(stops.values_list("address_hash", flat=True))):
        return None
    page = reverse(f"{site.name}:authmail_suppression_changelist")
    return f"{page}?{urlencode({'owner': row.owner, SEARCH_VAR: by_hashes(hashes)})}"
