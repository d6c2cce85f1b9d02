"""The limit for bodies under ASGI, where Django writes a body to disk before it calls a view.

application = limit_bodies(get_asgi_application(), below="/mail/")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django_authmail.api.body import MAX_BODY_BYTES, MAX_DRAINED_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Scope, receive, send; Django's stubs and those of servers differ in how they write them.
Application = Callable[..., Awaitable[None]]


def limit_bodies(application: Application, *, below: str = "/") -> Application:
    """Return `application`, which is given no more of a body than is too much for the API.

    `below` is the path that the project mounts the API at: requests for others go through as they
    are. The view that is called then answers 413, as it does under WSGI.
    """
    if not below.startswith("/"):
        raise ValueError(f"below is {below!r}; a path begins with a slash: '/{below}'")

    async def limited(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_below(scope, below):
            receive = _Limited(scope, receive).receive
        await application(scope, receive, send)

    return limited


def _is_below(scope: MutableMapping[str, Any], below: str) -> bool:
    # To ASGI, a path begins with what the project is mounted at itself: `uvicorn --root-path`.
    path = str(scope["path"])
    own = path.removeprefix(scope.get("root_path", ""))
    return path.startswith(below) or own.startswith(below)


class _Limited:
    def __init__(self, scope: MutableMapping[str, Any], receive: Receive) -> None:
        self._receive = receive
        self._received = 0
        self._ended = False
        declared = dict(scope["headers"]).get(b"content-length", b"")
        #: More is coming than is worth to be read: the view sees the length, and refuses.
        self._is_hopeless = declared.isdigit() and int(declared) > MAX_DRAINED_BYTES

    async def receive(self) -> Message:
        if self._ended:
            # That the client has gone is all that may come after a body.
            while (message := await self._receive())["type"] == "http.request":
                pass
            return message
        if self._is_hopeless:
            self._ended = True
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await self._receive()
        if message["type"] != "http.request":
            return message
        self._received += len(message.get("body", b""))
        if self._received <= MAX_BODY_BYTES:
            self._ended = not message.get("more_body", False)
            return message
        # One that is still writing when the answer comes sees a broken connection instead of it.
        rest: Message = message
        while rest.get("more_body", False) and self._received <= MAX_DRAINED_BYTES:
            rest = await self._receive()
            self._received += len(rest.get("body", b""))
        self._ended = True
        return {**message, "more_body": False}
