"""What the endpoints take. Strict: a wrong type or an unknown member is an error, never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from django.core.validators import RegexValidator
from django.utils import translation
from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from rest_framework import serializers

from django_authmail.api.problems import Fault, Problem
from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.guards import header_address

# Members of the contract that this version does not have yet: said so, instead of "unknown".
_NOT_YET = frozenset(("priority", "metadata", "webhook_url", "webhook_secret"))

_LINE_BREAK = re.compile(r"[\r\n\0]")
# A member's name is the caller's text: shown only if it cannot be an address or a numeric code.
_HARMLESS_NAME = re.compile(r"[A-Za-z_][A-Za-z_-]{0,40}", re.ASCII)

MAX_ADDRESS = 320
#: A mail takes some seconds, and a person some more.
MIN_EXPIRES_IN_SECONDS = 30
#: 7 days: longer than any code should be good for.
MAX_EXPIRES_IN_SECONDS = 7 * 24 * 3600


class Text(serializers.CharField):
    """A string as it is: numbers are refused, white space is kept."""

    default_error_messages = {"invalid": "must be a string"}

    def __init__(self, *, header: bool = False, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        self._header = header

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self._header and _LINE_BREAK.search(data):
            raise serializers.ValidationError(
                "contains a carriage return, line feed or NUL character", code="crlf_in_header"
            )
        return str(data)


def one_address(value: str) -> None:
    """Refuse what no mail can go to, so that it is said together with the body's other faults."""
    if len(value) > MAX_ADDRESS:
        return  # said already
    try:
        header_address(value, "to")
    except (InvalidAddress, UnsafeHeader) as error:
        fault = serializers.ValidationError(str(error), code=error.code)
    else:
        return
    raise fault


class Seconds(serializers.IntegerField):
    """A whole number of seconds; neither "60" nor 60.0 nor true."""

    default_error_messages = {"invalid": "must be a whole number of seconds"}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return int(data)


class SendOTP(serializers.Serializer[Any]):
    """Body of POST /send/otp."""

    to = Text(
        header=True,
        max_length=MAX_ADDRESS,
        validators=[one_address],
        help_text="The one recipient, as `name@domain` or `Name <name@domain>`.",
    )
    user_name = Text(
        max_length=100, allow_blank=True, help_text="How the mail addresses the recipient."
    )
    code = Text(
        validators=[
            RegexValidator(
                r"\A[A-Za-z0-9-]{4,12}\Z", "must be 4 to 12 characters of A-Z, a-z, 0-9 and -"
            )
        ],
        help_text="The one-time code, 4 to 12 characters of A-Z, a-z, 0-9 and `-`. A string, so "
        "that leading zeros survive.",
    )
    locale = Text(
        required=False,
        allow_null=True,
        max_length=16,
        validators=[
            RegexValidator(r"\A[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*\Z", "must be a language tag")
        ],
        help_text="Language of the mail, as in `ko` or `en`; the project's by default.",
    )
    expires_in = Seconds(
        required=False,
        allow_null=True,
        min_value=MIN_EXPIRES_IN_SECONDS,
        max_value=MAX_EXPIRES_IN_SECONDS,
        help_text="Seconds for which the code is valid. The mail says so and is not sent later.",
    )


@sensitive_variables()
def checked(form: type[serializers.Serializer[Any]], given: dict[str, Any]) -> dict[str, Any]:
    """Return the members of `given` as `form` describes them, without those that are null.

    Raises:
        Problem: validation_error, crlf_in_header or invalid_recipient, with every fault at once.
    """
    serializer = form(data=given)
    known = list(serializer.fields)
    unknown = [name for name in given if name not in serializer.fields]
    with translation.override("en"):  # details are English, hints are the caller's language
        serializer.is_valid()
        faults = [*_unknown_faults(unknown), *_faults(serializer.errors)]
    if faults:
        codes = {error.code for errors in serializer.errors.values() for error in errors}
        raise Problem(_code(codes, unknown), faults=faults, hint=_nearest_hint(unknown, known))
    return {name: value for name, value in serializer.validated_data.items() if value is not None}


def _code(codes: set[str], unknown: list[str]) -> str:
    """Return the code of a problem with faults of several kinds."""
    if "crlf_in_header" in codes:
        return "crlf_in_header"
    # Only where nothing else is wrong: its hint is about the address alone.
    return (
        "invalid_recipient"
        if codes == {"invalid_recipient"} and not unknown
        else "validation_error"
    )


def _faults(errors: dict[str, list[Any]]) -> Iterator[Fault]:
    for name, details in errors.items():
        for detail in details:
            yield Fault.at(name, str(detail))


def _unknown_faults(names: list[str]) -> Iterator[Fault]:
    for name in names:
        if name in _NOT_YET:
            yield Fault.at(name, "is not available in this version")
        elif _HARMLESS_NAME.fullmatch(name):
            yield Fault.at(name, "is no member of this request")
        else:
            yield Fault("", "has a member that is none of this request")


def _nearest_hint(unknown: list[str], known: list[str]) -> str | Promise | None:
    if not unknown:
        return None
    if any(name.startswith("webhook_") for name in unknown):
        return _(
            "Webhooks are not in this version. Send `Prefer: respond-async` and ask "
            "GET /messages/{id} for the outcome."
        )
    members = ", ".join(known)
    for name in unknown:
        if near := get_close_matches(name, known, n=1):
            return format_lazy(
                _("Did you mean `{name}`? The members are: {members}."),
                name=near[0],
                members=members,
            )
    return format_lazy(_("The members are: {members}."), members=members)
