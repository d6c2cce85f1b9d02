"""Access tokens from Google: of a person's consent, or of a service account."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ImproperlyConfigured

from django_authmail.extras import require
from django_authmail.secret import Secret
from django_authmail.smtp.oauth.answers import json_object
from django_authmail.smtp.oauth.endpoint import TokenEndpoint, need
from django_authmail.smtp.oauth.scopes import GOOGLE_SCOPE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - a public address


class GoogleRefreshToken(TokenEndpoint):
    """A Gmail or Workspace account that has consented to an OAuth client.

    The consent must be for the scope `GOOGLE_SCOPE`.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        refresh_token: str,
        token_url: str = GOOGLE_TOKEN_URL,
        ca_file: str = "",
    ) -> None:
        need(self, client_id=client_id, client_secret=client_secret, refresh_token=refresh_token)
        super().__init__(token_url=token_url, ca_file=ca_file)
        self._client_id = client_id
        self._client_secret = Secret(client_secret)
        self._refresh_token = Secret(refresh_token)

    def form(self) -> Mapping[str, str]:
        return {
            "grant_type": "refresh_token",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "refresh_token": self._refresh_token,
        }


class GoogleServiceAccount(TokenEndpoint):
    """A Workspace mailbox, `subject`, through a service account with domain-wide delegation.

    The key is Google's JSON key, as a file or as its content (a mapping, or the JSON text). It
    signs each request (RFC 7523, RS256), so it never leaves the machine.
    """

    def __init__(
        self,
        *,
        subject: str,
        key_file: str | os.PathLike[str] = "",
        key_info: Mapping[str, Any] | str | None = None,
        token_url: str = "",
        ca_file: str = "",
    ) -> None:
        need(self, subject=subject)
        if bool(key_file) == bool(key_info):
            raise ImproperlyConfigured("GoogleServiceAccount: give one of key_file and key_info")
        info = _key_info(key_file, key_info)
        super().__init__(
            token_url=token_url or str(info.get("token_uri") or GOOGLE_TOKEN_URL), ca_file=ca_file
        )
        self._subject = subject
        self._issuer = str(info["client_email"])
        self._key_id = str(info.get("private_key_id") or "")
        self._key = _private_key(str(info["private_key"]))

    def form(self) -> Mapping[str, str]:
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": self._assertion(),
        }

    def _assertion(self) -> Secret:
        hashes = require("cryptography.hazmat.primitives.hashes", extra="oauth", why="RS256")
        padding = require(
            "cryptography.hazmat.primitives.asymmetric.padding", extra="oauth", why="RS256"
        )
        # Google refuses an assertion from the future; half a minute is for a clock ahead of its.
        issued_at = int(time()) - 30
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": self._key_id} if self._key_id else {})
        claims = {
            "iss": self._issuer,
            "sub": self._subject,
            "scope": GOOGLE_SCOPE,
            "aud": self._url,
            "iat": issued_at,
            # The longest that Google takes.
            "exp": issued_at + 3600,
        }
        signed = b".".join(_base64url(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return Secret((signed + b"." + _base64url(signature)).decode("ascii"))


def _key_info(
    key_file: str | os.PathLike[str], key_info: Mapping[str, Any] | str | None
) -> Mapping[str, Any]:
    source = f"the key file {os.fspath(key_file)!r}" if key_file else "key_info"
    content: object = key_info
    if key_file:
        try:
            content = Secret(Path(key_file).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(
                f"GoogleServiceAccount: {source} cannot be read: {type(error).__name__}"
            ) from None
    info = json_object(Secret(content)) if isinstance(content, str) else content
    if not isinstance(info, Mapping) or not (info.get("client_email") and info.get("private_key")):
        raise ImproperlyConfigured(
            f"GoogleServiceAccount: {source} is no JSON key of a service account (it needs "
            "client_email and private_key)"
        )
    return info


def _private_key(pem: str) -> RSAPrivateKey:
    why = "GoogleServiceAccount"
    rsa = require("cryptography.hazmat.primitives.asymmetric.rsa", extra="oauth", why=why)
    serialization = require("cryptography.hazmat.primitives.serialization", extra="oauth", why=why)
    unsupported = require("cryptography.exceptions", extra="oauth", why=why).UnsupportedAlgorithm
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, unsupported):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ImproperlyConfigured(f"{why}: private_key is no unencrypted RSA key in PEM form")
    return cast("RSAPrivateKey", key)


def _base64url(octets: bytes) -> bytes:
    return base64.urlsafe_b64encode(octets).rstrip(b"=")
