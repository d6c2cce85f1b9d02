"""The send log: what became of each message. Nothing here changes one; `decision_pages` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_authmail import hints
from django_authmail.admin import shown
from django_authmail.admin.address_search import AddressSearch, uuid_of
from django_authmail.admin.decision_pages import DecisionPages
from django_authmail.admin.preview_pages import PreviewPages
from django_authmail.admin.suppressions import page_of_stops
from django_authmail.admin.webhook_deliveries import delivery_badge, delivery_receiver
from django_authmail.clock import db_now
from django_authmail.keyring.owners import owner_name
from django_authmail.models import Attempt, Message, Recipient, State
from django_authmail.notifiers import registry
from django_authmail.outbox import waiting
from django_authmail.outbox.meanings import meaning
from django_authmail.outcomes import ErrorCode
from django_authmail.wording import marked

if TYPE_CHECKING:
    _RecipientInline = admin.TabularInline[Recipient, Message]
    _AttemptInline = admin.TabularInline[Attempt, Message]
else:
    # Generic in the stubs only.
    _RecipientInline = _AttemptInline = admin.TabularInline


#: The kinds of messages that no notifier made: from the API and a project's code, from
#: OutboxBackend, and from `sendtestmail`.
_OF_NO_NOTIFIER = ("plain", "raw", "test")


class ErrorCodeFilter(admin.SimpleListFilter):
    """By error code, from the fixed list of them: a DISTINCT would read the whole table."""

    title = _("error code")
    parameter_name = "error_code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code.value, code.value) for code in sorted(ErrorCode)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(error_code=self.value()) if self.value() else queryset


class KindFilter(admin.SimpleListFilter):
    """By kind, from those that the project can send: a DISTINCT would read the whole table."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind, kind) for kind in sorted({*registry.kinds(), *_OF_NO_NOTIFIER})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class RecipientInline(shown.ReadOnly, _RecipientInline):
    model = Recipient
    fields = ("masked", "badge", "cause", "reply")
    readonly_fields = fields

    @admin.display(description=_("state"))
    def badge(self, row: Recipient) -> SafeString:
        return shown.badge(row.state, row.get_state_display())

    @admin.display(description=_("reason"))
    def cause(self, row: Recipient) -> str:
        return row.reason or shown.EMPTY

    @admin.display(description=_("server's reply"))
    def reply(self, row: Recipient) -> str:
        return shown.reply(row.reply_code, row.reply_enhanced, row.reply_text)


class AttemptInline(shown.ReadOnly, _AttemptInline):
    model = Attempt
    fields = ("number", "started", "took", "carrier", "badge", "cause", "reply")
    readonly_fields = fields

    @admin.display(description=_("result"))
    def badge(self, row: Attempt) -> SafeString:
        return shown.badge(row.result, row.get_result_display())

    @admin.display(description=_("started"))
    def started(self, row: Attempt) -> str:
        return shown.when(row.started_at)

    @admin.display(description=_("took"))
    def took(self, row: Attempt) -> str:
        return f"{row.duration_ms} ms"

    @admin.display(description=_("reason"))
    def cause(self, row: Attempt) -> str:
        return row.reason or shown.EMPTY

    @admin.display(description=_("server's reply"))
    def reply(self, row: Attempt) -> str:
        return shown.reply(row.reply_code, row.reply_enhanced, row.reply_text)


@admin.register(Message)
class MessageAdmin(shown.ReadOnly, AddressSearch):
    list_display = ("created", "badge", "kind", "masked_recipient", "outcome")
    list_display_links = ("created", "masked_recipient")
    list_filter = ("state", KindFilter, ErrorCodeFilter, "is_test", "created_at")
    list_per_page = 50
    # Counting all messages ever sent would take longer than finding the one asked for.
    show_full_result_count = False
    ordering = ("-created_at",)
    search_fields = ("message_id",)
    search_help_text = _(
        "A Message-ID, a request id, or the full address of a recipient. Addresses are kept as "
        "hashes, so part of one finds nothing."
    )
    nothing_found = _("This is no address, and no message has it as its Message-ID or request id.")
    when_empty = _(
        "Mail that is recorded gets here: that of the API, of outbox.submit() and of "
        "OutboxBackend. What is sent without a record is never here, and rows are erased some time "
        "after they have ended. What else is known of an address: manage.py authmail_find ADDRESS."
    )
    inlines = (RecipientInline, AttemptInline)
    fieldsets = (
        (None, {"fields": ("badge", "advice", "provider_answer")}),
        (
            _("Mail"),
            {"fields": ("masked_recipient", ("kind", "language", "bytes"), "message_id")},
        ),
        (
            _("Course"),
            {"fields": (("created", "accepted", "settled"), ("next_attempt", "expires"))},
        ),
        (_("Webhooks"), {"fields": ("told",)}),
        (_("Origin"), {"fields": (("sender", "request"), "kept_with_it", "other_tries", "id")}),
    )
    readonly_fields = tuple(flatten_fieldsets(fieldsets))

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def get_urls(self) -> list[Any]:
        # Before those of a row, which take any text for its id.
        return [*PreviewPages(self).urls, *DecisionPages(self).urls, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        if (row := context.get("original")) is not None:
            context.update(DecisionPages(self).choices(request, row))
            context["stops_url"] = page_of_stops(self.admin_site, request, row)
            # In title and breadcrumbs, where str() would show the word of the database.
            title = f"{row.kind} {row.masked_recipient} {row.get_state_display()}"
            context["original"] = shown.Titled(row, title)
            context["subtitle"] = title
        return super().render_change_form(request, context, *args, **options)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Message]:
        return super().get_queryset(request).defer("sealed", "webhook")

    def to_addresses(self, queryset: QuerySet[Message], hashes: list[str]) -> QuerySet[Message]:
        rows = Recipient.objects.filter(address_hash__in=hashes).values("message_id")
        return queryset.filter(pk__in=rows)

    def masks(self, hashes: list[str]) -> QuerySet[Any, str]:
        return Recipient.objects.filter(address_hash__in=hashes).values_list("masked", flat=True)

    def named(self, queryset: QuerySet[Message], term: str) -> QuerySet[Message]:
        if (key := uuid_of(term)) is not None:
            # Our request ids are UUIDs as well.
            return queryset.filter(pk=key) | queryset.filter(request_id=term)
        if "@" in term:
            return queryset.filter(message_id=f"<{term.strip('<>')}>")
        return queryset.filter(request_id=term)

    @admin.display(description=_("state"), ordering="state")
    def badge(self, row: Message) -> SafeString:
        state = shown.badge(row.state, row.get_state_display())
        if not row.is_test:
            return state
        return format_html("{} {}", state, shown.badge("test", str(_("test"))))

    @admin.display(description=_("outcome"))
    def outcome(self, row: Message) -> SafeString | str:
        if row.reason:
            # What to do about it is on its page: said in each row, it hides the rows.
            return format_html("<code>{}</code> / <code>{}</code>", row.error_code, row.reason)
        if row.provider_id:
            # Word by word: an id with hyphens goes to the next line before it is cut at one.
            words = ((word,) for word in row.provider_id.split())
            return format_html_join(" ", '<span class="authmail-word">{}</span>', words)
        return shown.EMPTY

    @admin.display(description=_("what it means"))
    def advice(self, row: Message) -> SafeString | str:
        state = meaning(row, db_now(router.db_for_write(Message)))
        if not row.reason:
            return state
        obstacles = waiting.obstacles([row]).get(row.pk, [])
        reasons = dict.fromkeys([each.reason for each in obstacles] or [row.reason])
        return format_html(
            "{}{}{} <code>{}</code> / <code>{}</code>",
            state,
            format_html_join(
                "", "<br>{}", ((marked(each.sentence(shown.when)),) for each in obstacles)
            ),
            format_html_join(
                "", "<br><strong>{}</strong>", ((marked(hints.hint(why)),) for why in reasons)
            ),
            row.error_code,
            row.reason,
        )

    @admin.display(description=_("server's answer"))
    def provider_answer(self, row: Message) -> str:
        last = row.attempts.last()
        if row.provider_id or last is None:
            return row.provider_id or shown.EMPTY
        return shown.reply(last.reply_code, last.reply_enhanced, last.reply_text)

    @admin.display(description=_("language"))
    def language(self, row: Message) -> str:
        return row.locale or shown.EMPTY

    @admin.display(description=_("size in bytes"))
    def bytes(self, row: Message) -> str:
        return f"{row.size:,}"

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, row: Message) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description=pgettext_lazy("time", "accepted"))
    def accepted(self, row: Message) -> str:
        return shown.when(row.accepted_at)

    @admin.display(description=_("settled"))
    def settled(self, row: Message) -> str:
        return shown.when(row.settled_at)

    @admin.display(description=_("valid until"))
    def expires(self, row: Message) -> str:
        return shown.when(row.expires_at)

    @admin.display(description=_("next attempt"))
    def next_attempt(self, row: Message) -> str:
        return shown.when(row.due_at) if row.state == State.QUEUED else shown.EMPTY

    @admin.display(description=_("sent by"))
    def sender(self, row: Message) -> str:
        return owner_name(row.owner)

    @admin.display(description=_("request id"))
    def request(self, row: Message) -> str:
        return row.request_id or shown.EMPTY

    @admin.display(description=_("other tries of the request"))
    def other_tries(self, row: Message) -> SafeString | str:
        before = Message.objects.filter(pk__in=filter(None, [row.retry_of_id]))
        rows = (before | row.retries.all()).defer("sealed").order_by("created_at")
        page = f"{self.admin_site.name}:authmail_message_change"
        tries = (
            (reverse(page, args=[r.pk]), shown.when(r.created_at), r.get_state_display())
            for r in rows
        )
        return format_html_join("", '<div><a href="{}">{}</a> {}</div>', tries) or shown.EMPTY

    @admin.display(description=_("who was told"))
    def told(self, row: Message) -> SafeString | str:
        page = f"{self.admin_site.name}:authmail_webhookdelivery_change"
        rows = row.webhooks.select_related("endpoint").order_by("created_at")
        told = (
            (
                reverse(page, args=[each.pk]),
                shown.when(each.created_at),
                each.type,
                delivery_receiver(each),
                delivery_badge(each),
            )
            for each in rows.defer("sealed_target", "sealed_payload", "endpoint__sealed_secrets")
        )
        lines = format_html_join(
            "", '<div class="authmail-line"><a href="{}">{}</a> {} {} {}</div>', told
        )
        if Message.objects.filter(pk=row.pk, webhook__isnull=False).exists():
            lines += format_html("<div>{}</div>", _("Where its request said, once it has ended."))
        return lines or shown.EMPTY

    @admin.display(description=_("metadata"))
    def kept_with_it(self, row: Message) -> SafeString | str:
        pairs = sorted(row.metadata.items())
        return format_html_join("", "<div><code>{}</code>: {}</div>", pairs) or shown.EMPTY
