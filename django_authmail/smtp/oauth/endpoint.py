"""Asks an OAuth 2.0 token endpoint for access tokens, and keeps them.

An endpoint is asked at most once at a time, whatever the number of threads, and its token is kept
until a minute before it expires.
"""

from __future__ import annotations

import os
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from time import monotonic
from types import ModuleType
from typing import TYPE_CHECKING, cast
from urllib.parse import urlencode, urlsplit
from weakref import WeakSet

from django.core.exceptions import ImproperlyConfigured

from django_authmail.extras import require
from django_authmail.outcomes import Failure, Retry
from django_authmail.secret import Secret
from django_authmail.smtp.errors import SmtpFailure
from django_authmail.smtp.oauth.answers import (
    MAX_ANSWER_BYTES,
    Grant,
    passing,
    read_answer,
    refused,
)
from django_authmail.smtp.oauth.network import TIMEOUT_SECONDS, Network

if TYPE_CHECKING:
    import httpcore2


class TokenEndpoint(ABC):
    """Gets access tokens by POST from an OAuth 2.0 token endpoint (RFC 6749), over verified TLS.

    A subclass says what the form holds. `ca_file` (PEM) is for an endpoint of a private authority.
    Make one object per account and keep it: it holds the token.

    Raises:
        ImproperlyConfigured: `token_url` is not an https address.
        MissingExtra: httpcore2 is not installed.
    """

    def __init__(self, *, token_url: str, ca_file: str = "") -> None:
        self._http: ModuleType = require("httpcore2", extra="oauth", why=type(self).__name__)
        self._host = _https_host(token_url)
        self._url = token_url
        # Not the SMTP core's context: httpcore2 sets the protocol to negotiate (ALPN) on it.
        try:
            self._tls = ssl.create_default_context(cafile=ca_file or None)
        except OSError as error:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: ca_file {ca_file!r} cannot be loaded: {error}"
            ) from None
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._grant: Grant | None = None
        self._begin()
        _endpoints.add(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self._host}>"

    def token(self) -> str:
        """Return a token, a new one if the last one ends within a minute."""
        return self._obtain(rejected=None)

    def refresh(self, rejected: str) -> str:
        """Return another token than `rejected`.

        Of many threads whose logins failed by the same token, one asks the endpoint.
        """
        return self._obtain(rejected=rejected)

    @abstractmethod
    def form(self) -> Mapping[str, str]:
        """Return the fields of the request."""

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._flight: Future[Grant | Failure] | None = None

    def _obtain(self, *, rejected: str | None) -> Secret:
        with self._lock:
            grant = self._grant
            if grant is not None and monotonic() < grant.renew_at and grant.token != rejected:
                return grant.token
            flight = self._flight
            leads = flight is None
            if flight is None:
                flight = self._flight = Future()
        if leads:
            self._fly(flight)
        try:
            # The others wait for the first one's answer, also for its failure: sixteen threads
            # that ask a dead endpoint one after the other would wait for minutes.
            outcome = flight.result(timeout=2 * TIMEOUT_SECONDS)
        except TimeoutError:
            outcome = passing(f"{self._host} did not answer in time")
        if isinstance(outcome, Grant):
            return outcome.token
        if (
            grant is not None
            and outcome.retry is Retry.LATER
            and grant.token != rejected
            and monotonic() < grant.unusable_at
        ):
            return grant.token
        raise SmtpFailure(outcome)

    def _fly(self, flight: Future[Grant | Failure]) -> None:
        outcome: Grant | Failure = passing("the request was interrupted")
        try:
            outcome = self._ask()
        finally:
            with self._lock:
                if isinstance(outcome, Grant):
                    self._grant = outcome
                self._flight = None
            flight.set_result(outcome)

    def _ask(self) -> Grant | Failure:
        asked_at = monotonic()
        http = self._http
        try:
            status, body = self._post()
        except http.TimeoutException:
            return passing(f"{self._host} did not answer in time")
        except (http.NetworkError, http.ProtocolError, OSError) as error:
            if _is_bad_certificate(error):
                return refused(f"the certificate of {self._host} cannot be verified")
            return passing(f"{self._host} cannot be reached ({type(error).__name__})")
        return read_answer(self._host, status, body, asked_at)

    def _post(self) -> tuple[int, Secret]:
        """Return the status and the body, cut to one octet more than is allowed."""
        url = self._http.URL(self._url)
        network = cast("httpcore2.NetworkBackend", Network(self._http))
        # A single connection, not a pool: it follows no redirect and reads no proxy variable.
        with (
            self._http.HTTPConnection(
                url.origin, ssl_context=self._tls, network_backend=network
            ) as connection,
            connection.stream(
                "POST",
                url,
                headers={
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                    "Accept-Encoding": "identity",
                    "Connection": "close",
                },
                content=urlencode(self.form()).encode("ascii"),
            ) as response,
        ):
            body = bytearray()
            for chunk in cast("Iterable[bytes]", response.iter_stream()):
                body += chunk
                if len(body) > MAX_ANSWER_BYTES:
                    break
            return response.status, Secret(body[: MAX_ANSWER_BYTES + 1].decode("utf-8", "replace"))


_endpoints: WeakSet[TokenEndpoint] = WeakSet()


def _begin_anew() -> None:
    # A request that another thread had under way at the fork never ends in the child.
    for endpoint in _endpoints:
        endpoint._begin()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_anew)


def need(provider: object, **values: object) -> None:
    """Raise ImproperlyConfigured unless each value is a text."""
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            raise ImproperlyConfigured(f"{type(provider).__name__}: {name} is missing")


def _https_host(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError:
        host = None
    printable = url.isascii() and url.isprintable() and " " not in url
    if not host or not printable or parts.scheme != "https" or "@" in parts.netloc:
        raise ImproperlyConfigured(
            "token_url must be an https:// address without user and password: client secrets are "
            "sent to it"
        )
    return host


def _is_bad_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__
    return False
