"""Sends one webhook over HTTP, whatever the receiver does: in bounded time and memory."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import ModuleType
from typing import TYPE_CHECKING, cast

from django.core.exceptions import ImproperlyConfigured

from django_authmail import __version__
from django_authmail.conf import conf
from django_authmail.exceptions import WebhookUrlRefused
from django_authmail.extras import require
from django_authmail.webhooks import targets
from django_authmail.webhooks.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpcore2

#: The status of an answer is all that counts. Of the rest, so much is taken, for so long, that a
#: receiver of good will can finish writing it.
MAX_ANSWER_BYTES = 16_384
ANSWER_SECONDS = 1.0

_DIGITS = re.compile("[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """What became of one attempt.

    `reason` is `ok` (2xx) or why not: `http_status`, `redirect` (never followed), `timeout`,
    `connection_refused` (nobody takes a connection), `connection_lost`, `dns_error`, `tls_error`,
    `target_refused` (nothing was sent: the URL leads to where it must not), `protocol_error`,
    `error` (this program failed; its log says how).
    """

    #: None where there was no answer.
    status: int | None
    reason: str
    #: Seconds that the receiver asked to be left alone.
    retry_after: float | None
    duration_seconds: float

    @property
    def is_success(self) -> bool:
        return self.reason == "ok"


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float = 15.0) -> Posted:
    """Send `body`, JSON, to `url`, and return what became of it after `seconds` at most.

    The URL is checked (`targets`), and the connection goes to an address that was checked. No
    redirect is followed, no proxy of the environment used, and nothing of the answer kept but its
    status. What a receiver does raises nothing.

    Raises:
        MissingExtra: httpcore2 is not installed.
        ImproperlyConfigured: AUTHMAIL_WEBHOOK_CA_FILE cannot be loaded.
    """
    http = require("httpcore2", extra="webhooks", why="Sending webhooks")
    tls = _tls_context()
    began = time.monotonic()
    status, reason, retry_after = None, "", None
    try:
        target = targets.check_url(url)
        addresses = targets.resolve(target, seconds=seconds)
        network = Network(http, tls, addresses, end=began + seconds)
        status, retry_after = _exchange(http, network, target, body, headers)
        reason = _reason(status)
    except WebhookUrlRefused:
        reason = "target_refused"
    except targets.Unresolvable:
        reason = "dns_error"
    except http.TimeoutException:
        reason = "timeout"
    except ssl.SSLError:
        reason = "tls_error"
    except http.ConnectError:
        reason = "connection_refused"
    except http.NetworkError:
        reason = "connection_lost"
    except http.ProtocolError:
        reason = "protocol_error"
    return Posted(
        status=status,
        reason=reason,
        retry_after=retry_after,
        duration_seconds=time.monotonic() - began,
    )


def _exchange(
    http: ModuleType,
    network: Network,
    target: targets.Target,
    body: bytes,
    headers: Mapping[str, str],
) -> tuple[int, float | None]:
    """Return status and Retry-After of the answer."""
    url = http.URL(target.url)
    backend = cast("httpcore2.NetworkBackend", network)
    sent = {
        # httpcore2 would leave out the brackets of an IPv6 address (RFC 9110 7.2).
        "Host": target.authority,
        "Content-Type": "application/json",
        "User-Agent": f"django-authmail/{__version__}",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **headers,
        "Connection": "close",
    }
    with (
        # A single connection, not a pool: it follows no redirect and reads no proxy variable. The
        # context here verifies nothing and is not used: `Network` has its own.
        http.HTTPConnection(
            url.origin, ssl_context=network.unused_tls, network_backend=backend
        ) as connection,
        connection.stream("POST", url, headers=sent, content=body) as response,
    ):
        network.answered(ANSWER_SECONDS)
        _take(http, response)
        return response.status, _retry_after(response.headers)


def _take(http: ModuleType, response: httpcore2.Response) -> None:
    taken = 0
    try:
        for chunk in cast("Iterable[bytes]", response.iter_stream()):
            taken += len(chunk)
            if taken >= MAX_ANSWER_BYTES:
                return
    except (http.TimeoutException, http.NetworkError, http.ProtocolError, OSError):
        # The receiver has answered; that it did not finish changes nothing.
        return


def _reason(status: int) -> str:
    if 200 <= status < 300:
        return "ok"
    return "redirect" if 300 <= status < 400 else "http_status"


def _retry_after(headers: list[tuple[bytes, bytes]]) -> float | None:
    """Return the seconds of Retry-After (RFC 9110 10.2.3); None where it is absent or nonsense."""
    for name, value in headers:
        if name.lower() == b"retry-after":
            text = value.decode("ascii", "replace").strip()
            return float(text) if _DIGITS.fullmatch(text) else _seconds_until(text)
    return None


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        # A date without a zone, which HTTP does not have, counts as UTC, which is HTTP's.
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return max(aware.timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _tls_context() -> ssl.SSLContext:
    return conf.once("webhook TLS context", _make_tls_context)


def _make_tls_context() -> ssl.SSLContext:
    try:
        context = ssl.create_default_context()
        if conf.webhook_ca_file:
            # Beside the system's: other receivers have certificates of those.
            context.load_verify_locations(conf.webhook_ca_file)
    except OSError as error:
        raise ImproperlyConfigured(
            f"AUTHMAIL_WEBHOOK_CA_FILE cannot be loaded: {error.strerror or error}"
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
