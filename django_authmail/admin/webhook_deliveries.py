"""The webhooks that were sent, or will be: what became of each. `replay_pages` sends one again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from django_authmail.admin import shown
from django_authmail.admin.address_search import AddressSearch, uuid_of
from django_authmail.admin.replay_pages import ReplayPages
from django_authmail.clock import db_now
from django_authmail.models import (
    Message,
    Recipient,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from django_authmail.webhooks import events, replaying
from django_authmail.webhooks.hints import event_meaning, hint
from django_authmail.wording import marked

if TYPE_CHECKING:
    _AttemptInline = admin.TabularInline[WebhookAttempt, WebhookDelivery]
else:
    # Generic in the stubs only.
    _AttemptInline = admin.TabularInline

State = WebhookDelivery.State
#: A page of what is due so soon looks again by itself.
_SOON = timedelta(seconds=10)
#: What is due for so long waits for a worker, or for others to the same receiver.
_LONG = timedelta(seconds=10)
_LOOK_SECONDS = 2
_OF_A_REQUEST = "request"


class ReceiverFilter(admin.SimpleListFilter):
    """By endpoint, or those of requests."""

    title = _("receiver")
    parameter_name = "receiver"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = WebhookEndpoint.objects.order_by("description", "created_at")
        return [
            *((str(row.pk), str(row)) for row in rows),
            (_OF_A_REQUEST, gettext("of a request")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if value == _OF_A_REQUEST:
            return queryset.filter(endpoint_id__isnull=True)
        if not value:
            return queryset
        key = uuid_of(value)
        return queryset.none() if key is None else queryset.filter(endpoint_id=key)


class TypeFilter(admin.SimpleListFilter):
    """By event, from the fixed list of them: a DISTINCT would read the whole table."""

    title = _("event")
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(type, type) for type in (*events.MESSAGE_TYPES, events.TEST)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(type=self.value()) if self.value() else queryset


class WebhookAttemptInline(shown.ReadOnly, _AttemptInline):
    model = WebhookAttempt
    fields = ("number", "started", "took", "badge", "answer", "cause")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookAttempt]:
        # What to do about one depends on where its delivery goes.
        rows = super().get_queryset(request).select_related("delivery")
        return rows.defer("delivery__sealed_target", "delivery__sealed_payload")

    @admin.display(description=_("started"))
    def started(self, row: WebhookAttempt) -> str:
        return shown.when(row.started_at)

    @admin.display(description=_("took"))
    def took(self, row: WebhookAttempt) -> str:
        return f"{row.duration_ms:,} ms"

    @admin.display(description=_("result"))
    def badge(self, row: WebhookAttempt) -> SafeString:
        state = State.DELIVERED if row.reason == "ok" else State.FAILED
        return shown.badge(state, str(state.label))

    @admin.display(description=_("HTTP status"))
    def answer(self, row: WebhookAttempt) -> str:
        return str(row.status_code or shown.EMPTY)

    @admin.display(description=_("reason"))
    def cause(self, row: WebhookAttempt) -> SafeString | str:
        if row.reason == "ok":
            return shown.EMPTY
        return format_html(
            '<code>{}</code><div class="help">{}</div>',
            row.reason,
            marked(hint(row.reason, row.status_code, of_request=row.delivery.endpoint_id is None)),
        )


@admin.register(WebhookDelivery)
class WebhookDeliveryAdmin(shown.ReadOnly, AddressSearch):
    list_display = ("created", "outcome", "type", "receiver", "count")
    list_filter = ("state", TypeFilter, ReceiverFilter, "created_at")
    list_per_page = 50
    # Counting all that was ever sent would take longer than finding the one asked for.
    show_full_result_count = False
    ordering = ("-created_at",)
    search_fields = ("request_id",)
    when_empty = _(
        "What is told to endpoints, and to the URLs that requests name, gets here. It is erased "
        "some time after it has ended."
    )
    search_help_text = _(
        "A webhook-id (msg_…), the id of a delivery or a message, a Message-ID, a request id, or "
        "the full address of a recipient."
    )
    nothing_found = _("This is no address, and no webhook delivery has it as an id.")
    actions = ("replay",)
    inlines = (WebhookAttemptInline,)
    fieldsets = (
        (None, {"fields": ("badge", "meaning", "last")}),
        (_("Event"), {"fields": ("event", "about", "receiver_link")}),
        (_("Course"), {"fields": (("created", "settled", "next_attempt"),)}),
        (_("Origin"), {"fields": ("webhook_id", "request")}),
    )
    readonly_fields = tuple(flatten_fieldsets(fieldsets))

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def get_urls(self) -> list[Any]:
        # Before those of a row, which take any text for its id.
        return [*ReplayPages(self).urls, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        # Joined: one that was deleted in the moment in which this was recorded is just not there.
        rows = super().get_queryset(request).select_related("endpoint")
        return rows.defer("sealed_target", "sealed_payload", "endpoint__sealed_secrets")

    def has_replay_permission(self, request: HttpRequest) -> bool:
        """Tell whether somebody may send webhooks again: who may change deliveries, though by no
        form."""
        change = f"{self.opts.app_label}.{get_permission_codename('change', self.opts)}"
        return request.user.has_perm(change) and self.has_view_permission(request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None:
            now = db_now(row._state.db or "default")
            if replaying.obstacle(row, now) is None:
                may = self.has_replay_permission(request)
                context |= {"replay_url": ReplayPages(self).url(row)} if may else {"may_not": True}
            if row.due_at is not None and row.due_at - now < _SOON:
                context["look_seconds"] = _LOOK_SECONDS
                context["is_late"] = row.state == State.PENDING and now - row.due_at > _LONG
            text = f"{row.type} {row.host} {_state(row)}"
            context["original"] = shown.Titled(row, text)
            context["subtitle"] = text
        return super().render_change_form(request, context, *args, **options)

    def to_addresses(
        self, queryset: QuerySet[WebhookDelivery], hashes: list[str]
    ) -> QuerySet[WebhookDelivery]:
        rows = Recipient.objects.filter(address_hash__in=hashes).values("message_id")
        return queryset.filter(message_id__in=rows)

    def masks(self, hashes: list[str]) -> QuerySet[Any, str]:
        return Recipient.objects.filter(address_hash__in=hashes).values_list("masked", flat=True)

    def named(self, queryset: QuerySet[WebhookDelivery], term: str) -> QuerySet[WebhookDelivery]:
        key = uuid_of(term.removeprefix("msg_"))
        if key is not None:
            # Our request ids are UUIDs as well, and a message has its deliveries.
            found = queryset.filter(pk=key) | queryset.filter(message_id=key)
            return found | queryset.filter(request_id=term)
        if "@" in term:
            return queryset.filter(message__message_id=f"<{term.strip('<>')}>")
        return queryset.filter(request_id=term)

    @admin.action(description=_("Send selected webhooks again"), permissions=["replay"])
    def replay(self, request: HttpRequest, queryset: QuerySet[WebhookDelivery]) -> None:
        ReplayPages(self).replay_chosen(request, queryset)

    # -- columns and facts --------------------------------------------------------------------

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, row: WebhookDelivery) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description=_("settled"))
    def settled(self, row: WebhookDelivery) -> str:
        return shown.when(row.settled_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, row: WebhookDelivery) -> str:
        return shown.when(row.due_at) if row.state == State.PENDING else shown.EMPTY

    @admin.display(description=_("state"), ordering="state")
    def badge(self, row: WebhookDelivery) -> SafeString:
        return delivery_badge(row)

    @admin.display(description=_("what it means"))
    def meaning(self, row: WebhookDelivery) -> str:
        words = [_meaning(row)]
        if (obstacle := replaying.obstacle(row, timezone.now())) is not None:
            words.append(_OBSTACLES[obstacle])
        return " ".join(str(word) for word in words if word)

    @admin.display(description=_("receiver"))
    def receiver(self, row: WebhookDelivery) -> SafeString:
        return delivery_receiver(row)

    @admin.display(description=_("receiver"))
    def receiver_link(self, row: WebhookDelivery) -> SafeString:
        if row.endpoint is None:
            return delivery_receiver(row)
        page = f"{self.admin_site.name}:authmail_webhookendpoint_change"
        address = reverse(page, args=[row.endpoint_id])
        return format_html('<a href="{}">{}</a>', address, delivery_receiver(row))

    @admin.display(description=_("attempts"), ordering="attempt_count")
    def count(self, row: WebhookDelivery) -> str:
        return str(row.attempt_count)

    @admin.display(description=_("state"), ordering="state")
    def outcome(self, row: WebhookDelivery) -> SafeString:
        # The last answer below it: as a column of its own it is out of sight beside the filters.
        # What to do about it is on the page of each, as nobody looks through a list of sentences.
        return format_html('{}<div class="help">{}</div>', delivery_badge(row), _answer(row))

    @admin.display(description=_("last answer"))
    def last(self, row: WebhookDelivery) -> SafeString:
        answer = _answer(row) or shown.EMPTY
        todo = hint(row.reason, row.status_code, of_request=row.endpoint_id is None)
        return format_html('{}<div class="help">{}</div>', answer, marked(todo))

    @admin.display(description=_("event"))
    def event(self, row: WebhookDelivery) -> SafeString:
        return format_html(
            '<code>{}</code> <span class="quiet">{}</span>', row.type, event_meaning(row.type)
        )

    @admin.display(description=_("message"))
    def about(self, row: WebhookDelivery) -> SafeString | str:
        if row.message_id is None:
            return gettext("none: it is a test")
        message = Message.objects.defer("sealed", "webhook").get(pk=row.message_id)
        page = f"{self.admin_site.name}:authmail_message_change"
        return format_html(
            '<a href="{}">{} {}</a>',
            reverse(page, args=[message.pk]),
            message.kind,
            message.masked_recipient,
        )

    @admin.display(description="webhook-id")
    def webhook_id(self, row: WebhookDelivery) -> SafeString:
        return format_html("<code>msg_{}</code>", row.pk.hex)

    @admin.display(description=_("request id"))
    def request(self, row: WebhookDelivery) -> str:
        return row.request_id or shown.EMPTY


def delivery_badge(row: WebhookDelivery) -> SafeString:
    """Return the state of a delivery, and that it failed before where it waits for another try."""
    return shown.badge("deferred" if _is_repeated(row) else row.state, _state(row))


def _is_repeated(row: WebhookDelivery) -> bool:
    return row.state == State.PENDING and row.attempt_count > 0 and row.reason != ""


def _state(row: WebhookDelivery) -> str:
    return (
        pgettext("webhook", "to be tried again") if _is_repeated(row) else row.get_state_display()
    )


def delivery_receiver(row: WebhookDelivery) -> SafeString:
    """Return the name of the endpoint, or the host and that a request said it."""
    if row.endpoint_id is None:
        return format_html('{} <span class="quiet">{}</span>', row.host, _("of a request"))
    if row.endpoint is None:
        return format_html('{} <span class="quiet">{}</span>', row.host, _("deleted"))
    name = str(row.endpoint)
    beside = "" if name == row.host else row.host
    return format_html('{} <span class="quiet">{}</span>', name, beside)


def _answer(row: WebhookDelivery) -> SafeString | str:
    """Return the last status and reason; empty where there is none."""
    if row.reason in ("", "ok"):
        # Sent again: the answer is that of the time before.
        is_old = row.state in (State.PENDING, State.SENDING)
        return "" if is_old else str(row.status_code or "")
    return format_html("{} <code>{}</code>", row.status_code or "", row.reason)


def _meaning(row: WebhookDelivery) -> str | Promise:
    match row.state:
        case State.DELIVERED:
            return _("The receiver took it.")
        case State.FAILED:
            return _("It is given up.")
        case State.SENDING:
            return _("It is on its way.")
    if _is_repeated(row):
        when = {"time": shown.when(row.due_at)}
        return gettext("It did not arrive yet. It is tried again at %(time)s.") % when
    return _("It waits to be sent.")


# Without one for those that are under way: their state says it.
_OBSTACLES: dict[replaying.Obstacle, str | Promise] = {
    replaying.Obstacle.UNDER_WAY: "",
    replaying.Obstacle.OF_A_REQUEST: _(
        "It cannot be sent again: a request said where to, and its URL and secret were erased when "
        "this ended."
    ),
    replaying.Obstacle.DISABLED: _("It can be sent again once its endpoint is enabled."),
    replaying.Obstacle.ERASED: _("It cannot be sent again: what was sent is not kept any more."),
}
