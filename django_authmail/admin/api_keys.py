"""The keys of the API: made, renamed and revoked here, and shown once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext, pgettext
from django.views.decorators.debug import sensitive_variables

from django_authmail import keys
from django_authmail.admin import shown
from django_authmail.clock import db_now
from django_authmail.models import ApiKey

if TYPE_CHECKING:
    _KeyAdmin = admin.ModelAdmin[ApiKey]
    _KeyForm = forms.ModelForm[ApiKey]
else:
    # Generic in the stubs only.
    _KeyAdmin = admin.ModelAdmin
    _KeyForm = forms.ModelForm


class ApiKeyForm(_KeyForm):
    scopes = forms.MultipleChoiceField(
        label=_("Scopes"),
        choices=[(scope, scope) for scope in keys.SCOPES],
        initial=list(keys.DEFAULT_SCOPES),
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What the key may do."),
    )

    class Meta:
        model = ApiKey
        fields = ("name", "scopes", "expires_at")
        help_texts = {
            "name": _("Who will use it. One key for each service, so that each can be revoked."),
            "expires_at": _("Empty: never."),
        }


_KEY_FACTS = (
    "shown_prefix",
    "status",
    "shown_scopes",
    "created",
    "expires",
    "revoked",
    "last_used",
    "id",
)


@admin.register(ApiKey)
class ApiKeyAdmin(_KeyAdmin):
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

    @sensitive_variables()
    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm[ApiKey], change: bool
    ) -> None:
        if not change:
            key = keys.generate()
            obj.prefix, obj.digest = keys.prefix(key), keys.digest(key)
            request._authmail_new_key = key  # type: ignore[attr-defined] # for response_add below
        super().save_model(request, obj, form, change)

    @sensitive_variables()
    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        # The answer itself shows the key. A message of the messages framework would write it into
        # a cookie or the session table.
        context = {
            **self.admin_site.each_context(request),
            "title": _("The key was made"),
            "opts": self.opts,
            "api_key": obj,
            "key": request._authmail_new_key,  # type: ignore[attr-defined] # see save_model
        }
        response = TemplateResponse(request, "admin/authmail/apikey/created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description=_("Revoke selected keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        live = queryset.filter(revoked_at=None)
        # Logged before the update: the filter finds nothing afterwards.
        self.log_revocations(request, live)
        count = live.update(revoked_at=db_now(live.db))
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
    def created(self, row: ApiKey) -> str:
        return shown.when(row.created_at)

    @admin.display(description=_("expires"), ordering="expires_at")
    def expires(self, row: ApiKey) -> str:
        return shown.when(row.expires_at)

    @admin.display(description=_("revoked"))
    def revoked(self, row: ApiKey) -> str:
        return shown.when(row.revoked_at)

    @admin.display(description=_("last used"), ordering="last_used_at")
    def last_used(self, row: ApiKey) -> str:
        return shown.when(row.last_used_at)

    @admin.display(description=_("scopes"))
    def shown_scopes(self, row: ApiKey) -> str:
        return ", ".join(row.scopes)

    @admin.display(description=_("state"))
    def status(self, row: ApiKey) -> SafeString:
        if row.revoked_at is not None:
            return shown.badge("failed", pgettext("API key", "revoked"))
        if row.expires_at is not None and row.expires_at <= db_now(row._state.db or "default"):
            return shown.badge("expired", pgettext("API key", "expired"))
        return shown.badge("accepted", str(_("valid")))
