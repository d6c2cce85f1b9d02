"""Who is calling: a key from the header `Authorization: Bearer KEY`."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DatabaseError, router
from django.db.models import Q
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from django_authmail import keys
from django_authmail.api.problems import Problem
from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.models import ApiKey

logger = logging.getLogger(__name__)

#: `last_used_at` is for people; a write per request would cost more than it tells.
_LAST_USE_PRECISION = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever holds the key of a request."""

    #: As in `Message.owner`.
    owner: str
    scopes: frozenset[str]


@sensitive_variables()
def authenticate(request: HttpRequest | Request) -> Caller:
    """Return the caller.

    Raises:
        Problem: missing_credentials, invalid_api_key or expired_api_key. A key that never was
            and one that was revoked get the same answer.
    """
    key = _given_key(request)
    if _is_setting_key(key):
        return Caller(owner="setting", scopes=frozenset(keys.SCOPES))
    return _database_caller(key.decode("ascii", "replace"))


@sensitive_variables()
def has_setting_key(request: HttpRequest | Request) -> bool:
    """Tell whether the request has the key of AUTHMAIL_API_KEY, without asking a database."""
    try:
        return _is_setting_key(_given_key(request))
    except Problem:
        return False


@sensitive_variables()
def _given_key(request: HttpRequest | Request) -> bytes:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credentials.strip():
        raise Problem("missing_credentials")
    # Servers hand headers over as Latin-1 (PEP 3333); back to the bytes that came in.
    return credentials.strip().encode("latin-1", "replace")


@sensitive_variables()
def _is_setting_key(key: bytes) -> bool:
    return bool(conf.api_key) and secrets.compare_digest(key, conf.api_key.encode())


@sensitive_variables()
def _database_caller(key: str) -> Caller:
    # Form and checksum need no database: scanners and typing errors cost nothing. What is found
    # here is found by its SHA-256, so how long the index takes says nothing about the key.
    if not keys.well_formed(key):
        raise Problem("invalid_api_key")
    using = router.db_for_write(ApiKey)  # a replica may not know of a revocation yet
    row = ApiKey.objects.using(using).filter(digest=keys.digest(key), revoked_at=None).first()
    if row is None:
        raise Problem("invalid_api_key")
    now = db_now(using)
    if row.expires_at is not None and row.expires_at <= now:
        raise Problem("expired_api_key")
    _record_use(row, now, using=using)
    return Caller(owner=f"key:{row.pk}", scopes=frozenset(row.scopes))


def _record_use(row: ApiKey, now: datetime, *, using: str) -> None:
    before = now - _LAST_USE_PRECISION
    if row.last_used_at is not None and row.last_used_at > before:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=before)
    try:
        ApiKey.objects.using(using).filter(stale, pk=row.pk).update(last_used_at=now)
    except DatabaseError as error:
        # A busy database must not turn a note about a key into a refused mail.
        logger.warning("last use of key %s not recorded: %s", row.prefix, type(error).__name__)


class BearerAuthentication(BaseAuthentication):
    """`authenticate` in the form that Django REST framework and drf-spectacular know."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller]:
        caller = authenticate(request)
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # its metaclass
    target_class = BearerAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key: `manage.py authmail_key create --name NAME`.",
        }
