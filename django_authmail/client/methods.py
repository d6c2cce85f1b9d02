"""The methods of the client, once for both: one returns answers, the other awaitables of them."""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any, Generic, TypeVar, Unpack, cast

import httpx

from django_authmail.client import calls
from django_authmail.client.calls import Attachment, Call, SendOptions
from django_authmail.client.target import checked_base_url, checked_header, checked_key

#: What each client makes of a `Sent`, a `Message` and a `Health`.
S = TypeVar("S")
M = TypeVar("M")
H = TypeVar("H")
F = TypeVar("F", bound=Callable[..., Any])


def _also_user_name(method: F) -> F:
    """Take `user_name` for `name`: that is what S0's callers call it."""

    @wraps(method)
    def call(*values: Any, **named: Any) -> Any:
        if "user_name" in named and "name" not in named:
            named["name"] = named.pop("user_name")
        return method(*values, **named)

    return cast("F", call)


class Methods(Generic[S, M, H]):
    """Base of the clients."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        timeout: float = 10.0,
        *,
        idempotency: bool,
        allow_http: bool,
        language: str,
    ) -> None:
        self.base_url = checked_base_url(base_url, allow_http=allow_http)
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout!r}; give the seconds that a call may take")
        self._timeout = timeout
        self._idempotency = idempotency
        if language:
            language = checked_header(language, "language", max_length=100)
        is_https = self.base_url.startswith("https:")
        self._http_options: dict[str, Any] = {
            "headers": {
                "Authorization": f"Bearer {checked_key(api_key)}",
                "Accept": "application/json, application/problem+json",
                # A small answer could unpack to a huge one.
                "Accept-Encoding": "identity",
                "User-Agent": "django-authmail-client",
                **({"Accept-Language": language} if language else {}),
            },
            "follow_redirects": False,  # they would take the key and the code elsewhere
            # A proxy of the environment would read both, where TLS does not keep it out.
            "trust_env": is_https,
            "verify": _tls_context() if is_https else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def health(self) -> H:
        """Ask whether the service answers. Needs no valid key, and is never repeated."""
        answer: H = self._do(calls.health())
        return answer

    def message(self, message_id: str | uuid.UUID) -> M:
        """Ask what became of a mail, by the `id` of the answer to its request."""
        answer: M = self._do(calls.message(message_id))
        return answer

    def send(
        self,
        to: str | Sequence[str],
        subject: str,
        html_body: str,
        *,
        text_body: str | None = None,
        cc: str | Iterable[str] | None = None,
        bcc: str | Iterable[str] | None = None,
        reply_to: str | Iterable[str] | None = None,
        attachments: Iterable[Attachment] = (),
        **options: Unpack[SendOptions],
    ) -> S:
        """Send a mail of your own. Needs a key with the scope `send:raw`."""
        members = {
            "to": calls.listed(to),
            "subject": subject,
            "html_body": html_body,
            "text_body": text_body,
            "cc": calls.listed(cc),
            "bcc": calls.listed(bcc),
            "reply_to": calls.listed(reply_to),
            "attachments": calls.files(attachments),
        }
        return self._send("/send", members, options)

    @_also_user_name
    def send_otp(self, to: str, name: str, code: str, **options: Unpack[SendOptions]) -> S:
        """Send a one-time code."""
        return self._send("/send/otp", {"to": to, "user_name": name, "code": code}, options)

    @_also_user_name
    def send_magic_link(self, to: str, name: str, token: str, **options: Unpack[SendOptions]) -> S:
        """Send a link to log in by; the service puts the token into it."""
        members = {"to": to, "user_name": name, "token": token}
        return self._send("/send/magic-link", members, options)

    def send_password_reset(
        self, to: str, name: str, token: str, **options: Unpack[SendOptions]
    ) -> S:
        """Send a link to set a new password by."""
        members = {"to": to, "user_name": name, "token": token}
        return self._send("/send/password-reset", members, options)

    def send_email_verification(
        self,
        to: str,
        name: str,
        *,
        token: str | None = None,
        code: str | None = None,
        **options: Unpack[SendOptions],
    ) -> S:
        """Send a link, a code, or both, that prove who owns the address."""
        members = {"to": to, "user_name": name, "token": token, "code": code}
        return self._send("/send/email-verification", members, options)

    def send_invitation(
        self, to: str, name: str, inviter_name: str, token: str, **options: Unpack[SendOptions]
    ) -> S:
        """Send an invitation with a link."""
        members = {"to": to, "user_name": name, "inviter_name": inviter_name, "token": token}
        return self._send("/send/invitation", members, options)

    def send_template(
        self,
        to: str,
        template: str,
        context: Mapping[str, Any],
        **options: Unpack[SendOptions],
    ) -> S:
        """Send a mail of any kind that the service has, with its values."""
        members = {"to": to, "template": template, "context": dict(context)}
        return self._send("/send/template", members, options)

    def _send(self, path: str, members: Mapping[str, Any], options: SendOptions) -> S:
        call = calls.send(path, members, options, idempotency=self._idempotency)
        answer: S = self._do(call)
        return answer

    # Any: a Call[Sent] becomes an S, a Call[Message] an M; Python cannot say so.
    def _do(self, call: Call[Any]) -> Any:
        raise NotImplementedError

    def _url(self, call: Call[Any]) -> str:
        return f"{self.base_url}{call.path}"


@lru_cache(maxsize=1)
def _tls_context() -> ssl.SSLContext:
    # Loading the authorities takes 25 ms, and some make a client for each mail.
    return httpx.create_ssl_context()
