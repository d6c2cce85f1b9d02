"""The OpenAPI description of each endpoint, and of the API as a whole.

The project's SPECTACULAR_SETTINGS neither shape this description nor are changed by it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import SPECTACULAR_DEFAULTS, patched_settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)
from rest_framework.serializers import Serializer

import django_authmail
from django_authmail.api import details, fields, headers, inputs, outputs
from django_authmail.api.codes import KINDS
from django_authmail.api.problems import CONTENT_TYPE
from django_authmail.notifiers.samples import SAMPLE_CODE, SAMPLE_TOKEN

F = TypeVar("F", bound=Callable[..., Any])

_DESCRIPTION = """
Authentication mail over HTTP.

Errors are `application/problem+json` (RFC 9457) and carry a `code`, a `hint` in the language of
`Accept-Language` (English or Korean), and the `request_id` that the log has too.

A body without Content-Type is read as JSON. Django's `runserver` gives such a request `text/plain`:
name the type there.
"""

# Every setting, so that none of the project's shines through; those that drf-spectacular does not
# let a view set are arguments of the generator.
_SETTINGS: dict[str, Any] = {
    name: value
    for name, value in SPECTACULAR_DEFAULTS.items()
    if not name.startswith("SERVE_") and name != "DEFAULT_GENERATOR_CLASS"
} | {
    "TITLE": "django-authmail",
    "DESCRIPTION": _DESCRIPTION.strip(),
    "VERSION": django_authmail.__version__,
    "OAS_VERSION": "3.1.0",
    "TAGS": [{"name": name} for name in ("send", "messages", "operations")],
    "POSTPROCESSING_HOOKS": [],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENFORCE_NON_BLANK_FIELDS": True,
}

# drf-spectacular's settings are global while a description is made.
_one_at_a_time = Lock()


def description(mount: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of the API that is mounted at the path `mount`."""
    return _document() | ({"servers": [{"url": mount}]} if mount.strip("/") else {})


# Once: it takes a second, and where the mount captures a value there are as many of these as a
# caller makes up.
@cache
def _document() -> dict[str, Any]:
    from django_authmail.api import urls  # a cycle: urls serves this description

    with _one_at_a_time, patched_settings(_SETTINGS):
        generator = SchemaGenerator(patterns=urls.urlpatterns)  # type: ignore[no-untyped-call] # untyped there
        document: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call] # untyped there
    # Unknown members are refused, which drf-spectacular has no way to say.
    schemas = document["components"]["schemas"]
    for form in _CLOSED:
        schemas[form.__name__]["additionalProperties"] = False
    schemas[inputs.SendEmailVerification.__name__]["anyOf"] = [
        {"required": [name], "properties": {name: {"type": "string"}}} for name in ("token", "code")
    ]
    schemas[inputs.SendRaw.__name__]["properties"]["to"]["minItems"] = 1
    details.complete(document)
    return document


_CLOSED = (
    inputs.SendOTP,
    inputs.SendMagicLink,
    inputs.SendPasswordReset,
    inputs.SendEmailVerification,
    inputs.SendInvitation,
    inputs.SendTemplate,
    inputs.SendRaw,
    fields.AttachmentForm,
)


def described(**facts: Any) -> Callable[[F], F]:
    """Describe a view's method: `extend_schema`, without the project's DEFAULT_SCHEMA_CLASS."""

    def decorate(method: F) -> F:
        # What extend_schema builds upon; it would take the project's otherwise.
        method.kwargs = {"schema": AutoSchema}  # type: ignore[attr-defined] # read by extend_schema
        return extend_schema(**facts)(method)

    return decorate


#: Codes that have a status in common with those of endpoints that send.
_ELSEWHERE = ("bad_request", "not_ready")


def _problem(status: int, answer: type[Serializer[Any]] = outputs.ProblemAnswer) -> Any:
    codes = [c for c, kind in KINDS.items() if kind.status == status and c not in _ELSEWHERE]
    return OpenApiResponse(answer, description=", ".join(f"`{code}`" for code in codes))


def _problems(*statuses: int) -> dict[Any, Any]:
    return {(status, CONTENT_TYPE): _problem(status) for status in statuses}


#: What every endpoint answers that asks for a key.
_THROTTLED: dict[Any, Any] = {
    (429, CONTENT_TYPE): OpenApiResponse(outputs.ProblemAnswer, description="`auth_throttled`")
}

# No patterns: what is not well formed is passed over.
_COMMON_HEADERS = [
    OpenApiParameter(
        "X-Request-ID",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="1 to 128 characters of A-Z, a-z, 0-9, `.`, `_` and `-`: comes back in the "
        "answer, the log and the record. A new one is made otherwise.",
    ),
    OpenApiParameter(
        "traceparent",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="W3C Trace Context: goes to the record, the log and the task.",
    ),
    OpenApiParameter(
        "Accept-Language",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="`en` or `ko`: the language of hints, not that of the mail.",
    ),
]
# Answers to a request whose key and scope are right.
_WITH_RATE = [200, 202, 400, 403, 409, 411, 413, 415, 422, 429, 502, 503]
_SEND_HEADERS = [
    OpenApiParameter(
        "X-Dry-Run",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="`true`, `1` or `yes`: check everything, store and send nothing.",
    ),
    OpenApiParameter(
        "Prefer",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="`respond-async` (RFC 7240): queue the mail and answer 202 at once. "
        "`handling=strict`: refuse an Idempotency-Key by 501 where they are switched off, instead "
        "of not looking at it.",
    ),
    OpenApiParameter(
        "Idempotency-Key",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="1 to 255 visible ASCII characters, such as a UUID, bare or in double quotes. "
        "A repeat with the same key, body and path is answered as the first was, and sends no "
        "second mail. Take a new one for each mail.",
        pattern=headers.IDEMPOTENCY_KEY,
    ),
    OpenApiParameter(
        "Idempotent-Replayed",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        response=[200, 202, 502],
        enum=["true"],
        description="This is the answer to an earlier request with the same Idempotency-Key.",
    ),
    OpenApiParameter(
        "RateLimit-Policy",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        response=_WITH_RATE,
        description="The limit of the key, if it has one: requests (`q`) in so many seconds (`w`), "
        'as `"key";q=60;w=60`.',
    ),
    OpenApiParameter(
        "RateLimit",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        response=_WITH_RATE,
        description="What is left of it: requests (`r`) until so many seconds (`t`) have passed, "
        'as `"key";r=59;t=42`.',
    ),
    OpenApiParameter(
        "Retry-After",
        OpenApiTypes.INT,
        OpenApiParameter.HEADER,
        response=[409, 429, 503],
        description="Seconds until the same request may succeed.",
    ),
    *_COMMON_HEADERS,
]

_SENT = OpenApiExample(
    "sent",
    {
        "sent": True,
        "state": "accepted",
        "id": "0b0a9c9e-4b7e-4d53-9f8a-0d5f3a3f5f10",
        "message_id": "<5d1f…@example.com>",
        "provider_id": "OK queued as 4D7C12",
        "refused": [],
    },
    response_only=True,
    status_codes=["200"],
)


def _example(**members: Any) -> OpenApiExample:
    return OpenApiExample("example", members, request_only=True)


def _send(path: str, summary: str, form: type[Serializer[Any]], example: OpenApiExample) -> Any:
    """Return the description of POST /send, or of POST /send/`path`."""
    scope = f"send:{path}" if path else "send:raw"
    return {
        "operation_id": scope.replace(":", "_").replace("-", "_"),
        "summary": summary,
        "description": "Sends now and answers when the mail server has taken the mail or refused "
        "it, at most 8 seconds later. `accepted` means that the next server took responsibility; "
        f"it is no promise of delivery.\n\nScope: `{scope}`.",
        "tags": ["send"],
        "parameters": _SEND_HEADERS,
        "request": {"application/json": form},
        "responses": {
            200: OpenApiResponse(
                PolymorphicProxySerializer(
                    component_name="SendAnswer",
                    serializers=[outputs.SentAnswer, outputs.DryRunAnswer],
                    resource_type_field_name=None,
                ),
                description="Taken by the mail server; with `X-Dry-Run`, valid.",
            ),
            202: OpenApiResponse(
                outputs.QueuedAnswer,
                description="Queued; `Location` is where its outcome will be.",
            ),
            **_problems(400, 401, 403, 406, 409, 411, 413, 415, 422, 429, 501),
            **_problems(503),
            (502, CONTENT_TYPE): _problem(502, outputs.NotSentAnswer),
        },
        "examples": [example, _SENT],
    }


SEND_OTP = _send(
    "otp",
    "Send a one-time code",
    inputs.SendOTP,
    _example(to="hong@example.com", user_name="홍길동", code=SAMPLE_CODE, locale="ko"),
)
SEND_MAGIC_LINK = _send(
    "magic-link",
    "Send a link that signs in",
    inputs.SendMagicLink,
    _example(to="hong@example.com", user_name="홍길동", token=SAMPLE_TOKEN, locale="ko"),
)
SEND_PASSWORD_RESET = _send(
    "password-reset",
    "Send a link to choose a new password by",
    inputs.SendPasswordReset,
    _example(to="hong@example.com", user_name="홍길동", token=SAMPLE_TOKEN, locale="ko"),
)
SEND_EMAIL_VERIFICATION = _send(
    "email-verification",
    "Ask to confirm an address, by a link, a code, or both",
    inputs.SendEmailVerification,
    _example(to="hong@example.com", user_name="홍길동", token=SAMPLE_TOKEN, code=SAMPLE_CODE),
)
SEND_INVITATION = _send(
    "invitation",
    "Send an invitation",
    inputs.SendInvitation,
    _example(to="hong@example.com", user_name="홍길동", inviter_name="김영희", token=SAMPLE_TOKEN),
)
SEND_TEMPLATE = _send(
    "template",
    "Send any kind of mail that the project has",
    inputs.SendTemplate,
    _example(to="hong@example.com", template="welcome", context={"user_name": "홍길동"}),
)
SEND_RAW = _send(
    "",
    "Send a mail of your own",
    inputs.SendRaw,
    _example(
        to=["hong@example.com"],
        subject="Your order has left",
        html_body="<p>Order 2026-1120 has left our house.</p>",
        attachments=[
            {
                "filename": "invoice.pdf",
                "content_type": "application/pdf",
                "content": "JVBERi0xLjQK",
            }
        ],
    ),
)

MESSAGE: dict[str, Any] = {
    "operation_id": "get_message",
    "summary": "What became of a message",
    "description": "A key sees only the messages that were sent with it. Neither content nor full "
    "addresses are part of the answer.\n\nScope: `messages:read`.",
    "tags": ["messages"],
    "parameters": [
        OpenApiParameter("message_id", OpenApiTypes.UUID, OpenApiParameter.PATH),
        *_COMMON_HEADERS,
    ],
    "responses": {
        200: outputs.MessageAnswer,
        **_problems(401, 403, 404, 406),
        **_THROTTLED,
    },
}

HEALTH: dict[str, Any] = {
    "operation_id": "health",
    "summary": "Whether the process answers",
    "description": "Asks neither the database nor the mail server.",
    "tags": ["operations"],
    "responses": {200: outputs.HealthAnswer},
}

LIVE: dict[str, Any] = {
    "operation_id": "live",
    "summary": "Whether the process answers",
    "description": "The same as `GET /health`.",
    "tags": ["operations"],
    "responses": {200: outputs.HealthAnswer},
}

READY: dict[str, Any] = {
    "operation_id": "ready",
    "summary": "Whether the process can do its work",
    "description": "Asks the database, for its migrations too, the cache, and the broker where "
    "AUTHMAIL_CELERY is on, and answers within 2 seconds. Needs no key; with one, the answer says "
    "what is wrong.",
    "tags": ["operations"],
    "auth": [{}, {"apiKey": []}],
    "responses": {
        200: outputs.ReadyAnswer,
        **_problems(401, 403),
        **_THROTTLED,
        (503, CONTENT_TYPE): OpenApiResponse(outputs.NotReadyAnswer, description="`not_ready`"),
    },
}

METRICS: dict[str, Any] = {
    "operation_id": "metrics",
    "summary": "Prometheus metrics",
    "description": "404 unless AUTHMAIL_METRICS_ENABLED. AUTHMAIL_METRICS_REQUIRE_AUTH asks for a "
    "key, of any scope.",
    "tags": ["operations"],
    "responses": {
        (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="Prometheus text."),
        **_problems(401, 403, 404),
        **_THROTTLED,
    },
}
