"""Reads a request's body as one strict JSON object.

Not `request.data`: Django REST framework takes a body without Content-Length for an empty one and
applies the project's DATA_UPLOAD_MAX_MEMORY_SIZE. Not `request.body`: it would keep the bytes, with
the code in them, for every error tracker that looks at the request later.
"""

from __future__ import annotations

import codecs
import json
import math
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from django_authmail.api.problems import Fault, Problem

#: 10 MB, as S0 and the contract say.
MAX_BODY_BYTES = 10 * 1024 * 1024

_CHUNK_BYTES = 64 * 1024
#: As much of a refused body is read and thrown away.
MAX_DRAINED_BYTES = 64 * 1024 * 1024
#: The deepest body of the contract has three levels. Python's own limit differs by version, and
#: what walks over the value later must not meet it.
MAX_DEPTH = 32


_NOT_COMPRESSED = _("Send the body as it is, without the header `Content-Encoding`.")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@sensitive_variables()
def read_json(request: HttpRequest) -> dict[str, Any]:
    """Return the members of the body.

    Raises:
        Problem: unsupported_media_type, length_required, payload_too_large, malformed_json, or
            validation_error for JSON that is no object.
    """
    _check_type(request)
    value = _parse(_read(request))
    if not isinstance(value, dict):
        raise Problem("validation_error", faults=[Fault("", "the body must be a JSON object")])
    return value


def discard(request: HttpRequest) -> None:
    """Throw away what was not read of a body that is refused.

    A client that is still writing when a server closes sees a broken connection instead of the
    answer. Beyond MAX_DRAINED_BYTES it has to.
    """
    # Under ASGI, Django has all of it before it calls a view.
    if not isinstance(request, WSGIRequest) or _declared_length(request) > MAX_DRAINED_BYTES:
        return
    # A client that hangs up meanwhile has seen enough.
    with suppress(Exception):
        stream, discarded = _stream(request), 0
        while discarded < MAX_DRAINED_BYTES and (chunk := stream.read(_CHUNK_BYTES)):
            discarded += len(chunk)


def _check_type(request: HttpRequest) -> None:
    kind = (request.content_type or "").lower()
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise Problem("unsupported_media_type", "The Content-Type is not application/json.")
    # JSON between systems is UTF-8 (RFC 8259 8.1).
    if (request.content_params or {}).get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem("unsupported_media_type", "JSON is UTF-8; another charset is not read.")
    if request.headers.get("Content-Encoding", "").lower() not in ("", "identity"):
        raise Problem(
            "unsupported_media_type", "A compressed body is not read.", hint=_NOT_COMPRESSED
        )


@sensitive_variables()
def _read(request: HttpRequest) -> bytes:
    stream = _stream(request)
    declared = _declared_length(request)
    if declared > MAX_BODY_BYTES:
        _refuse_too_large()
    # A declared length is not believed: HTTP/1.1 chunks and HTTP/2 need not have one.
    content = bytearray()
    while chunk := _next_chunk(stream):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            _refuse_too_large()
    if len(content) < declared:
        # To WSGI, the end of the connection is that of the body: an object may be whole in what
        # came, and its sender is gone all the same (RFC 9112, 8).
        _refuse_broken()
    return bytes(content)


def _next_chunk(stream: _Readable) -> bytes:
    with suppress(Exception):
        return stream.read(_CHUNK_BYTES)
    # Django's UnreadablePostError, or what a server's own stream of a chunked body raises, which
    # need not be an OSError. Outside of the block above, for its context.
    _refuse_broken()


def _refuse_broken() -> NoReturn:
    raise Problem("malformed_json", "The connection or the form of the body broke within it.")


def _stream(request: HttpRequest) -> _Readable:
    if not isinstance(request, WSGIRequest) or request.headers.get("content-length"):
        return request
    # WSGI knows no end of a body without Content-Length (PEP 3333), unless the server marks it.
    if request.environ.get("wsgi.input_terminated"):
        stream: _Readable = request.environ["wsgi.input"]
        return stream
    raise Problem("length_required", "The request has no Content-Length.")


def _declared_length(request: HttpRequest) -> int:
    try:
        return int(request.headers.get("content-length") or 0)
    except ValueError:
        return 0


def _refuse_too_large() -> NoReturn:
    raise Problem("payload_too_large", f"The body has more than {MAX_BODY_BYTES} bytes.")


class _Refused(ValueError):
    """Raised for what Python's json reads and RFC 8259 or I-JSON (RFC 7493) does not allow."""


@sensitive_variables()
def _parse(content: bytes) -> Any:
    if not content:
        raise Problem("malformed_json", "The body is empty.")
    if content.startswith(codecs.BOM_UTF8):
        detail = "The body begins with a byte order mark, as a file that Windows wrote does."
        raise Problem("malformed_json", detail)
    try:
        value = json.loads(
            content.decode(),
            object_pairs_hook=_members,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        _check_depth(value)
        return value
    except UnicodeDecodeError:
        detail = "The body is not UTF-8."
    except json.JSONDecodeError as error:
        detail = f"The body is not JSON: line {error.lineno}, column {error.colno}."
    except _Refused as error:
        detail = str(error)
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of levels
        detail = "The body has a number or a nesting that is too large."
    # Outside of the blocks above: an exception in the context would keep the body alive.
    raise Problem("malformed_json", detail)


@sensitive_variables()
def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _Refused("A member appears twice in the same object.")
    return members


def _no_constant(name: str) -> NoReturn:
    raise _Refused("NaN and Infinity are not JSON.")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused("The body has a number that is too large.")
    return number


@sensitive_variables()
def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _level in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise _Refused(f"The body has more than {MAX_DEPTH} levels.")
