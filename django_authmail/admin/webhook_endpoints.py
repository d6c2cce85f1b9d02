"""The endpoints of webhooks: made, changed, tested, switched and deleted here; never their secrets.

`endpoint_pages` has the pages that show a secret, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext, pgettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from django_authmail.admin import shown
from django_authmail.admin.endpoint_forms import EndpointForm, refusal
from django_authmail.admin.endpoint_pages import EndpointPages
from django_authmail.admin.webhook_deliveries import delivery_badge
from django_authmail.clock import db_now
from django_authmail.exceptions import (
    EndpointChanged,
    MissingExtra,
    SealBroken,
    WebhookUrlRefused,
)
from django_authmail.keyring.owners import owner_name
from django_authmail.models import WebhookDelivery, WebhookEndpoint
from django_authmail.webhooks import endpoints
from django_authmail.webhooks.settlement import FAILING_FOR


def _tell_ended(request: HttpRequest, count: int) -> None:
    said = ngettext(
        "%(count)d webhook that waited will not be sent. It can be sent again once its endpoint is "
        "enabled.",
        "%(count)d webhooks that waited will not be sent. They can be sent again once their "
        "endpoint is enabled.",
        count,
    )
    messages.warning(request, said % {"count": count})


_FACTS = ("status", "latest", "secrets", "created", "id")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(shown.PlainTitles):
    form = EndpointForm
    list_display = ("name", "host", "badge", "told", "whose", "created")
    ordering = ("-created_at",)
    actions = ("enable", "disable")
    when_empty = _(
        "An endpoint is told what became of each mail. Add one here, or by "
        "manage.py authmail_webhook create."
    )

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def get_urls(self) -> list[Any]:
        # Before those of a row, which take any text for its id.
        return [*EndpointPages(self).urls, *super().get_urls()]

    def get_fieldsets(self, request: HttpRequest, obj: WebhookEndpoint | None = None) -> Any:
        what = (_("What it is told"), {"fields": ("event_types", "owner")})
        if obj is None:
            return ((None, {"fields": ("description", "url")}), what)
        return (
            (None, {"fields": ("status", "latest")}),
            (_("Receiver"), {"fields": ("description", "url", "enabled")}),
            what,
            (_("Signature"), {"fields": ("secrets", ("created", "id"))}),
        )

    def get_readonly_fields(
        self, request: HttpRequest, obj: WebhookEndpoint | None = None
    ) -> tuple[str, ...]:
        return () if obj is None else _FACTS

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The page after this one shows the secret; there is no other way to go on.
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **buttons})

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, *args: Any, **options: Any
    ) -> HttpResponse:  # the arguments are Django's
        try:
            return super().changeform_view(request, object_id, *args, **options)
        except WebhookEndpoint.DoesNotExist:
            # Somebody has deleted it since Django looked.
            return shown.gone(self, request=request, id=object_id)
        except MissingExtra as error:
            messages.error(request, str(error))
        except WebhookUrlRefused as error:
            # Its host leads elsewhere than when the form was looked at, a moment ago.
            messages.error(request, refusal(error))
        except EndpointChanged as error:
            said = gettext(
                "Nothing was saved: somebody else has changed this meanwhile: %(fields)s. Look at "
                "it, and change it again."
            )
            labels = ", ".join(str(EndpointForm.base_fields[name].label) for name in error.fields)
            messages.error(request, said % {"fields": labels})
        return HttpResponseRedirect(request.get_full_path())

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        row = context.get("original")
        if row is not None:
            # One that is added has a secret to be shown.
            context["show_save_and_add_another"] = False
            context["deliveries_url"] = self._deliveries_url(row)
            if self.has_change_permission(request):
                context.update(EndpointPages(self).links(row))
        return super().render_change_form(request, context, *args, **options)

    @sensitive_variables()
    def save_model(
        self,
        request: HttpRequest,
        obj: WebhookEndpoint,
        form: EndpointForm,
        change: bool,
    ) -> None:
        given = form.cleaned_data
        values = {name: given[name] for name in ("url", "description", "event_types", "owner")}
        if not change:
            row, secret = endpoints.create(**values)
            obj.pk = row.pk
            request._authmail_new_secret = secret  # type: ignore[attr-defined] # for response_add
        else:
            changed = {name: values[name] for name in values if name in form.changed_data}
            endpoints.change(obj.pk, seen=form.seen, **changed)
            if "enabled" in form.changed_data:
                if given["enabled"]:
                    endpoints.enable(obj.pk)
                elif ended := endpoints.disable(obj.pk):
                    _tell_ended(request, ended)
        obj.refresh_from_db()
        if "url" in form.changed_data and (twins := endpoints.twins(obj)):
            said = gettext(
                "This URL is also that of %(names)s: the receiver gets what both are told of "
                "twice, signed with different secrets."
            )
            names = ", ".join(f"“{twin}” ({shown.when(twin.created_at)})" for twin in twins)
            messages.warning(request, said % {"names": names})

    @sensitive_variables()
    def response_add(
        self, request: HttpRequest, obj: WebhookEndpoint, post_url_continue: str | None = None
    ) -> HttpResponse:
        secret: str = request._authmail_new_secret  # type: ignore[attr-defined] # see save_model
        return EndpointPages(self).shown_once(request, obj, secret)

    # -- deletion: with all that was recorded, which may be much ----------------------------

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        # Deliveries are counted, not listed, and go with their endpoint: nobody deletes them alone.
        rows = list(objs)
        count = WebhookDelivery.objects.filter(endpoint__in=rows).count()
        counts = {str(WebhookEndpoint._meta.verbose_name_plural): len(rows)}
        counts |= {str(WebhookDelivery._meta.verbose_name_plural): count}
        return [str(row) for row in rows], counts, set(), []

    def delete_model(self, request: HttpRequest, obj: WebhookEndpoint) -> None:
        endpoints.delete(obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        for row in queryset:
            endpoints.delete(row.pk)

    # -- actions ------------------------------------------------------------------------------

    @admin.action(description=_("Enable selected endpoints"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        rows = list(queryset.filter(enabled=False))
        for row in rows:
            endpoints.enable(row.pk)
        said = ngettext(
            "%(count)d endpoint was enabled.", "%(count)d endpoints were enabled.", len(rows)
        )
        self._switched(request, rows, said)

    @admin.action(description=_("Disable selected endpoints"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[WebhookEndpoint]) -> None:
        rows = list(queryset.filter(enabled=True))
        ended = sum(endpoints.disable(row.pk) or 0 for row in rows)
        said = ngettext(
            "%(count)d endpoint was disabled.", "%(count)d endpoints were disabled.", len(rows)
        )
        self._switched(request, rows, said)
        if ended:
            _tell_ended(request, ended)

    def _switched(self, request: HttpRequest, rows: Sequence[WebhookEndpoint], said: str) -> None:
        for row in rows:
            self.log_change(request, row, [{"changed": {"fields": ["enabled"]}}])
        self.message_user(request, said % {"count": len(rows)}, messages.SUCCESS)

    # -- columns and facts --------------------------------------------------------------------

    @admin.display(description=_("name"), ordering="description")
    def name(self, row: WebhookEndpoint) -> str:
        return str(row)

    @admin.display(description=_("host"))
    def host(self, row: WebhookEndpoint) -> str:
        # Not the whole URL: its path may have a token in it.
        return row.host

    @admin.display(description=_("state"), ordering="enabled")
    def badge(self, row: WebhookEndpoint) -> SafeString:
        state, label, since = _state(row)
        badge = shown.badge(state, str(label))
        if since is None:
            return badge
        return format_html('{}<div class="help">{}</div>', badge, since)

    @admin.display(description=_("events"))
    def told(self, row: WebhookEndpoint) -> str:
        return ", ".join(row.event_types) or gettext("all of them")

    @admin.display(description=_("whose mails"), ordering="owner")
    def whose(self, row: WebhookEndpoint) -> str:
        return owner_name(row.owner) if row.owner else gettext("everybody's")

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, row: WebhookEndpoint) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description=_("state"))
    def status(self, row: WebhookEndpoint) -> SafeString:
        state, label, _since = _state(row)
        return format_html(
            '{}<div class="authmail-said">{}</div>', shown.badge(state, str(label)), _said(row)
        )

    @admin.display(description=_("latest deliveries"))
    def latest(self, row: WebhookEndpoint) -> SafeString | str:
        page = f"{self.admin_site.name}:authmail_webhookdelivery_change"
        rows = row.deliveries.defer("sealed_payload").order_by("-created_at")[:5]
        lines = (
            (
                reverse(page, args=[each.pk]),
                shown.when(each.created_at),
                each.type,
                delivery_badge(each),
            )
            for each in rows
        )
        return (
            format_html_join(
                "", '<div class="authmail-line"><a href="{}">{}</a> {} {}</div>', lines
            )
            or shown.EMPTY
        )

    @admin.display(description=_("secrets"))
    def secrets(self, row: WebhookEndpoint) -> SafeString | str:
        try:
            ends = endpoints.ends_of_secrets(row, db_now(row._state.db or "default"))
        except SealBroken:
            return gettext(
                "They cannot be opened, so nothing can be sent. Was SECRET_KEY or "
                "AUTHMAIL_SEALING_KEYS changed without keeping the old key as a fallback? Rotate "
                "with 0 hours for a new secret."
            )
        newest = gettext(
            "Current secret: signs until it is rotated. It was shown once, and is stored encrypted."
        )
        before = gettext("Previous secret: signs too until %(time)s, as a rotation left it.")
        lines = [newest if end is None else before % {"time": shown.when(end)} for end in ends]
        return format_html_join("", "<div>{}</div>", ((line,) for line in lines))

    def _deliveries_url(self, row: WebhookEndpoint) -> str:
        page = reverse(f"{self.admin_site.name}:authmail_webhookdelivery_changelist")
        return f"{page}?receiver={row.pk}"


def _state(row: WebhookEndpoint) -> tuple[str, str, str | None]:
    """Return the colour of a state, its word, and since when it is so."""
    if not row.enabled:
        # A request to be noticed, where nobody switched it off.
        return (
            "failed" if row.disabled_reason else "off",
            pgettext("webhook endpoint", "disabled"),
            None if row.disabled_at is None else _since(row.disabled_at),
        )
    if row.failing_since is not None:
        return "deferred", pgettext("webhook endpoint", "failing"), _since(row.failing_since)
    return "accepted", pgettext("webhook endpoint", "enabled"), None


def _since(moment: Any) -> str:
    return gettext("since %(time)s") % {"time": shown.when(moment)}


_WHY: dict[str, Promise] = {
    endpoints.GONE: _(
        "It was disabled by itself at %(time)s: it answered 410, which says that it is gone for "
        "good. If it is back, enable it, and send again what failed."
    ),
    endpoints.FAILING: _(
        "It was disabled by itself at %(time)s: nothing had succeeded for 5 days, since "
        "%(since)s. When it works, enable it, and send again what failed."
    ),
}


def _said(row: WebhookEndpoint) -> str:
    since = shown.when(row.failing_since)
    if not row.enabled:
        by_a_person = gettext("Somebody disabled it at %(time)s. Nothing is sent to it.")
        words = str(_WHY.get(row.disabled_reason, by_a_person))
        return words % {"time": shown.when(row.disabled_at), "since": since}
    if row.failing_since is None:
        return gettext("Events are sent to it.")
    ends = shown.when(row.failing_since + FAILING_FOR)
    return gettext(
        "Nothing that was tried since %(since)s succeeded. If that goes on, it is disabled by "
        "itself after %(ends)s."
    ) % {"since": since, "ends": ends}
