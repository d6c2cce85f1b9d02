"""Access tokens from Microsoft 365."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured

from django_authmail.secret import Secret
from django_authmail.smtp.oauth.endpoint import TokenEndpoint, need
from django_authmail.smtp.oauth.scopes import MICROSOFT_SCOPE

_TENANT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


class Microsoft365(TokenEndpoint):
    """A Microsoft 365 mailbox, through an application of the tenant (client credentials).

    The application needs the permission SMTP.SendAsApp, the administrator's consent, and in
    Exchange Online a service principal with access to the mailbox; else the server answers 535.
    """

    def __init__(
        self,
        *,
        tenant: str,
        client_id: str,
        client_secret: str,
        token_url: str = "",
        ca_file: str = "",
    ) -> None:
        need(self, tenant=tenant, client_id=client_id, client_secret=client_secret)
        if not _TENANT.fullmatch(tenant):
            raise ImproperlyConfigured(
                f"Microsoft365: tenant {tenant!r} is neither an ID nor a domain of a tenant"
            )
        super().__init__(
            token_url=token_url or f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
            ca_file=ca_file,
        )
        self._client_id = client_id
        self._client_secret = Secret(client_secret)

    def form(self) -> Mapping[str, str]:
        return {
            "grant_type": "client_credentials",
            "client_id": self._client_id,
            "client_secret": self._client_secret,
            "scope": MICROSOFT_SCOPE,
        }
