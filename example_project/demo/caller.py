"""Calls the demo's API as another service would, with the standard library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

# The demo talks to this machine; a proxy in the environment is for others.
_opener = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the API said."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A client of the API at an address, with a key."""

    base_url: str
    key: str = ""

    def get(self, path: str) -> Answer | None:
        """Return the answer to a GET; None where nobody answers."""
        return self._call(Request(self.base_url + path, headers=self._headers()))  # noqa: S310

    def post(self, path: str, body: dict[str, Any], **headers: str) -> Answer | None:
        """Return the answer to a POST of JSON; None where nobody answers."""
        content = json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = Request(  # noqa: S310 - the address is the demo's own
            self.base_url + path,
            data=content,
            headers={**self._headers(), "Content-Type": "application/json", **named},
        )
        return self._call(request)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _call(self, request: Request) -> Answer | None:
        try:
            # Above the deadline that the API gives a request that sends (8 s).
            with _opener.open(request, timeout=12) as response:
                return Answer(status=response.status, body=_json(response.read()))
        except HTTPError as error:
            with error:
                return Answer(status=error.code, body=_json(error.read()))
        except (URLError, OSError):
            return None


def _json(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        return {"text": content[:200].decode("utf-8", "replace")}
    return body if isinstance(body, dict) else {"value": body}
