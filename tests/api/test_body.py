"""How a body is read: its type, its size, and what counts as JSON."""

from __future__ import annotations

import http.client
import json
import logging
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.core.handlers.asgi import ASGIRequest
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from django_authmail.api import body
from django_authmail.api.problems import Problem
from django_authmail.models import Message
from tests.api.conftest import OTP, Api, problem

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db

DRY = {"X_Dry_Run": "1"}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"{", id="an open object"),
        pytest.param(b"{'to': 1}", id="single quotes"),
        pytest.param(b'{"to": "\xff"}', id="not UTF-8"),
        pytest.param('{"to": "홍길동"}'.encode("euc-kr"), id="EUC-KR"),
        pytest.param(b'{"expires_in": NaN}', id="NaN"),
        pytest.param(b'{"expires_in": -Infinity}', id="Infinity"),
        pytest.param(b'{"code": "111111", "code": "222222"}', id="a member twice"),
        pytest.param(b'{"expires_in": ' + b"9" * 5000 + b"}", id="a number of 5000 digits"),
        pytest.param(b"[" * 100_000, id="100,000 levels"),
        pytest.param(b"[" * 33 + b"]" * 33, id="33 levels"),
        pytest.param(b'{"expires_in": 1e999}', id="a number beyond a float"),
        pytest.param(b"{} {}", id="two values"),
    ],
)
def test_refuses_what_is_no_json(api: Api, content: bytes) -> None:
    body = problem(api.post(body=content), 400, "malformed_json")
    assert "222222" not in json.dumps(body)


def test_names_a_byte_order_mark(api: Api) -> None:
    # What Windows writes into files of "UTF-8".
    content = json.dumps(OTP).encode("utf-8-sig")
    assert "byte order mark" in problem(api.post(body=content), 400, "malformed_json")["detail"]


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("application/x-www-form-urlencoded", id="curl's default"),
        pytest.param("multipart/form-data; boundary=x", id="a form with files"),
        pytest.param("text/plain", id="text"),
        pytest.param("application/json; charset=euc-kr", id="JSON in another charset"),
    ],
)
def test_refuses_other_types_and_says_which_header_to_send(api: Api, kind: str) -> None:
    response = api.post(**{"Content-Type": kind})
    assert (
        "Content-Type: application/json" in problem(response, 415, "unsupported_media_type")["hint"]
    )


@pytest.mark.parametrize("coding", ["gzip", "identity, gzip"])
def test_refuses_a_compressed_body(api: Api, coding: str) -> None:
    body = problem(api.post(Content_Encoding=coding), 415, "unsupported_media_type")
    assert "Content-Encoding" in body["hint"]


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_reads_what_is_not_compressed(api: Api, coding: str) -> None:
    assert api.post(Content_Encoding=coding, **DRY).status_code == 200


@pytest.mark.parametrize(
    "kind", ["", "application/json", "application/json; charset=UTF-8", "application/vnd.x+json"]
)
def test_reads_json(api: Api, kind: str) -> None:
    assert api.post(**{"Content-Type": kind, **DRY}).status_code == 200


def test_the_project_s_own_limit_does_not_count(api: Api, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert api.post(**DRY).status_code == 200


def test_takes_what_is_just_small_enough(api: Api) -> None:
    content = json.dumps(OTP).encode()
    content += b" " * (body.MAX_BODY_BYTES - len(content))
    assert api.post(body=content, **DRY).status_code == 200
    problem(api.post(body=content + b" ", **DRY), 413, "payload_too_large")


@pytest.mark.django_db(transaction=True)
def test_a_body_of_20_mb_gets_an_answer_over_a_socket(live_server: LiveServer, api: Api) -> None:
    connection = http.client.HTTPConnection(urlsplit(live_server.url).netloc, timeout=30)
    headers = {"Authorization": f"Bearer {api.key}", "Content-Type": "application/json"}
    connection.request("POST", "/send/otp", b" " * (20 * 1024 * 1024), headers)
    response = connection.getresponse()
    assert response.status == 413
    assert json.load(response)["code"] == "payload_too_large"
    connection.close()


@pytest.mark.parametrize("missing", [1, 1000])
def test_a_body_that_ends_before_its_length_is_refused(api: Api, missing: int) -> None:
    # RFC 9112, 8: it is incomplete, though an object may be whole in it.
    content = json.dumps(OTP).encode()
    environ: dict[str, Any] = {
        "wsgi.input": BytesIO(content),
        "CONTENT_LENGTH": str(len(content) + missing),
    }
    headers = {"Authorization": f"Bearer {api.key}"}
    refused = api.client.generic("POST", "/send/otp", headers=headers, **environ)
    problem(refused, 400, "malformed_json")
    assert not Message.objects.exists()


def _without_length(api: Api, stream: BytesIO, *, terminated: bool) -> Answer:
    environ: dict[str, Any] = {"wsgi.input": stream, "wsgi.input_terminated": terminated}
    headers = {"Authorization": f"Bearer {api.key}", "X-Dry-Run": "1"}
    return api.client.generic("POST", "/send/otp", headers=headers, **environ)


class _Endless(BytesIO):
    """A body that never ends, and counts what is read of it."""

    total = 0

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert size > 0
        self.total += size
        return b" " * size


def test_wsgi_without_a_length_is_refused_unless_the_server_marks_the_end(api: Api) -> None:
    content = json.dumps(OTP).encode()
    refused = _without_length(api, BytesIO(content), terminated=False)
    problem(refused, 411, "length_required")
    assert _without_length(api, BytesIO(content), terminated=True).status_code == 200
    problem(_without_length(api, BytesIO(b""), terminated=True), 400, "malformed_json")


def test_a_body_without_a_length_is_counted_while_it_is_read(api: Api) -> None:
    stream = _Endless()
    problem(_without_length(api, stream, terminated=True), 413, "payload_too_large")
    assert stream.total < 100 * 1024 * 1024


def test_nothing_is_read_of_a_caller_that_nobody_knows(api: Api) -> None:
    api.key, stream = "a guess", _Endless()
    problem(_without_length(api, stream, terminated=True), 401, "invalid_api_key")
    assert not stream.total


def test_32_levels_are_read() -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    content = b'{"a": ' + b"[" * 31 + b"]" * 31 + b"}"
    assert body.read_json(ASGIRequest(scope, BytesIO(content)))


class _HangsUp(BytesIO):
    """A chunked body whose sender goes away after some of it, as gunicorn and others report it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)

    def read(self, size: int | None = -1) -> bytes:
        if chunk := super().read(size):
            return chunk
        raise OSError(f"no more data after {OTP}")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        pytest.param(b'{"to": "', 400, "malformed_json", id="within the body"),
        pytest.param(b"", 400, "malformed_json", id="before it"),
        pytest.param(
            b" " * (body.MAX_BODY_BYTES + 1), 413, "payload_too_large", id="after too much"
        ),
    ],
)
def test_a_caller_that_hangs_up_is_no_error_of_ours(
    api: Api, caplog: pytest.LogCaptureFixture, content: bytes, status: int, code: str
) -> None:
    problem(_without_length(api, _HangsUp(content), terminated=True), status, code)
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_an_asgi_body_needs_no_length() -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    assert body.read_json(ASGIRequest(scope, BytesIO(b'{"a": 1}'))) == {"a": 1}
    with pytest.raises(Problem, match="payload_too_large"):
        body.read_json(ASGIRequest(scope, BytesIO(b" " * (body.MAX_BODY_BYTES + 1))))


def test_the_bytes_are_not_kept_on_the_request(api: Api) -> None:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    request = ASGIRequest(scope, BytesIO(b'{"a": 1}'))
    body.read_json(request)
    with pytest.raises(Exception, match="cannot access body after reading"):
        _ = request.body
