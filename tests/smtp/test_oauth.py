from __future__ import annotations

import base64
import json
import logging
import os
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from django.core.exceptions import ImproperlyConfigured

from django_authmail.outcomes import ErrorCode, Failure, Reason, Retry
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.oauth import (
    GoogleRefreshToken,
    GoogleServiceAccount,
    Microsoft365,
    network,
    options,
    provider_from,
)
from django_authmail.smtp.oauth import endpoint as endpoints
from django_authmail.smtp.oauth import google as google_accounts
from django_authmail.smtp.oauth.answers import refused
from example_project.certificates import ServerCertificate, make_certificate
from tests import smtp_server

CLIENT_SECRET = "GOCSPX-very-secret-client"
REFRESH_TOKEN = "1//very-secret-refresh-token"
ACCESS_TOKEN = "ya29.very-secret-access-token"
SECRETS = (CLIENT_SECRET, REFRESH_TOKEN, ACCESS_TOKEN)

#: What the endpoint does with a request: writes its answer.
Answer = Callable[["Handler"], None]


def says(status: int, body: object, **headers: str) -> Answer:
    """Answer with `body`, as JSON unless it is bytes."""
    octets = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(octets)))
        handler.end_headers()
        handler.wfile.write(octets)

    return answer


def grants(token: str = ACCESS_TOKEN, **values: Any) -> Answer:
    return says(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"} | values)


@dataclass
class Endpoint:
    port: int
    ca_file: str
    #: The forms that were posted.
    forms: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    #: Taken one by one; the last one repeats.
    answers: list[Answer] = field(default_factory=lambda: [grants()])
    stop: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/token"


class Handler(BaseHTTPRequestHandler):
    endpoint: Endpoint

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        form = {name: v[0] for name, v in parse_qs(self.rfile.read(size).decode()).items()}
        with self.endpoint.lock:
            self.endpoint.forms.append(form)
            self.endpoint.paths.append(self.path)
            answers = self.endpoint.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer(self)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is what some tests are about


@contextmanager
def serving(certificate: ServerCertificate) -> Iterator[Endpoint]:
    handler = type("OneEndpoint", (Handler,), {})
    server = Server(("127.0.0.1", 0), handler)
    server.socket = certificate.server_context().wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    endpoint = Endpoint(server.server_port, str(certificate.ca_file))
    handler.endpoint = endpoint  # type: ignore[attr-defined] # a class of its own per server
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def endpoint(certificate: ServerCertificate) -> Iterator[Endpoint]:
    with serving(certificate) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_provider_is_remembered() -> Iterator[None]:
    yield
    options._providers.clear()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (endpoints, network):
        monkeypatch.setattr(module, "monotonic", clock)
    return clock


def google(endpoint: Endpoint, **changes: Any) -> GoogleRefreshToken:
    values = {
        "client_id": "4711.apps.googleusercontent.com",
        "client_secret": CLIENT_SECRET,
        "refresh_token": REFRESH_TOKEN,
        "token_url": endpoint.url,
        "ca_file": endpoint.ca_file,
    }
    return GoogleRefreshToken(**values | changes)


def microsoft(endpoint: Endpoint) -> Microsoft365:
    return Microsoft365(
        tenant="contoso.onmicrosoft.com",
        client_id="8a1b-client",
        client_secret=CLIENT_SECRET,
        token_url=endpoint.url,
        ca_file=endpoint.ca_file,
    )


def failure_of(ask: Callable[[], str]) -> Failure:
    """Return why `ask` fails, after a look for secrets in everything that the error shows."""
    with pytest.raises(SmtpFailure) as caught:
        ask()
    error = caught.value
    shown = [str(error), repr(error), repr(error.failure)]
    shown += traceback.format_exception(error)
    trace = error.__traceback__
    while trace is not None:
        # Error reports show the local variables of each frame.
        if "django_authmail" in trace.tb_frame.f_code.co_filename:
            shown += [repr(value) for value in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    assert not [secret for secret in SECRETS for text in shown if secret in text]
    return error.failure


def is_refusal(failure: Failure) -> bool:
    return (failure.error_code, failure.reason, failure.retry) == (
        ErrorCode.SMTP_AUTH_FAILED,
        Reason.AUTH_FAILED,
        Retry.CARRIER,
    )


def is_passing(failure: Failure) -> bool:
    return (failure.error_code, failure.reason, failure.retry) == (
        ErrorCode.SMTP_TRANSIENT,
        Reason.AUTH_TEMPORARY,
        Retry.LATER,
    )


# What each provider asks for


def test_google_is_asked_with_the_refresh_token(endpoint: Endpoint) -> None:
    assert google(endpoint).token() == ACCESS_TOKEN
    assert endpoint.forms == [
        {
            "grant_type": "refresh_token",
            "client_id": "4711.apps.googleusercontent.com",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
        }
    ]


def test_microsoft_is_asked_with_client_credentials(endpoint: Endpoint) -> None:
    assert microsoft(endpoint).token() == ACCESS_TOKEN
    assert endpoint.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "8a1b-client",
            "client_secret": CLIENT_SECRET,
            "scope": "https://outlook.office365.com/.default",
        }
    ]


def test_the_addresses_are_those_of_google_and_microsoft() -> None:
    google = GoogleRefreshToken(client_id="a", client_secret="b", refresh_token="c")
    microsoft = Microsoft365(tenant="contoso.com", client_id="a", client_secret="b")
    assert google._url == "https://oauth2.googleapis.com/token"
    assert microsoft._url == "https://login.microsoftonline.com/contoso.com/oauth2/v2.0/token"


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
def key_info(rsa_key: rsa.RSAPrivateKey, endpoint: Endpoint) -> dict[str, str]:
    return {
        "type": "service_account",
        "client_email": "mailer@project.iam.gserviceaccount.com",
        "private_key_id": "key-1",
        "private_key": pem(rsa_key),
        "token_uri": endpoint.url,
    }


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.mark.parametrize("form", ["mapping", "JSON text", "file"])
def test_a_service_account_signs_for_its_subject(
    form: str,
    key_info: dict[str, str],
    rsa_key: rsa.RSAPrivateKey,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(google_accounts, "time", lambda: 1_800_000_000.5)
    path = tmp_path / "key.json"
    path.write_text(json.dumps(key_info))
    keys: dict[str, dict[str, Any]] = {
        "mapping": {"key_info": key_info},
        "JSON text": {"key_info": json.dumps(key_info)},
        "file": {"key_file": path},
    }
    provider = GoogleServiceAccount(
        subject="noreply@example.com", ca_file=endpoint.ca_file, **keys[form]
    )

    assert provider.token() == ACCESS_TOKEN

    (posted,) = endpoint.forms
    assert posted["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    header, claims, signature = posted["assertion"].split(".")
    rsa_key.public_key().verify(
        decoded(signature), f"{header}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256()
    )
    assert json.loads(decoded(header)) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert json.loads(decoded(claims)) == {
        "iss": "mailer@project.iam.gserviceaccount.com",
        "sub": "noreply@example.com",
        "scope": "https://mail.google.com/",
        "aud": endpoint.url,
        "iat": 1_799_999_970,
        "exp": 1_800_003_570,
    }


# Keeping a token


def test_a_token_is_kept_until_a_minute_before_it_ends(endpoint: Endpoint, clock: Clock) -> None:
    endpoint.answers = [grants("first"), grants("second")]
    provider = google(endpoint)
    assert provider.token() == "first"
    clock.now += 3539.9
    assert provider.token() == "first"
    assert len(endpoint.forms) == 1
    clock.now += 0.1
    assert provider.token() == "second"
    assert len(endpoint.forms) == 2


@pytest.mark.parametrize(
    ("answer", "kept_for"),
    [
        pytest.param({"expires_in": "3600"}, 3540, id="a number as text"),
        pytest.param({"expires_in": None}, 240, id="null"),
        pytest.param({"expires_in": "soon"}, 240, id="no number"),
        pytest.param({"expires_in": [1]}, 240, id="a list"),
        pytest.param({"expires_in": 30}, 0, id="less than the margin"),
        pytest.param({"expires_in": -5}, 0, id="negative"),
    ],
)
def test_odd_lifetimes(
    answer: dict[str, Any], kept_for: float, endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.answers = [grants(**answer)]
    provider = google(endpoint)
    provider.token()
    if kept_for:
        clock.now += kept_for - 0.1
        provider.token()
        assert len(endpoint.forms) == 1
        clock.now += 0.1
    provider.token()
    assert len(endpoint.forms) == 2


def test_an_answer_without_a_lifetime_is_kept_for_minutes(endpoint: Endpoint, clock: Clock) -> None:
    endpoint.answers = [says(200, {"access_token": ACCESS_TOKEN})]
    provider = google(endpoint)
    provider.token()
    clock.now += 239
    provider.token()
    assert len(endpoint.forms) == 1


def test_a_refused_token_is_replaced_at_once(endpoint: Endpoint) -> None:
    endpoint.answers = [grants("first"), grants("second")]
    provider = google(endpoint)
    assert provider.token() == "first"
    assert provider.refresh("first") == "second"
    assert provider.token() == "second"
    assert len(endpoint.forms) == 2


def test_while_the_endpoint_is_down_a_token_is_used_to_its_end(
    endpoint: Endpoint, clock: Clock
) -> None:
    endpoint.answers = [grants("first"), says(503, {})]
    provider = google(endpoint)
    provider.token()
    clock.now += 3580
    assert provider.token() == "first"
    assert is_passing(failure_of(lambda: provider.refresh("first")))
    clock.now += 15
    assert is_passing(failure_of(provider.token))


def test_a_failure_is_not_kept(endpoint: Endpoint) -> None:
    endpoint.answers = [says(503, {}), grants()]
    provider = google(endpoint)
    failure_of(provider.token)
    assert provider.token() == ACCESS_TOKEN


def in_threads(count: int, work: Callable[[], str]) -> list[str]:
    start = threading.Barrier(count)
    results: list[str] = []

    def run() -> None:
        start.wait()
        try:
            results.append(work())
        except SmtpFailure as error:
            results.append(str(error.failure.reason))

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_sixteen_threads_make_one_request(endpoint: Endpoint) -> None:
    provider = google(endpoint)
    assert in_threads(16, provider.token) == [ACCESS_TOKEN] * 16
    assert len(endpoint.forms) == 1


def test_sixteen_threads_with_the_same_refused_token_make_one_request(endpoint: Endpoint) -> None:
    endpoint.answers = [grants("first"), grants("second"), grants("third")]
    provider = google(endpoint)
    all_have_it = threading.Barrier(16)

    def login() -> str:
        refused_token = provider.token()
        all_have_it.wait()
        return provider.refresh(refused_token)

    assert in_threads(16, login) == ["second"] * 16
    assert len(endpoint.forms) == 2


def test_threads_that_wait_for_one_request_share_its_failure(endpoint: Endpoint) -> None:
    provider = google(endpoint)
    waiting = threading.Semaphore(0)

    class Flight(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            waiting.release()
            return super().result(timeout)

    def answer(handler: Handler) -> None:
        # The first thread asks; the other fifteen have joined it.
        for _ in range(15):
            assert waiting.acquire(timeout=10)
        says(503, {})(handler)

    endpoint.answers = [answer]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints, "Future", Flight)
        assert in_threads(16, provider.token) == ["auth_temporary"] * 16
    assert len(endpoint.forms) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_wait_for_a_request_of_its_parent(endpoint: Endpoint) -> None:
    script = f"""
import os, sys, threading
from django_authmail.smtp import oauth
provider = oauth.GoogleRefreshToken(client_id="a", client_secret="b", refresh_token="c",
    token_url={endpoint.url!r}, ca_file={endpoint.ca_file!r})
thread = threading.Thread(target=provider.token)
thread.start()
sys.stdin.readline()
pid = os.fork()
if pid == 0:
    os._exit(0 if provider.token() == "of-the-child" else 1)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status), flush=True)
sys.stdin.readline()
thread.join()
print(provider.token(), flush=True)
"""
    asked, child_is_done = threading.Event(), threading.Event()

    def held(handler: Handler) -> None:
        asked.set()
        assert child_is_done.wait(20)
        grants("of-the-parent")(handler)

    endpoint.answers = [held, grants("of-the-child")]
    with subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert asked.wait(20)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "0\n"
        child_is_done.set()
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "of-the-parent\n"


# What endpoints answer

ECHO = f"You sent client_secret={CLIENT_SECRET}&refresh_token={REFRESH_TOKEN}, {ACCESS_TOKEN}"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        pytest.param(
            400,
            {"error": "invalid_grant", "error_description": "Token has been expired or revoked."},
            "localhost answered 400 invalid_grant: the refresh token or key was revoked",
            id="revoked",
        ),
        pytest.param(
            401,
            {
                "error": "invalid_client",
                "error_description": f"AADSTS7000215: Invalid client secret provided. {ECHO}",
            },
            "401 invalid_client AADSTS7000215: client_secret is wrong; give the secret's value",
            id="wrong secret at Microsoft",
        ),
        pytest.param(
            401,
            {"error": "unauthorized_client", "error_description": ECHO},
            "domain-wide delegation for the scope https://mail.google.com/",
            id="no delegation",
        ),
        pytest.param(400, {"error": ECHO}, "answered 400", id="a secret as error"),
        pytest.param(400, {"error": {"message": ECHO}}, "answered 400", id="an object as error"),
        pytest.param(403, ECHO.encode(), "answered 403", id="no JSON"),
        pytest.param(404, b"", "answered 404", id="nothing"),
        pytest.param(400, [ECHO], "answered 400", id="a list"),
        pytest.param(200, b"<html>Please sign in</html>", "answered no JSON object", id="HTML"),
        pytest.param(200, b"\xff\xfe\x00", "answered no JSON object", id="octets"),
        pytest.param(200, b"[" * 50_000, "answered no JSON object", id="deeply nested"),
        pytest.param(200, {"token": ACCESS_TOKEN}, "without a usable access_token", id="no token"),
        pytest.param(
            200,
            {"access_token": ACCESS_TOKEN, "token_type": "MAC"},
            "another type than Bearer",
            id="no bearer",
        ),
        pytest.param(
            200, {"access_token": f"{ACCESS_TOKEN}\x01\x01"}, "without a usable", id="a separator"
        ),
        pytest.param(
            200, {"access_token": f"{ACCESS_TOKEN}\r\nRSET"}, "without a usable", id="a line end"
        ),
        pytest.param(200, {"access_token": 5}, "without a usable", id="a number as token"),
        pytest.param(200, {"access_token": ""}, "without a usable", id="an empty token"),
        pytest.param(200, {"access_token": "x" * 70_000}, "more than 65536 octets", id="too long"),
    ],
)
def test_a_refusal_says_what_to_do_and_repeats_no_secret(
    status: int, body: object, said: str, endpoint: Endpoint
) -> None:
    endpoint.answers = [says(status, body)]
    failure = failure_of(google(endpoint).token)
    assert is_refusal(failure)
    assert said in failure.detail


@pytest.mark.parametrize(
    ("status", "body"),
    [(429, {}), (500, {"error": ECHO}), (503, ECHO.encode()), (400, {"error": "server_error"})],
)
def test_a_passing_trouble_is_tried_again_later(
    status: int, body: object, endpoint: Endpoint
) -> None:
    endpoint.answers = [says(status, body)]
    failure = failure_of(google(endpoint).token)
    assert is_passing(failure)
    assert f"localhost answered {status}" in failure.detail


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int, endpoint: Endpoint) -> None:
    endpoint.answers = [says(status, {}, Location=f"{endpoint.url}/elsewhere"), grants()]
    failure = failure_of(google(endpoint).token)
    assert is_refusal(failure)
    assert "a redirect, which is not followed" in failure.detail
    assert endpoint.paths == ["/token"]


def test_an_endless_answer_is_cut(endpoint: Endpoint) -> None:
    written = 0

    def flood(handler: Handler) -> None:
        nonlocal written
        handler.send_response(200)
        handler.end_headers()
        while not endpoint.stop.is_set():
            written += handler.wfile.write(b"x" * 65_536)

    endpoint.answers = [flood]
    failure = failure_of(google(endpoint).token)
    assert is_refusal(failure)
    assert "more than 65536 octets" in failure.detail
    assert written < 16_000_000


def trickle_header(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.endpoint.stop.wait(0.05):
        handler.wfile.write(b"x")


def trickle_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.endpoint.stop.wait(0.05):
        handler.wfile.write(b" ")


def silence(handler: Handler) -> None:
    handler.endpoint.stop.wait(20)


@pytest.mark.parametrize("answer", [trickle_header, trickle_body, silence])
def test_no_answer_in_time_is_a_passing_trouble(
    answer: Answer, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "TIMEOUT_SECONDS", 0.5)
    endpoint.answers = [answer]
    failure = failure_of(google(endpoint).token)
    assert is_passing(failure)
    assert "did not answer in time" in failure.detail


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def hang_up_in_the_answer(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"access_token": "')
    handler.close_connection = True


def talk_nonsense(handler: Handler) -> None:
    handler.wfile.write(b"220 smtp.example.com ESMTP\r\n")
    handler.close_connection = True


@pytest.mark.parametrize("answer", [hang_up, hang_up_in_the_answer, talk_nonsense])
def test_a_broken_answer_is_a_passing_trouble(answer: Answer, endpoint: Endpoint) -> None:
    endpoint.answers = [answer]
    failure = failure_of(google(endpoint).token)
    assert is_passing(failure)
    assert "localhost cannot be reached" in failure.detail


def test_no_endpoint_is_a_passing_trouble(endpoint: Endpoint) -> None:
    port = smtp_server.free_port()
    assert is_passing(
        failure_of(google(endpoint, token_url=f"https://localhost:{port}/token").token)
    )


def test_an_unknown_host_is_a_passing_trouble(endpoint: Endpoint) -> None:
    # RFC 6761: this name never exists.
    url = "https://oauth2.invalid/token"
    assert is_passing(failure_of(google(endpoint, token_url=url).token))


def test_a_certificate_of_another_authority_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    other = make_certificate(tmp_path)
    failure = failure_of(google(endpoint, ca_file=str(other.ca_file)).token)
    assert is_refusal(failure)
    assert "the certificate of localhost cannot be verified" in failure.detail
    assert endpoint.forms == []


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    with serving(make_certificate(tmp_path, hosts=["oauth2.example.com"])) as endpoint:
        assert is_refusal(failure_of(google(endpoint).token))
        assert endpoint.forms == []


def test_a_server_without_tls_gets_nothing(endpoint: Endpoint) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as plain:
        thread = threading.Thread(target=plain.handle_request)
        thread.start()
        url = f"https://localhost:{plain.server_port}/token"
        assert is_passing(failure_of(google(endpoint, token_url=url).token))
        thread.join()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_is_not_used(
    name: str, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, f"http://127.0.0.1:{smtp_server.free_port()}")
    assert google(endpoint).token() == ACCESS_TOKEN


def test_the_context_of_the_smtp_core_is_not_touched(endpoint: Endpoint) -> None:
    from django_authmail.smtp.wire import ssl_context

    shared = ssl_context(endpoint.ca_file, "", "", "TLSv1.2", "")
    provider = google(endpoint)
    assert provider._tls is not shared
    assert provider._tls.verify_mode is ssl.CERT_REQUIRED
    assert provider._tls.check_hostname


# What is shown


def test_reprs_and_logs_show_no_secret(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in ("httpcore2", "httpcore2.http11", "httpcore2.connection"):
        caplog.set_level(logging.DEBUG, logger=logger)
    provider = google(endpoint)
    token = provider.token()
    assert repr(provider) == "<GoogleRefreshToken at localhost>"
    shown = caplog.text + repr(token) + repr(provider) + repr(vars(provider))
    assert "httpcore2" in caplog.text
    assert not [secret for secret in SECRETS if secret in shown]


# Configuration


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/token",
        "localhost/token",
        "https:///token",
        "https://user:secret@localhost/token",
        "https://localhost:x/token",
        "https://localhost/to ken",
        "https://localhost/token\r\nX: y",
        f"https://{'a' * 64}.example/token",
        "",
    ],
)
def test_an_address_that_is_not_https_is_refused(url: str, endpoint: Endpoint) -> None:
    with pytest.raises(ImproperlyConfigured, match="token_url must be an https:// address"):
        google(endpoint, token_url=url)


@pytest.mark.parametrize("name", ["client_id", "client_secret", "refresh_token"])
@pytest.mark.parametrize("value", ["", None])
def test_a_missing_value_is_named(name: str, value: object, endpoint: Endpoint) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"GoogleRefreshToken: {name} is missing"):
        google(endpoint, **{name: value})


def test_a_missing_ca_file_is_named(endpoint: Endpoint, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"ca_file .*none\.pem' cannot be loaded"):
        google(endpoint, ca_file=str(tmp_path / "none.pem"))


@pytest.mark.parametrize("tenant", ["contoso.com/../other", "a b", "..", "contoso?x", "한국"])
def test_a_tenant_cannot_change_the_address(tenant: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="neither an ID nor a domain of a tenant"):
        Microsoft365(tenant=tenant, client_id="a", client_secret="b")


def test_a_service_account_needs_one_key() -> None:
    with pytest.raises(ImproperlyConfigured, match="give one of key_file and key_info"):
        GoogleServiceAccount(subject="a@example.com")
    with pytest.raises(ImproperlyConfigured, match="give one of key_file and key_info"):
        GoogleServiceAccount(subject="a@example.com", key_file="k.json", key_info={"a": "b"})


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"none\.json' cannot be read: FileNotFound"):
        GoogleServiceAccount(subject="a@example.com", key_file=tmp_path / "none.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"private_key": "very-secret"}', "no JSON"])
def test_a_key_file_that_is_no_key_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(ImproperlyConfigured, match="is no JSON key of a service") as caught:
        GoogleServiceAccount(subject="a@example.com", key_file=path)
    assert "very-secret" not in str(caught.value)


def test_a_key_that_cannot_sign_is_refused(key_info: dict[str, str]) -> None:
    for key in ("no key", pem(ec.generate_private_key(ec.SECP256R1()))):
        with pytest.raises(ImproperlyConfigured, match="no unencrypted RSA key"):
            GoogleServiceAccount(subject="a@example.com", key_info=key_info | {"private_key": key})


# The option


def own_token() -> str:
    return "own-token"


def own_token_with(secret: str) -> str:
    return f"token-with-{secret}"


class OwnProvider:
    def __init__(self, prefix: str = "p") -> None:
        self.prefix = prefix

    def token(self) -> str:
        return f"{self.prefix}-token"

    def refresh(self, rejected: str) -> str:
        return f"{self.prefix}-refreshed"


READY = OwnProvider("ready")


@pytest.mark.parametrize("option", [None, "", {}])
def test_without_the_option_there_is_no_provider(option: object) -> None:
    assert provider_from(option) is None


def test_a_provider_is_taken_as_it_is() -> None:
    assert provider_from(READY) is READY


@pytest.mark.parametrize(
    ("option", "token"),
    [
        pytest.param(own_token, "own-token", id="a function"),
        pytest.param(f"{__name__}.own_token", "own-token", id="path of a function"),
        pytest.param(partial(own_token_with, "x"), "token-with-x", id="a partial"),
        pytest.param(READY.token, "ready-token", id="a method"),
        pytest.param(f"{__name__}.OwnProvider", "p-token", id="path of a class"),
        pytest.param(OwnProvider, "p-token", id="a class"),
        pytest.param(f"{__name__}.READY", "ready-token", id="path of a provider"),
        pytest.param(
            {"provider": f"{__name__}.OwnProvider", "prefix": "q"}, "q-token", id="with arguments"
        ),
        pytest.param({"provider": OwnProvider, "prefix": "q"}, "q-token", id="class in a mapping"),
    ],
)
def test_every_form_of_the_option(option: object, token: str) -> None:
    provider = provider_from(option)
    assert provider is not None
    assert provider.token() == token


def test_a_built_in_provider_by_its_path(endpoint: Endpoint) -> None:
    provider = provider_from(
        {
            "provider": "django_authmail.smtp.oauth.GoogleRefreshToken",
            "client_id": "a",
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
            "token_url": endpoint.url,
            "ca_file": endpoint.ca_file,
        }
    )
    assert provider is not None
    assert provider.token() == ACCESS_TOKEN


def test_the_same_option_gives_the_same_provider(key_info: dict[str, str]) -> None:
    def option(subject: str) -> dict[str, Any]:
        return {
            "provider": "django_authmail.smtp.oauth.GoogleServiceAccount",
            "subject": subject,
            "key_info": dict(key_info),
        }

    first = provider_from(option("a@example.com"))
    assert provider_from(option("a@example.com")) is first
    assert provider_from(option("b@example.com")) is not first
    assert provider_from(own_token) is provider_from(own_token)


def test_a_child_does_not_wait_for_a_provider_that_its_parent_makes() -> None:
    script = """
import os, signal, threading
from django_authmail.smtp.oauth import provider_from

making, go_on = threading.Event(), threading.Event()

class Slow:
    def __init__(self):
        making.set()
        go_on.wait(20)
    def token(self): return "t"
    def refresh(self, rejected): return "t"

def own(): return "own"

thread = threading.Thread(target=provider_from, args=(Slow,))
thread.start()
making.wait(20)
pid = os.fork()
if pid == 0:
    signal.alarm(10)
    os._exit(0 if provider_from(own).token() == "own" else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
go_on.set()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"


def test_the_number_of_remembered_providers_is_bounded() -> None:
    for number in range(300):
        provider_from({"provider": OwnProvider, "prefix": str(number)})
    assert len(options._providers) == 256


def test_an_argument_that_is_not_hashable_makes_a_provider_each_time() -> None:
    option = {"provider": OwnProvider, "prefix": {1, 2}}
    assert provider_from(option) is not provider_from(option)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        pytest.param(5, "a int is no token provider", id="a number"),
        pytest.param({"client_id": "a"}, "'provider' is missing", id="no provider"),
        pytest.param("nowhere.at.all", "'nowhere.at.all' cannot be imported", id="no module"),
        pytest.param("token", "cannot be imported", id="no path"),
        pytest.param(f"{__name__}.SECRETS", "neither a function nor a token", id="no function"),
        pytest.param(
            {"provider": f"{__name__}.own_token"}, "no class with the methods", id="no class"
        ),
        pytest.param({"provider": str}, "builtins.str is no class with", id="another class"),
        pytest.param(
            {"provider": "django_authmail.smtp.oauth.Microsoft365", "tenant": "a"},
            "Microsoft365: missing a required keyword-only argument: 'client_id'",
            id="missing argument",
        ),
        pytest.param(
            {
                "provider": "django_authmail.smtp.oauth.GoogleRefreshToken",
                "client_id": "a",
                "client_secret": CLIENT_SECRET,
                "refresh_token": REFRESH_TOKEN,
                "client_sekret": CLIENT_SECRET,
            },
            "got an unexpected keyword argument 'client_sekret'",
            id="unknown argument",
        ),
    ],
)
def test_a_wrong_option_says_what_is_wrong(option: object, said: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        provider_from(option)
    assert said.replace("keyword-only ", "") in str(caught.value).replace("keyword-only ", "")
    assert not [secret for secret in SECRETS if secret in str(caught.value)]


def raises() -> str:
    raise RuntimeError(f"cannot log in with {CLIENT_SECRET}")


def fails_itself() -> str:
    raise SmtpFailure(refused("the vault is sealed"))


def test_a_function_that_raises_is_a_passing_trouble() -> None:
    provider = provider_from(raises)
    assert provider is not None
    failure = failure_of(provider.token)
    assert is_passing(failure)
    assert failure.detail.endswith("test_oauth.raises raised RuntimeError")


def test_a_function_may_say_itself_why_it_fails() -> None:
    provider = provider_from(fails_itself)
    assert provider is not None
    assert failure_of(provider.token).detail == "no access token: the vault is sealed"


@pytest.mark.parametrize("value", [None, "", b"octets", "two words", "a\x01\x01", "a\r\nb", "토큰"])
def test_a_function_must_return_a_token(value: Any) -> None:
    provider = provider_from(lambda: value)
    assert provider is not None
    failure = failure_of(lambda: provider.refresh("old"))
    assert is_refusal(failure)
    assert "returned no token" in failure.detail


def test_a_function_of_the_project_shows_no_argument() -> None:
    provider = provider_from(partial(own_token_with, CLIENT_SECRET))
    assert repr(provider) == "<TokenFunction functools.partial>"


def test_without_httpcore2_the_extra_is_named_and_functions_work() -> None:
    script = """
import sys
sys.modules["httpcore2"] = None
from django_authmail.smtp import oauth
print(oauth.provider_from(lambda: "a-token").token())
try:
    oauth.Microsoft365(tenant="a", client_id="b", client_secret="c")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "a-token\nMissingExtra Microsoft365 needs the package 'httpcore2', which is not installed; "
        "run: pip install 'django-authmail[oauth]'\n"
    )
