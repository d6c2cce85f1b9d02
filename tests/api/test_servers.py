"""What gunicorn and uvicorn make of requests as they come over a socket, broken ones above all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from django_authmail.api import body as bodies
from example_project.certificates import ServerCertificate
from tests import smtp_server as servers
from tests.api import web
from tests.api.conftest import OTP
from tests.api.web import Service, chunked, request

BODY = json.dumps(OTP).encode()
DRY = {"X_Dry_Run": "1"}


@pytest.fixture(scope="module")
def smtp(certificate: ServerCertificate) -> Iterator[servers.SmtpServer]:
    with servers.running(certificate) as server:
        yield server


@pytest.fixture(scope="module", params=web.SERVERS)
def service(
    request: pytest.FixtureRequest,
    smtp: servers.SmtpServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp(request.param)
    with web.running(request.param, smtp, folder) as running:
        yield running


@pytest.fixture(scope="module")
def no_database(
    certificate: ServerCertificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service that began while its database did not run."""
    url = f"postgres://nobody:none@127.0.0.1:{servers.free_port()}/none"
    with (
        servers.running(certificate) as smtp,
        web.running(
            "gunicorn", smtp, tmp_path_factory.mktemp("no_database"), DATABASE_URL=url
        ) as running,
    ):
        yield running


def wait_for_rows(service: Service, wanted: list[tuple[str]]) -> None:
    deadline = time.monotonic() + 30
    while (rows := service.rows("state")) != wanted:
        assert time.monotonic() < deadline, rows
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("octets", "status", "code"),
    [
        pytest.param(request("POST", "/send/otp", BODY, **DRY), 200, "", id="as it should be"),
        pytest.param(
            request("POST", "/send/otp", BODY, Content_Type="", **DRY), 200, "", id="no type"
        ),
        pytest.param(
            request("POST", "/send/otp", Transfer_Encoding="chunked", X_Dry_Run="1")
            + chunked(BODY[:20], BODY[20:]),
            200,
            "",
            id="chunks",
        ),
        pytest.param(request("POST", "/send/otp"), 400, "malformed_json", id="no body"),
        pytest.param(
            request("POST", "/send/otp", b"a=1", Content_Type="application/x-www-form-urlencoded"),
            415,
            "unsupported_media_type",
            id="a form",
        ),
        pytest.param(
            request("POST", "/send/otp", b"[" * 100_000), 400, "malformed_json", id="100,000 levels"
        ),
        pytest.param(
            request("POST", "/send/otp", BODY, Authorization=""), 401, "missing_credentials",
            id="no key",
        ),
        pytest.param(
            request("GET", "/messages/x", Authorization="Bearer \xff\xfe"), 401, "invalid_api_key",
            id="a key that is no text",
        ),
        pytest.param(
            request("POST", "/send/otp", BODY, Accept="application/xml"), 406, "not_acceptable",
            id="XML wanted",
        ),
        pytest.param(request("GET", "/send/otp"), 405, "method_not_allowed", id="GET"),
        pytest.param(request("OPTIONS", "/send/otp"), 405, "method_not_allowed", id="OPTIONS"),
        pytest.param(request("TRACE", "/send/otp"), 405, "method_not_allowed", id="TRACE"),
        pytest.param(request("BREW", "/send/otp"), 405, "method_not_allowed", id="no method"),
        pytest.param(
            request("GET", "/send/otp?_method=POST", BODY, X_HTTP_Method_Override="POST"),
            405,
            "method_not_allowed",
            id="a method in another's place",
        ),
        pytest.param(request("POST", "/send/otp/", BODY), 404, "not_found", id="a slash too many"),
        pytest.param(request("POST", "//send/otp", BODY), 404, "not_found", id="two slashes"),
        pytest.param(request("POST", "/send/opt", BODY), 404, "not_found", id="no such kind"),
        pytest.param(request("GET", "/nothing"), 404, "not_found", id="no such address"),
        pytest.param(request("GET", "/%ff%fe"), 404, "not_found", id="an address that is no text"),
        pytest.param(request("GET", "/messages/%00"), 404, "not_found", id="NUL in an address"),
        pytest.param(request("GET", "/messages/a@b.co"), 404, "not_found", id="a mailbox in one"),
        pytest.param(request("OPTIONS", "*"), 404, "not_found", id="OPTIONS for the whole server"),
    ],
)  # fmt: skip
def test_every_request_gets_a_right_answer(
    service: Service, octets: bytes, status: int, code: str
) -> None:
    answer = service.talk(octets)
    assert answer.status == status, answer.content
    assert answer.headers["x-request-id"]
    if code:
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == code
        assert "@" not in problem["instance"]
    assert answer.headers.get("allow") != ""
    assert service.errors() == []


def test_a_browser_gets_a_page(service: Service) -> None:
    answer = service.talk(request("GET", "/nothing", Accept="text/html,*/*;q=0.8"))
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(
            request("POST", "/send/otp", b"\r\n", Content_Length="", Transfer_Encoding="chunked")
            + b"zz\r\nnot a size\r\n0\r\n\r\n",
            id="a chunk without a size",
        ),
        pytest.param(request("POST", "/send/otp", BODY, Content_Length="-1"), id="less than none"),
        pytest.param(request("POST", "/send/otp", BODY, Content_Length="abc"), id="no number"),
        pytest.param(
            request("POST", "/send/otp", BODY, X_A="b\r\nContent-Length: 3"), id="two lengths"
        ),
    ],
)
def test_a_body_whose_end_is_unclear_is_refused(service: Service, octets: bytes) -> None:
    assert service.talk(octets).status == 400
    assert service.errors() == []


def test_head_has_no_body(service: Service) -> None:
    for path, status in (("/health", 200), ("/send/otp", 405), ("/nothing", 404)):
        answer = service.talk(request("HEAD", path))
        assert (answer.status, answer.content) == (status, b"")


@pytest.mark.parametrize("size", [bodies.MAX_BODY_BYTES + 1, 20 * 1024 * 1024])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_a_body_that_is_too_large_is_answered(service: Service, size: int, framing: str) -> None:
    content = b" " * size
    octets = request("POST", "/send/otp", content)
    if framing == "chunks":
        head = request("POST", "/send/otp", Transfer_Encoding="chunked")
        octets = head + chunked(*[content[at : at + 100_000] for at in range(0, size, 100_000)])
    answer = service.talk(octets)
    assert answer.status == 413
    assert answer.json()["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("header", "status"),
    [({"Content_Type": "text/csv"}, 415), ({"Idempotency_Key": "a b"}, 400)],
    ids=["no JSON", "no key of a repeat"],
)
def test_what_is_refused_unread_is_answered_to_a_caller_that_still_writes(
    service: Service, header: dict[str, str], status: int
) -> None:
    # More than a connection holds on its way.
    octets = request("POST", "/send", b" " * (bodies.MAX_BODY_BYTES - 1), **header)
    with service.connect() as connection:
        connection.sendall(octets)
        assert web.read_answer(connection).status == status


def test_a_length_that_is_too_large_is_refused_before_the_body_is_there(service: Service) -> None:
    with service.connect() as connection:
        connection.sendall(request("POST", "/send/otp", b"{", Content_Length=str(1 << 40)))
        assert web.read_answer(connection).status == 413


@pytest.mark.parametrize("sent", [0, 20])
def test_a_caller_that_hangs_up_within_its_body_leaves_nothing(service: Service, sent: int) -> None:
    before = service.rows("id")
    for _ in range(3):
        with service.connect() as connection:
            head = request("POST", "/send/otp", BODY)[: -len(BODY)]
            connection.sendall(head + BODY[:sent])
    assert service.talk(request("GET", "/health")).status == 200
    assert service.rows("id") == before
    assert service.errors() == []


def test_a_caller_that_hangs_up_before_the_answer_has_its_mail_sent_and_recorded(
    service: Service, smtp: servers.SmtpServer
) -> None:
    before, mails = len(service.rows("id")), len(smtp.mails)
    smtp.holding.clear()
    smtp.release.clear()
    smtp.hold = True
    try:
        with service.connect() as connection:
            connection.sendall(request("POST", "/send/otp", BODY))
            assert smtp.holding.wait(30)
    finally:
        smtp.hold = False
        smtp.release.set()
    wait_for_rows(service, [*service.rows("state")[:before], ("accepted",)])
    assert len(smtp.mails) == mails + 1
    assert service.errors() == []


def test_a_mail_that_is_being_handed_over_keeps_nobody_waiting(
    service: Service, smtp: servers.SmtpServer
) -> None:
    smtp.holding.clear()
    smtp.release.clear()
    smtp.hold = True
    try:
        with service.connect() as sending:
            sending.sendall(request("POST", "/send/otp", BODY))
            assert smtp.holding.wait(30)
            assert service.talk(request("GET", "/health")).status == 200
            assert service.talk(request("POST", "/send/otp", BODY, **DRY)).status == 200
            smtp.hold = False
            smtp.release.set()
            assert web.read_answer(sending).json()["state"] == "accepted"
    finally:
        smtp.hold = False
        smtp.release.set()


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/send/otp"), ("GET", "/messages/5d0f0c6e-6a57-4a55-9d5f-0c8a3f0f7a11")],
)
@pytest.mark.parametrize("key", [web.KEY, "am_live_" + "x" * 36], ids=["a key", "an unknown one"])
def test_while_the_database_is_away_callers_are_told_to_come_again(
    no_database: Service, method: str, path: str, key: str
) -> None:
    body = BODY if method == "POST" else None
    answer = no_database.talk(request(method, path, body, Authorization=f"Bearer {key}"))
    members = answer.json()
    assert (answer.status, members["code"]) == (503, "database_unavailable")
    assert (members["retryable"], members["retry_after"]) == (True, 1)
    assert answer.headers["retry-after"] == "1"
    line = no_database.errors()[-1]
    assert "api.failed error=OperationalError" in line
    assert " database=connection failed: " in line
    assert " failed: Connection refused request_id=" in line
