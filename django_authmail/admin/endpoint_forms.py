"""The form of an endpoint, which changes what a person has changed in it, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from django_authmail.exceptions import WebhookUrlRefused
from django_authmail.keyring.owners import owner_choices, owner_name
from django_authmail.models import WebhookEndpoint
from django_authmail.models.webhooks import MAX_URL
from django_authmail.webhooks import events, targets
from django_authmail.webhooks.hints import event_meaning

if TYPE_CHECKING:
    _EndpointForm = forms.ModelForm[WebhookEndpoint]
else:
    # Generic in the stubs only.
    _EndpointForm = forms.ModelForm


def _event_choices() -> list[tuple[str, str]]:
    return [
        (type, format_html('<code>{}</code> <span class="quiet">{}</span>', type, meaning))
        for type in events.MESSAGE_TYPES
        if (meaning := event_meaning(type))
    ]


class EndpointForm(_EndpointForm):
    url = forms.CharField(
        label=_("URL"),
        max_length=MAX_URL,
        widget=AdminTextInputWidget(attrs={"class": "vLargeTextField", "inputmode": "url"}),
        help_text=_(
            "Where each event is sent, by POST: https://… A host of your own network is allowed by "
            "AUTHMAIL_WEBHOOK_ALLOW_HOSTS."
        ),
    )
    event_types = forms.MultipleChoiceField(
        label=_("Events"),
        choices=_event_choices,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("What it is told of. None chosen: all of them, and those that are added."),
    )
    owner = forms.ChoiceField(
        label=_("Whose mails"),
        required=False,
        help_text=_("It is told of no other mails than these."),
    )

    class Meta:
        model = WebhookEndpoint
        fields = ("description", "url", "event_types", "owner", "enabled")
        help_texts = {
            "description": _("Whose it is, or what for: the name that it goes by here."),
            "enabled": _(
                "Off: nothing is sent. What happens meanwhile is recorded, and can be sent again "
                "for 30 days."
            ),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if (field := self.fields.get("owner")) is not None:
            everybody = [("", gettext("everybody's")), *owner_choices()]
            now = self.instance.owner
            # That of a key that is not there any more: to save must not make it everybody's.
            gone = [] if now in dict(everybody) else [(now, owner_name(now))]
            field.choices = [*everybody, *gone]  # type: ignore[attr-defined] # a ChoiceField

        if not self.is_bound or self.add_initial_prefix("url") in self.data:
            # What was shown goes along, and is what a change is one of: compared with the row as it
            # is by then, a page that is old would put back what somebody else has changed.
            for field in self.fields.values():
                field.show_hidden_initial = True

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        if "url" not in self.changed_data:
            return url
        try:
            return targets.check(url).url
        except WebhookUrlRefused as error:
            raise ValidationError(refusal(error)) from None

    @property
    def seen(self) -> dict[str, Any]:
        """What the page showed of what is to be changed."""
        return {name: self._shown(name) for name in self.changed_data}

    def _shown(self, name: str) -> Any:
        field = self.fields[name]
        if not field.show_hidden_initial:
            return self.get_initial_for_field(field, name)
        given = field.hidden_widget().value_from_datadict(
            self.data, self.files, self.add_initial_prefix(name)
        )
        return field.to_python(given)


def refusal(error: WebhookUrlRefused) -> str:
    problem = gettext(error.template) % error.facts
    return gettext("The URL %(problem)s.") % {"problem": problem}
