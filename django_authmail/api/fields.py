"""The kinds of member that bodies are made of. Strict: a wrong type is an error, never guessed."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from django_authmail.exceptions import InvalidAddress, UnsafeHeader
from django_authmail.guards import header_address, safe_header
from django_authmail.message import (
    MAX_METADATA,
    MAX_METADATA_VALUE,
    Attachment,
    guard_metadata,
)
from django_authmail.models.webhooks import MAX_URL
from django_authmail.notifiers.values import MAX_TOKEN

MAX_ADDRESS = 320
#: Contract, section 1: in all of a mail, and so in any list of them.
MAX_RECIPIENTS = 50
#: Contract, section 1; in UTF-8.
MAX_BODY_PART_BYTES = 1024 * 1024

_LINE_BREAK = re.compile(r"[\r\n\0]")
# A member's name is the caller's text: shown only if it cannot be an address or a numeric code.
_HARMLESS_NAME = re.compile(r"[A-Za-z_][A-Za-z_-]{0,40}", re.ASCII)


#: Where errors of a whole object are, in Django REST framework's words.
WHOLE = "non_field_errors"
#: So many members of an object are named that it does not have: a body has room for a million.
MAX_UNKNOWN = 20


def is_harmless_name(name: str) -> bool:
    """Tell whether the name of a member may stand in an answer."""
    return _HARMLESS_NAME.fullmatch(name) is not None


def unknown_members(names: Iterable[str], place: str) -> dict[str, list[str]]:
    """Return the errors for members that `place` ("an attachment") does not have."""
    errors: dict[str, list[str]] = {}
    for name in islice(names, MAX_UNKNOWN):
        if is_harmless_name(name):
            errors[name] = [f"is no member of {place}"]
        else:
            errors[WHOLE] = [f"has a member that is none of {place}"]
    return errors


def _one_address(value: str) -> None:
    """Refuse what no mail can go to, so that it is said together with the body's other faults."""
    if len(value) > MAX_ADDRESS:
        return  # said already
    try:
        header_address(value, "it")
    except InvalidAddress as error:
        fault = serializers.ValidationError(_said(error), code=error.code)
    except UnsafeHeader as error:
        code = InvalidAddress.code if error.problem else error.code
        fault = serializers.ValidationError(_said(error), code=code)
    else:
        return
    raise fault


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _safe(value: str) -> None:
    try:
        safe_header(value, "it")
    except UnsafeHeader as error:
        fault = serializers.ValidationError(_said(error), None if error.problem else error.code)
    else:
        return
    raise fault


def _said(error: InvalidAddress | UnsafeHeader) -> str:
    return str(error).removeprefix("it ")


def _fits_a_body(value: str) -> None:
    if len(value.encode(errors="replace")) > MAX_BODY_PART_BYTES:
        raise serializers.ValidationError(f"must have at most {MAX_BODY_PART_BYTES} bytes in UTF-8")


class Text(serializers.CharField):
    """A string as it is: numbers are refused, white space is kept."""

    default_error_messages = {"invalid": "must be a string"}

    #: What JSON Schema can say of it besides its length.
    described: ClassVar[dict[str, Any]] = {"pattern": "^[^\\u0000]*$"}

    def __init__(self, *, header: bool = False, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)
        self._header = header

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        if self._header and _LINE_BREAK.search(data):
            raise serializers.ValidationError(_said(UnsafeHeader("it")), UnsafeHeader.code)
        return str(data)


class HeaderText(Text):
    """The text of one header, such as the subject."""

    described = {"format": "header-text"}

    def __init__(self, **options: Any) -> None:
        super().__init__(header=True, validators=[_safe], **options)


class WebhookURL(Text):
    """An absolute URL. Where it may lead to is asked when everything else is right."""

    described = {"format": "webhook-url"}

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=MAX_URL, **options)


class FileName(HeaderText):
    """The name of a file, without a path."""

    described = {"format": "filename"}


class MediaType(HeaderText):
    """`type/subtype`, with parameters or without."""

    described = {"format": "media-type"}


class Body(Text):
    """The text or the HTML of a mail, of at most 1 MB."""

    def __init__(self, **options: Any) -> None:
        # Bytes are counted by the validator; so many characters are surely too many.
        validators = [_fits_a_body]
        super().__init__(validators=validators, max_length=MAX_BODY_PART_BYTES, **options)


class Address(Text):
    """One mailbox: `name@domain` or `Name <name@domain>`."""

    described = {"format": "mailbox"}

    def __init__(self, **options: Any) -> None:
        super().__init__(header=True, max_length=MAX_ADDRESS, validators=[_one_address], **options)


class ShortList(serializers.ListField):
    """A list that is counted before any entry is looked at: each has faults of its own."""

    def to_internal_value(self, data: Any) -> list[Any]:
        most = self.max_length
        if most is not None and isinstance(data, list) and len(data) > most:
            self.fail("max_length", max_length=most)
        return super().to_internal_value(data)


@extend_schema_field(
    {
        "type": ["string", "array"],
        "format": "mailbox",
        "minLength": 1,
        "maxLength": MAX_ADDRESS,
        "items": {"type": "string", "format": "mailbox", "minLength": 1, "maxLength": MAX_ADDRESS},
        "maxItems": MAX_RECIPIENTS,
    }
)
class Addresses(ShortList):
    """Mailboxes: a list of them, or one as a string."""

    default_error_messages = {
        "not_a_list": "must be an address, or a list of addresses",
        "max_length": "has more than {max_length} addresses; send a request for each part of them",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(child=Address(), max_length=MAX_RECIPIENTS, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if isinstance(data, str):
            # What is wrong with the only one is wrong with the member, not with its first entry.
            return [self.child.run_validation(data)]
        return super().to_internal_value(data)


class Code(Text):
    """A one-time code."""

    described = {}  # its validator has a pattern

    def __init__(self, **options: Any) -> None:
        super().__init__(
            validators=[
                RegexValidator(
                    r"\A[A-Za-z0-9-]{4,12}\Z", "must be 4 to 12 characters of A-Z, a-z, 0-9 and -"
                )
            ],
            **options,
        )


class Token(Text):
    """The secret of a link: 1 to 2,000 printable ASCII characters."""

    described = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=MAX_TOKEN,
            validators=[RegexValidator(r"\A[!-~]+\Z", "must be printable ASCII without spaces")],
            **options,
        )


class Values(serializers.DictField):
    """A JSON object, whose members the kind of mail judges."""

    default_error_messages = {"not_a_dict": "must be a JSON object"}


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": MAX_METADATA,
        "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,40}$"},
        "additionalProperties": {
            "type": "string",
            "format": "header-text",
            "maxLength": MAX_METADATA_VALUE,
        },
    }
)
class Metadata(serializers.Field[dict[str, str], Any, Any, Any]):
    """A flat JSON object of a few short strings."""

    default_error_messages = {"invalid": "must be a JSON object of strings"}

    def to_internal_value(self, data: Any) -> dict[str, str]:
        if not isinstance(data, dict):
            self.fail("invalid")
        try:
            guard_metadata(tuple(data.items()))
        except UnsafeHeader as error:
            # Neither the name nor the value is shown: both are the caller's text.
            fault = serializers.ValidationError(str(error).removeprefix("metadata "))
        else:
            return dict(data)
        raise fault


class Locale(Text):
    """A language tag."""

    described = {}

    def __init__(self, **options: Any) -> None:
        super().__init__(
            max_length=16,
            validators=[
                RegexValidator(
                    r"\A[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*\Z", "must be a language tag"
                )
            ],
            **options,
        )


class Seconds(serializers.IntegerField):
    """A whole number of seconds; neither "60" nor true. 60.0 is one, as in JSON Schema."""

    default_error_messages = {"invalid": "must be a whole number of seconds"}

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not (isinstance(data, int) or _is_whole(data)):
            self.fail("invalid")
        return int(data)


@extend_schema_field({"type": "string", "contentEncoding": "base64", "format": "byte"})
class Base64(serializers.Field[bytes, Any, Any, Any]):
    """Octets in base64 (RFC 4648 4); line breaks in it are allowed, as many encoders write them.

    No CharField: its validators would look at ten million characters one by one.
    """

    default_error_messages = {"invalid": "must be a string", "encoding": "must be base64"}

    @sensitive_variables()
    def to_internal_value(self, data: Any) -> bytes:
        if not isinstance(data, str):
            self.fail("invalid")
        # Outside of the block below: an exception in the context would keep the content alive.
        with suppress(ValueError):
            return base64.b64decode("".join(data.split()), validate=True)
        self.fail("encoding")


class AttachmentForm(serializers.Serializer[Any]):
    """A file that goes along with the mail."""

    filename = FileName(max_length=255, help_text="The name alone, without a path.")
    content_type = MediaType(
        max_length=400,
        required=False,
        allow_null=True,
        help_text="`type/subtype`, such as `application/pdf`; `application/octet-stream` by "
        "default.",
    )
    content = Base64(help_text="The file in base64.")

    @sensitive_variables()
    def to_internal_value(self, data: Any) -> Attachment:
        if isinstance(data, Mapping):
            unknown = [name for name in data if name not in self.fields]
            if unknown:
                raise serializers.ValidationError(unknown_members(unknown, "an attachment"))
        given = super().to_internal_value(data)
        # S0's callers may say null for what they do not say.
        given = {name: value for name, value in given.items() if value is not None}
        try:
            return Attachment(**given)
        except UnsafeHeader as error:
            # Its field is the member's name: filename or content_type.
            fault = serializers.ValidationError({error.field: [str(error)]})
        raise fault
