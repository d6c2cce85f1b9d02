"""Who is calling: a key from the header `Authorization: Bearer KEY`."""

from __future__ import annotations

import secrets

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from django_authmail import keyring, keys
from django_authmail.api import failures
from django_authmail.api.problems import Problem
from django_authmail.conf import conf
from django_authmail.keyring import Caller, KeyExpired, KeyUnknown

_OF_THE_SETTING = Caller(owner="setting", scopes=frozenset(keys.SCOPES))


@sensitive_variables()
def authenticate(request: HttpRequest | Request) -> Caller:
    """Return the caller.

    Raises:
        Problem: missing_credentials, invalid_api_key or expired_api_key. A key that never was
            and one that was revoked get the same answer, after the same time as a missing one.
    """
    key = _given_key(request)
    if _is_setting_key(key):
        return _OF_THE_SETTING
    try:
        return keyring.find(key.decode("ascii", "replace"))
    except KeyExpired:
        code = "expired_api_key"
    except KeyUnknown:
        code = "invalid_api_key" if key else "missing_credentials"
    # Outside of the block above: an exception in the context would keep the values alive.
    raise Problem(code)


@sensitive_variables()
def has_setting_key(request: HttpRequest | Request) -> bool:
    """Tell whether the request has the key of AUTHMAIL_API_KEY, without asking a database."""
    return _is_setting_key(_given_key(request))


@sensitive_variables()
def _given_key(request: HttpRequest | Request) -> bytes:
    """Return the key of the header; empty where there is none."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = credentials.strip() if scheme.lower() == "bearer" else ""
    # Servers hand headers over as Latin-1 (PEP 3333); back to the bytes that came in.
    return given.encode("latin-1", "replace")


@sensitive_variables()
def _is_setting_key(key: bytes) -> bool:
    return bool(conf.api_key) and secrets.compare_digest(key, conf.api_key.encode())


class BearerAuthentication(BaseAuthentication):
    """`authenticate` in the form that Django REST framework and drf-spectacular know."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller]:
        try:
            caller = authenticate(request)
        except Problem as error:
            refusal = error
        else:
            return caller, caller
        raise failures.throttled(request._request) or refusal

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
