"""What drf-spectacular does not say by itself: string formats, headers, examples of problems."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from django.utils import translation
from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from django_authmail.api import fields
from django_authmail.api.codes import KINDS, Kind
from django_authmail.api.problems import CONTENT_TYPE

_EXAMPLE_ID = "5d0f0c6e-6a57-4a55-9d5f-0c8a3f0f7a11"

_HEADERS: dict[str, dict[str, Any]] = {
    "X-Request-ID": {
        "description": "The caller's, or a new one: in the log, on the row, in problems.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        "required": True,
    },
    "Location": {
        "description": "Where the outcome will be: `/messages/{id}`.",
        "schema": {"type": "string", "format": "uri-reference"},
        "required": True,
    },
    "Preference-Applied": {
        "description": "RFC 7240: the request asked for it, and not by a `webhook_url` alone.",
        "schema": {"type": "string", "enum": ["respond-async"]},
    },
    "Retry-After": {
        "description": "Seconds, where it is known when it may be otherwise.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {"schema": {"type": "string", "enum": ["Bearer"]}, "required": True},
}
_OUTCOME = {
    "operationId": "get_message",
    "parameters": {"message_id": "$response.body#/id"},
    "description": "What became of it.",
}
#: Headers of some statuses only.
_OF_STATUS = {
    "202": ("Location", "Preference-Applied"),
    "401": ("WWW-Authenticate",),
    "409": ("Retry-After",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


class TextDetails(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call] # its metaclass
    """Says of a string what its field says of itself."""

    target_class = fields.Text
    match_subclasses = True

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        # Whether null is allowed is added to what an extension returns, a second time.
        return {**self.target.described, **schema, "type": "string"}


def complete(document: dict[str, Any]) -> None:
    """Add headers and examples of problems to every response of an OpenAPI document."""
    components = document["components"]
    components["headers"] = copy.deepcopy(_HEADERS)
    components["examples"] = {code: _example(code, kind) for code, kind in KINDS.items()}
    for schema in components["schemas"].values():
        for member in schema.get("properties", {}).values():
            member.pop("x-spec-enum-id", None)  # drf-spectacular's own, for its own use
            _take_blank(member)
    for operation, status, response in _responses(document):
        names = ("X-Request-ID", *_OF_STATUS.get(status, ()))
        response["headers"] = response.get("headers", {}) | {
            name: {"$ref": f"#/components/headers/{name}"} for name in names
        }
        if status in ("200", "202") and operation.startswith("send"):
            response["links"] = {"outcome": _OUTCOME}
        if CONTENT_TYPE in response.get("content", {}):
            codes = [code for code in KINDS if f"`{code}`" in response["description"]]
            response["content"][CONTENT_TYPE]["examples"] = {
                code: {"$ref": f"#/components/examples/{code}"} for code in codes
            }


def _take_blank(member: dict[str, Any]) -> None:
    """Let a string that may be empty be one string.

    drf-spectacular says that it is one of two, the empty one and another; but no pattern here
    keeps the other from being empty, and what is both is not one of them (JSON Schema, `oneOf`).
    """
    match member.get("oneOf"):
        case [string, {"type": "string", "maxLength": 0}]:
            del member["oneOf"]
            member |= string


def _responses(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                yield operation["operationId"], status, response


def _example(code: str, kind: Kind) -> dict[str, Any]:
    with translation.override("en"):
        hint = str(kind.hint)
    value: dict[str, Any] = {
        "type": f"/docs/errors#{code}",
        "title": kind.title,
        "status": kind.status,
        "detail": f"{kind.title}.",
        "instance": "/health/ready" if code == "not_ready" else "/send/otp",
        "code": code,
        "request_id": _EXAMPLE_ID,
        "retryable": kind.retryable,
        "hint": hint,
    }
    if kind.status == 502:
        value |= {"error_code": code, "reason": code, "id": _EXAMPLE_ID}
        value |= {"message_id": f"<{_EXAMPLE_ID}@example.com>"}
    if kind.status == 429:
        value["retry_after"] = 42
    if code == "not_ready":
        value["checks"] = [{"check": "database", "status": "failing"}]
    if kind.status == 422:
        value["errors"] = [{"pointer": "/to", "detail": "says what is wrong with this member"}]
    return {"summary": kind.title, "value": value}
