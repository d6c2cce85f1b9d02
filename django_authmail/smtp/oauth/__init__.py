"""Access tokens for XOAUTH2: from Google, from Microsoft 365, or from a function of the project.

No secret, token or answer of an endpoint reaches a repr, an error or a log.
"""

from __future__ import annotations

from django_authmail.smtp.config import TokenProvider
from django_authmail.smtp.oauth.endpoint import TokenEndpoint
from django_authmail.smtp.oauth.function import TokenFunction
from django_authmail.smtp.oauth.google import GoogleRefreshToken, GoogleServiceAccount
from django_authmail.smtp.oauth.microsoft import Microsoft365
from django_authmail.smtp.oauth.options import provider_from
from django_authmail.smtp.oauth.scopes import GOOGLE_SCOPE, MICROSOFT_SCOPE

__all__ = [
    "GOOGLE_SCOPE",
    "MICROSOFT_SCOPE",
    "GoogleRefreshToken",
    "GoogleServiceAccount",
    "Microsoft365",
    "TokenEndpoint",
    "TokenFunction",
    "TokenProvider",
    "provider_from",
]
