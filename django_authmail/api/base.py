"""The view that all others are: nothing of the project's REST_FRAMEWORK is needed or changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from django.db import connections, transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from drf_spectacular.openapi import AutoSchema
from rest_framework import exceptions
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_authmail import tracing
from django_authmail.api import body, clients, headers, mount, problems
from django_authmail.api.authentication import BearerAuthentication
from django_authmail.api.problems import Problem
from django_authmail.keyring import Caller


class Renderer(JSONRenderer):
    """JSON as the contract has it, whatever the project's REST_FRAMEWORK says."""

    compact = True
    ensure_ascii = False
    strict = True


class Negotiation(BaseContentNegotiation):
    """Accept, and nothing else: no ?format=, no suffixes."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderer: BaseRenderer = renderers[0]
        accepted = (renderer.media_type, problems.CONTENT_TYPE)
        if request.headers.get("Accept") and not any(map(request.accepts, accepted)):
            raise exceptions.NotAcceptable()
        return renderer, str(renderer.media_type)

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]


@method_decorator(sensitive_post_parameters(), name="dispatch")
class AuthmailView(APIView):
    """Base of every view."""

    authentication_classes = [BearerAuthentication]
    content_negotiation_class = Negotiation
    http_method_names = ["get", "head", "post"]
    metadata_class = None
    # For OpenAPI only: bodies are read by `body.read_json`.
    parser_classes = [JSONParser]
    permission_classes = []
    renderer_classes = [Renderer]
    schema = AutoSchema()
    throttle_classes = []
    versioning_class = None

    #: What the caller's key must allow; None for any key. Views without authentication_classes
    #: are open to everybody.
    scope: ClassVar[str | None] = None
    #: Whether the answer is JSON, so that Accept can rule it out.
    negotiates: ClassVar[bool] = True

    #: When the caller began to wait, by `time.monotonic()`.
    begun: float
    caller: Caller
    #: Whether there is a `caller`, by a key that is right.
    is_known: bool = False
    request_id: str
    #: Hashes of the recipients, for the log; empty until the body is known to be right.
    to_hash: str = ""

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:  # the stubs' own type is not importable
        view = super().as_view(**initkwargs)
        # With ATOMIC_REQUESTS an error answer would roll back the record of a mail that has left,
        # and a transaction would stay open while a mail server thinks.
        for alias in connections:
            view = transaction.non_atomic_requests(alias)(view)
        return view

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.begun = time.monotonic()
        self.request_id = headers.request_id(request)
        traceparent = tracing.well_formed(request.headers.get("traceparent", ""))
        with tracing.doing(tracing.Origin(self.request_id, traceparent)):
            response = super().dispatch(request, **mount.own(kwargs))
        response["X-Request-ID"] = self.request_id
        response.setdefault("Cache-Control", "no-store")
        return response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.method not in self.allowed_methods:
            self.http_method_not_allowed(request)
        super().initial(request, *args, **kwargs)

    def perform_content_negotiation(
        self, request: Request, force: bool = False
    ) -> tuple[BaseRenderer, str]:
        return super().perform_content_negotiation(request, force or not self.negotiates)

    def perform_authentication(self, request: Request) -> None:
        # Not request.user: Django REST framework would put its own user object into the project's
        # request, and needs django.contrib.auth for callers without a key.
        for authenticator in self.get_authenticators():
            _, self.caller = authenticator.authenticate(request) or self._refuse()
            self.is_known = True

    def check_permissions(self, request: Request) -> None:
        if not self.get_authenticators():
            return
        self.check_network(request)
        if self.scope and self.scope not in self.caller.scopes:
            raise Problem("insufficient_scope", f"The key does not have the scope {self.scope!r}.")

    def check_network(self, request: Request) -> None:
        if not self.caller.may_come_from(clients.client_address(request)):
            raise Problem("ip_not_allowed")

    def handle_exception(self, exc: Exception) -> Response:
        if self.is_known:
            # Whoever has no key could keep threads waiting for what it never sends.
            body.discard(self.request._request)
        return super().handle_exception(exc)

    def get_format_suffix(self, **kwargs: Any) -> None:
        return None

    def get_exception_handler(self) -> Callable[..., Response]:
        return problems.handle

    def link(self, name: str, **values: Any) -> str:
        """Return the path of another endpoint, wherever the project mounts this API."""
        return mount.link(self.request, name, **values)

    def _refuse(self) -> NoReturn:
        raise Problem("missing_credentials")
