"""The keys of the API: made, renamed, rotated and revoked here, and shown once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext
from django.views.decorators.debug import sensitive_variables

from django_authmail import keyring, keys
from django_authmail.admin import shown
from django_authmail.admin.key_pages import KeyPages
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.keyring import Terms
from django_authmail.models import ApiKey

if TYPE_CHECKING:
    _KeyForm = forms.ModelForm[ApiKey]
else:
    # Generic in the stubs only.
    _KeyForm = forms.ModelForm


class _Lines(forms.CharField):
    """A list, each entry on a line of its own, in the form that `read` returns."""

    def __init__(self, read: Callable[[str], str], **options: Any) -> None:
        widget = forms.Textarea(attrs={"rows": 3, "cols": 40})
        super().__init__(required=False, widget=widget, **options)
        self._read = read

    def clean(self, value: Any) -> list[str]:
        lines = filter(None, map(str.strip, super().clean(value).splitlines()))
        try:
            return list(dict.fromkeys(map(self._read, lines)))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None


#: What each scope lets a key do.
_SCOPE_MEANINGS = {
    "send:otp": _("Send codes."),
    "send:magic-link": _("Send links that sign in."),
    "send:password-reset": _("Send links to choose a new password by."),
    "send:email-verification": _("Ask to confirm addresses."),
    "send:invitation": _("Send invitations."),
    "send:template": _("Send mails of every kind that the project has."),
    "send:raw": _("Send mails that the caller has written, to anybody."),
    "messages:read": _("Ask what became of the mails that it sent."),
}


def _scope_choices() -> list[tuple[str, str]]:
    return [
        (scope, format_html('<code>{}</code> <span class="quiet">{}</span>', scope, meaning))
        for scope in keys.SCOPES
        if (meaning := _SCOPE_MEANINGS[scope])
    ]


class ApiKeyForm(_KeyForm):
    is_test = forms.BooleanField(
        label=_("For tests"),
        required=False,
        help_text=_("Everything is done but the hand-over to a mail server: nobody gets a mail."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=_scope_choices,
        initial=list(keys.DEFAULT_SCOPES),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What the key may do."),
    )
    networks = _Lines(
        keyring.network,
        label=_("Allowed networks"),
        help_text=_(
            "Where it may be used from, one a line: 10.0.0.0/8, or an address. Empty: anywhere."
        ),
    )
    recipients = _Lines(
        keyring.recipient,
        label=_("Allowed recipients"),
        help_text=_("Whom it may send to, one a line: an address or a domain. Empty: anybody."),
    )

    class Meta:
        model = ApiKey
        fields = (
            "name",
            "is_test",
            "scopes",
            "networks",
            "recipients",
            "rate_per_minute",
            "expires_at",
        )
        help_texts = {
            "name": _("Who will use it. One key for each service, so that each can be revoked."),
            "rate_per_minute": _(
                "Most requests that send, in a minute. Empty: as in the settings. 0: no limit."
            ),
            "expires_at": _("Empty: never."),
        }


_KEY_FACTS = (
    "shown_prefix",
    "status",
    "shown_scopes",
    "shown_networks",
    "shown_recipients",
    "rate",
    "created",
    "expires",
    "revoked",
    "last_used",
    "id",
)


@admin.register(ApiKey)
class ApiKeyAdmin(shown.PlainTitles):
    list_display = (
        "name",
        "shown_prefix",
        "status",
        "shown_scopes",
        "created",
        "expires",
        "last_used",
    )
    ordering = ("-created_at",)
    actions = ("revoke",)
    when_empty = _(
        "Each service that calls the API needs a key of its own. Add one here, or by "
        "manage.py authmail_key create."
    )

    class Media:
        css = {"all": ("authmail/admin.css",)}

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **options: Any
    ) -> Any:  # a class made on the fly
        if obj is None:
            options["form"] = ApiKeyForm
        return super().get_form(request, obj, change, **options)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ApiKeyForm.Meta.fields if obj is None else ("name", *_KEY_FACTS)

    def get_readonly_fields(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> tuple[str, ...]:
        # Only its name can be changed: more rights or a longer life are a new key's.
        return () if obj is None else _KEY_FACTS

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        # Messages name the key that sent them. A key is revoked, not forgotten.
        return False

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # The page after this one shows the key; there is no other way to go on.
        buttons = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **buttons})

    def get_urls(self) -> list[Any]:
        # Before those of a row, which take any text for its id.
        return [*KeyPages(self).urls, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        if (row := context.get("original")) is not None:
            # One that is added has a key to be shown.
            context["show_save_and_add_another"] = False
            context.update(KeyPages(self).links(request, row))
        return super().render_change_form(request, context, *args, **options)

    @sensitive_variables()
    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm[ApiKey], change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        terms = Terms(
            scopes=tuple(obj.scopes),
            networks=tuple(obj.networks),
            recipients=tuple(obj.recipients),
            rate_per_minute=obj.rate_per_minute,
        )
        row, key = keyring.issue(
            obj.name,
            terms,
            expires=obj.expires_at,
            is_test=form.cleaned_data["is_test"],
        )
        obj.pk = row.pk
        obj.refresh_from_db()
        request._authmail_new_key = key  # type: ignore[attr-defined] # for response_add below

    @sensitive_variables()
    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        key: str = request._authmail_new_key  # type: ignore[attr-defined] # see save_model
        return KeyPages(self).shown_once(request, obj, key)

    @admin.action(description=_("Revoke selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        live = queryset.filter(revoked_at=None)
        # Logged before the update: the filter finds nothing afterwards.
        self.log_revocations(request, live)
        count = keyring.revoke(live)
        self.message_user(
            request,
            ngettext("%(count)d key was revoked.", "%(count)d keys were revoked.", count)
            % {"count": count},
            messages.SUCCESS,
        )

    def log_revocations(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        """Write to the admin's history who revoked what."""
        for row in rows:
            self.log_change(request, row, [{"changed": {"fields": ["revoked_at"]}}])

    @admin.display(description=_("begins with"), ordering="prefix")
    def shown_prefix(self, row: ApiKey) -> SafeString:
        return format_html("<code>{}…</code>", row.prefix)

    @admin.display(description=_("created"), ordering="created_at")
    def created(self, row: ApiKey) -> SafeString | str:
        return shown.moment(row.created_at)

    @admin.display(description=_("expires"), ordering="expires_at")
    def expires(self, row: ApiKey) -> SafeString | str:
        return shown.moment(row.expires_at)

    @admin.display(description=_("revoked"))
    def revoked(self, row: ApiKey) -> str:
        return shown.when(row.revoked_at)

    @admin.display(description=_("last used"), ordering="last_used_at")
    def last_used(self, row: ApiKey) -> SafeString | str:
        return shown.moment(row.last_used_at)

    @admin.display(description=_("scopes"))
    def shown_scopes(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @admin.display(description=_("allowed networks"))
    def shown_networks(self, row: ApiKey) -> str:
        return ", ".join(row.networks) or shown.EMPTY

    @admin.display(description=_("allowed recipients"))
    def shown_recipients(self, row: ApiKey) -> str:
        return ", ".join(row.recipients) or shown.EMPTY

    @admin.display(description=_("requests per minute"))
    def rate(self, row: ApiKey) -> str:
        if row.rate_per_minute is None:
            in_settings = conf.rate_limit_per_minute
            rate = f"{in_settings:,}" if in_settings else _("no limit")
            return _("%(rate)s, as in the settings") % {"rate": rate}
        return f"{row.rate_per_minute:,}" if row.rate_per_minute else str(_("no limit"))

    @admin.display(description=_("state"))
    def status(self, row: ApiKey) -> SafeString:
        if row.revoked_at is not None:
            return shown.badge("failed", pgettext("API key", "revoked"))
        if row.expires_at is not None and row.expires_at <= db_now(row._state.db or "default"):
            return shown.badge("expired", pgettext("API key", "expired"))
        return shown.badge("accepted", str(_("valid")))
