"""The two clients: how a call is carried out, with threads that wait and with tasks that await."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

import httpx

from django_authmail.client.answers import Health, Message, Sent
from django_authmail.client.attempts import Attempts
from django_authmail.client.calls import Call
from django_authmail.client.methods import Methods
from django_authmail.client.outcomes import TOO_LATE, Lost, Outcome, Reading, lost
from django_authmail.client.results import result

logger = logging.getLogger(__name__)

T = TypeVar("T")

_to_renew_after_fork: WeakSet[AuthmailClient] = WeakSet()


def _after_fork() -> None:
    # Two processes on one connection would read each other's answers.
    for client in _to_renew_after_fork:
        client._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class AuthmailClient(Methods[Sent, Message, Health]):
    """A client of the HTTP API. Use it as a context manager, or call `close()`.

    `timeout` is how many seconds a call may take in all, with its repeats and waits. One client
    serves all threads of a process and keeps connections, which it does not share with a fork.

    With `idempotency=False`, for a service that has it off, no call carries an Idempotency-Key, and
    none is repeated that the service may have taken. `allow_http` admits http:// with a name that
    is not private. `language` ("ko") is that of the hints in errors. `transport` is httpx's, for a
    proxy or an authority of your own.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout: float = 10.0,
        *,
        idempotency: bool = True,
        allow_http: bool = False,
        language: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        super().__init__(
            base_url,
            api_key,
            timeout,
            idempotency=idempotency,
            allow_http=allow_http,
            language=language,
        )
        self._http = httpx.Client(transport=transport, **self._http_options)
        if transport is None:
            _to_renew_after_fork.add(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def _renew(self) -> None:
        if not self._http.is_closed:
            self._http = httpx.Client(**self._http_options)

    def _do(self, call: Call[T]) -> T:
        attempts = Attempts(call, self._timeout)
        while True:
            outcome = self._ask(call, attempts)
            wait = attempts.wait_after(outcome)
            if wait is None:
                return result(call, self._url(call), outcome)
            _log(call, outcome, wait)
            time.sleep(wait)

    def _ask(self, call: Call[T], attempts: Attempts) -> Outcome:
        try:
            with self._http.stream(
                call.method,
                self._url(call),
                headers=call.headers,
                content=call.content or None,
                timeout=attempts.remaining,
            ) as response:
                reading = Reading(response.status_code, response.headers, attempts.deadline)
                if not reading.is_packed:
                    for chunk in response.iter_bytes():
                        if not reading.take(chunk):
                            break
                return reading.outcome()
        except httpx.RequestError as error:
            return lost(error)


class AsyncAuthmailClient(
    Methods[Coroutine[Any, Any, Sent], Coroutine[Any, Any, Message], Coroutine[Any, Any, Health]]
):
    """`AuthmailClient` with the same methods, to await; `async with`, or `await client.close()`.

    It belongs to one event loop, as its connections do.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout: float = 10.0,
        *,
        idempotency: bool = True,
        allow_http: bool = False,
        language: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(
            base_url,
            api_key,
            timeout,
            idempotency=idempotency,
            allow_http=allow_http,
            language=language,
        )
        self._http = httpx.AsyncClient(transport=transport, **self._http_options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    #: As S0's and httpx's have it.
    aclose = close

    async def _do(self, call: Call[T]) -> T:
        attempts = Attempts(call, self._timeout)
        while True:
            outcome = await self._ask(call, attempts)
            wait = attempts.wait_after(outcome)
            if wait is None:
                return result(call, self._url(call), outcome)
            _log(call, outcome, wait)
            await asyncio.sleep(wait)

    async def _ask(self, call: Call[T], attempts: Attempts) -> Outcome:
        try:
            async with (
                asyncio.timeout(attempts.remaining),
                self._http.stream(
                    call.method,
                    self._url(call),
                    headers=call.headers,
                    content=call.content or None,
                    timeout=attempts.remaining,
                ) as response,
            ):
                reading = Reading(response.status_code, response.headers, attempts.deadline)
                if not reading.is_packed:
                    async for chunk in response.aiter_bytes():
                        if not reading.take(chunk):
                            break
                return reading.outcome()
        except httpx.RequestError as error:
            return lost(error)
        except TimeoutError:
            return TOO_LATE


def _log(call: Call[Any], outcome: Outcome, wait: float) -> None:
    why = outcome.what if isinstance(outcome, Lost) else f"status {outcome.status}"
    logger.info(
        "client.repeated method=%s path=%s why=%s wait_seconds=%.1f request_id=%s",
        call.method,
        call.path,
        why,
        wait,
        call.request_id,
    )
