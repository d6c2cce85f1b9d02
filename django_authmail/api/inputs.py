"""What the endpoints take. Strict: a wrong type or an unknown member is an error, never guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from django.utils import translation
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers

from django_authmail.api.fields import (
    MAX_RECIPIENTS,
    MAX_UNKNOWN,
    WHOLE,
    Address,
    Addresses,
    AttachmentForm,
    Body,
    Code,
    HeaderText,
    Locale,
    Metadata,
    Seconds,
    ShortList,
    Text,
    Token,
    Values,
    WebhookURL,
    unknown_members,
)
from django_authmail.api.problems import Fault, Problem
from django_authmail.message import MAX_SUBJECT, Priority
from django_authmail.webhooks import signing

#: Contract, section 1.
MAX_ATTACHMENTS = 20
#: A mail takes some seconds, and a person some more.
MIN_EXPIRES_IN_SECONDS = 30
#: 7 days: longer than any code should be good for.
MAX_EXPIRES_IN_SECONDS = 7 * 24 * 3600


class _Send(serializers.Serializer[Any]):
    """The members that every endpoint takes that sends."""

    locale = Locale(
        required=False,
        allow_null=True,
        help_text=(
            "Language of the mail, as in `ko` or `en`; the project's by default, and in place of "
            "one that the mails do not exist in."
        ),
    )
    expires_in = Seconds(
        required=False,
        allow_null=True,
        min_value=MIN_EXPIRES_IN_SECONDS,
        max_value=MAX_EXPIRES_IN_SECONDS,
        help_text="Seconds for which the content is valid. The mail is not sent later.",
    )
    priority = serializers.ChoiceField(
        [priority.value for priority in Priority],
        required=False,
        allow_null=True,
        error_messages={"invalid_choice": "must be high or low"},
        help_text="`low` for what nobody waits for: where mails queue, it leaves after the others. "
        "By default what the kind says, which is `high` for codes and links.",
    )
    metadata = Metadata(
        required=False,
        allow_null=True,
        help_text="Kept with the message and shown by GET /messages/{id}; never in the mail.",
    )
    webhook_url = WebhookURL(
        required=False,
        allow_null=True,
        help_text="Where to send the outcome, once it is final: the mail leaves in the background, "
        "and the request is answered 202. An https URL of a host on the internet.",
    )
    webhook_secret = Text(
        required=False,
        allow_null=True,
        allow_blank=True,
        max_length=signing.MAX_OWN_SECRET,
        help_text="Signs the webhook, which has no signature without it; take what `openssl rand "
        "-hex 32` prints. Of no use, and no error, without a `webhook_url`.",
    )

    def get_fields(self) -> dict[str, Any]:
        # After those of the endpoint: that is the order in which errors and hints name them.
        fields = super().get_fields()
        return fields | {name: fields.pop(name) for name in _Send._declared_fields}

    def validate_webhook_secret(self, value: str | None) -> str | None:
        # S0 takes an empty one for none, and so may a setting of its callers be.
        if value and (problem := signing.secret_problem(value)) is not None:
            raise serializers.ValidationError(problem)
        return value or None


class _SendToOne(_Send):
    to = Address(help_text="The one recipient, as `name@domain` or `Name <name@domain>`.")
    user_name = Text(
        max_length=100, allow_blank=True, help_text="How the mail addresses the recipient."
    )


class SendOTP(_SendToOne):
    """Body of POST /send/otp."""

    code = Code(
        help_text="The one-time code, 4 to 12 characters of A-Z, a-z, 0-9 and `-`. A string, so "
        "that leading zeros survive.",
    )


class _SendLink(_SendToOne):
    token = Token(help_text="The secret of the link, URL-encoded into it.")


class SendMagicLink(_SendLink):
    """Body of POST /send/magic-link."""


class SendPasswordReset(_SendLink):
    """Body of POST /send/password-reset."""


class SendInvitation(_SendLink):
    """Body of POST /send/invitation."""

    inviter_name = Text(max_length=100, help_text="Who invites.")


class SendEmailVerification(_SendToOne):
    """Body of POST /send/email-verification: a link, a code, or both in one mail."""

    token = Token(
        required=False, allow_null=True, help_text="The secret of the link, URL-encoded into it."
    )
    code = Code(required=False, allow_null=True, help_text="A code to enter in place of the link.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs.get("token") is None and attrs.get("code") is None:
            raise serializers.ValidationError("needs a token, a code, or both")
        return attrs


class SendTemplate(_Send):
    """Body of POST /send/template: any kind of mail that the project has."""

    to = Address(help_text="The one recipient, as `name@domain` or `Name <name@domain>`.")
    template = Text(max_length=100, help_text="The name of a kind, such as `welcome`.")
    context = Values(  # type: ignore[assignment] # a field of this name replaces the property
        help_text="The values that this kind shows, by name."
    )


class SendRaw(_Send):
    """Body of POST /send: a mail that the caller wrote itself. Nothing in it is a template."""

    to = Addresses(allow_empty=False, help_text="One address, or a list.")
    subject = HeaderText(max_length=MAX_SUBJECT)
    html_body = Body(help_text="At most 1 MB.")
    text_body = Body(
        required=False,
        allow_null=True,
        allow_blank=True,
        help_text="At most 1 MB; made from the HTML by default.",
    )
    cc = Addresses(required=False, allow_null=True)
    bcc = Addresses(required=False, allow_null=True)
    reply_to = Addresses(required=False, allow_null=True)
    attachments = ShortList(
        child=AttachmentForm(),
        required=False,
        allow_null=True,
        max_length=MAX_ATTACHMENTS,
        help_text=f"At most {MAX_ATTACHMENTS}, within the 10 MB of the whole body.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        count = sum(len(attrs.get(name) or ()) for name in ("to", "cc", "bcc"))
        if count > MAX_RECIPIENTS:
            raise serializers.ValidationError(
                f"to, cc and bcc together have {count} addresses; {MAX_RECIPIENTS} are allowed"
            )
        return attrs


@sensitive_variables()
def checked(form: type[serializers.Serializer[Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Return the members of `given` as `form` describes them, without those that are null.

    Raises:
        Problem: validation_error, crlf_in_header or invalid_recipient, with every fault at once.
    """
    serializer = _serializer(form)
    known = list(serializer.fields)
    unknown = [name for name in given if name not in serializer.fields]
    values: dict[str, Any] = {}
    errors: Any = {}
    with translation.override("en"):  # details are English, hints are the caller's language
        try:
            values = serializer.run_validation(given)
        except serializers.ValidationError as error:
            errors = error.detail
        found = [*_details(unknown_members(unknown, "this request")), *_details(errors)]
    if found:
        codes = {getattr(detail, "code", "unknown_member") for _, detail in found}
        faults = [Fault(pointer, str(detail)) for pointer, detail in found]
        raise Problem(_code(codes), faults=faults, hint=_nearest_hint(unknown, known))
    return {name: value for name, value in values.items() if value is not None}


# Its fields are copied for each instance, which costs more than what they check. One that is given
# no `data` keeps nothing: so does Django REST framework use one for all the entries of a list.
@cache
def _serializer(form: type[serializers.Serializer[Any]]) -> serializers.Serializer[Any]:
    return form()


def _code(codes: set[str]) -> str:
    """Return the code of a problem with faults of several kinds."""
    if "crlf_in_header" in codes:
        return "crlf_in_header"
    # Only where nothing else is wrong: its hint is about the address alone.
    return "invalid_recipient" if codes == {"invalid_recipient"} else "validation_error"


def _details(errors: Any, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield what is wrong with its JSON pointer, out of errors nested as the body is."""
    if not isinstance(errors, Mapping):
        yield from ((pointer, detail) for detail in errors)
        return
    for name, inner in errors.items():
        here = pointer if name == WHOLE else f"{pointer}/{Fault.escaped(str(name))}"
        yield from _details(inner, here)


def _nearest_hint(unknown: list[str], known: list[str]) -> str | Promise | None:
    if not unknown:
        return None
    members = ", ".join(known)
    for name in unknown[:MAX_UNKNOWN]:
        if near := get_close_matches(name, known, n=1):
            return format_lazy(
                _("Did you mean `{name}`? The members are: {members}."),
                name=near[0],
                members=members,
            )
    return format_lazy(_("The members are: {members}."), members=members)
