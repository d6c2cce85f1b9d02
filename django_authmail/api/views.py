"""The endpoints that send nothing: GET /messages/{id}, /health, /health/ready and /metrics."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import router
from django.db.models import Prefetch, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views import defaults
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response

from django_authmail import metrics
from django_authmail.api import authentication, headers, outputs, readiness, schema
from django_authmail.api.base import AuthmailView
from django_authmail.api.problems import Problem
from django_authmail.conf import conf
from django_authmail.models import Attempt, Message, Recipient, WebhookDelivery


class MessageView(AuthmailView):
    scope = "messages:read"

    @schema.described(**schema.MESSAGE)
    def get(self, request: Request, message_id: str) -> Response:
        try:
            key = uuid.UUID(message_id)
        except ValueError:
            raise Problem("not_found") from None
        # Not from a replica: it may not know yet what was answered with 202 a moment ago.
        using = router.db_for_write(Message)
        row = (
            Message.objects.using(using)
            .defer("sealed")
            .prefetch_related(
                Prefetch("recipients", Recipient.objects.using(using)),
                Prefetch("attempts", Attempt.objects.using(using)),
                Prefetch("webhooks", self._webhooks(using)),
            )
            .filter(pk=key, owner=self.caller.owner)
            .first()
        )
        if row is None:
            raise Problem("not_found", "There is no such message of this key.")
        return Response(outputs.MessageAnswer(row).data)

    def _webhooks(self, using: str) -> QuerySet[WebhookDelivery]:
        # Others are told too, and who they are is not the caller's to know: an endpoint may be of
        # whoever runs the service.
        theirs = Q(endpoint__isnull=True) | Q(endpoint__owner=self.caller.owner)
        rows = WebhookDelivery.objects.using(using).filter(theirs)
        return rows.defer("sealed_target", "sealed_payload").order_by("created_at", "pk")


class HealthView(AuthmailView):
    authentication_classes = []
    negotiates = False

    @schema.described(**schema.HEALTH)
    def get(self, request: Request) -> Response:
        # No database, no mail server: this says that the process answers, and nothing more.
        return Response({"status": "ok"})


class LiveView(HealthView):
    """GET /health by the name that probes know it by."""

    @schema.described(**schema.LIVE)
    def get(self, request: Request) -> Response:
        return super().get(request)


class ReadyView(AuthmailView):
    authentication_classes = []
    negotiates = False

    @schema.described(**schema.READY)
    def get(self, request: Request) -> Response:
        findings = readiness.findings()
        is_known = self._has_key(request, findings)
        checks = [outputs.finding(found, in_detail=is_known) for found in findings]
        if all(found.ok for found in findings):
            return Response({"status": "ok"} | ({"checks": checks} if is_known else {}))
        failing = [check for check in checks if check["status"] != "ok"]
        raise Problem(
            "not_ready",
            f"Not working: {', '.join(check['check'] for check in failing)}.",
            members={"checks": checks if is_known else failing},
            retry_after=readiness.FRESH_SECONDS,
        )

    def _has_key(self, request: Request, findings: list[readiness.Finding]) -> bool:
        """Tell whether the caller may know details.

        A database that does not work is not asked: it may hang. The key of AUTHMAIL_API_KEY is
        known without one.
        """
        if "Authorization" not in request.headers:
            return False
        if any(f.check in ("database", "migrations") and not f.ok for f in findings):
            return authentication.has_setting_key(request)
        # As any view that asks for a key: guesses are counted, and a key has its networks.
        self.caller, _ = authentication.BearerAuthentication().authenticate(request)
        self.check_network(request)
        return True


class MetricsView(AuthmailView):
    negotiates = False

    def get_authenticators(self) -> list[BaseAuthentication]:
        wanted = conf.metrics_enabled and conf.metrics_require_auth
        return super().get_authenticators() if wanted else []

    @schema.described(**schema.METRICS)
    def get(self, request: Request) -> HttpResponse:
        if not conf.metrics_enabled:
            hint = _("Whoever runs this service can switch it on by AUTHMAIL_METRICS_ENABLED.")
            raise Problem("not_found", "metrics disabled", hint=hint)
        if not metrics.available():
            hint = _("Whoever runs this service has to install `django-authmail[metrics]`.")
            raise Problem("not_found", "metrics disabled", hint=hint)
        content, content_type = metrics.exposition()
        return HttpResponse(content, content_type=content_type)


class NotFoundView(AuthmailView):
    """The addresses below those of this API that are none of it: a problem, not an HTML page."""

    authentication_classes = []
    negotiates = False
    schema = None  # type: ignore[assignment] # not part of the description

    problem: ClassVar[tuple[str, str]] = (
        "not_found",
        "There is no such address. None ends with a slash.",
    )
    #: That of the code where it is None.
    hint: ClassVar[str | Promise | None] = _(
        "Check the path: it begins where this API is mounted, and ends without a slash."
    )

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}  # no `Allow`: no method is

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Problem(*self.problem, hint=self.hint)


class BadRequestView(NotFoundView):
    """What Django refuses before any view: a host that is not in ALLOWED_HOSTS."""

    problem = ("bad_request", "Django refused the request before it came to an address.")
    hint = None


_answer_not_found = NotFoundView.as_view()
_answer_bad_request = BadRequestView.as_view()


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer any address that does not exist: for `handler404` of a project that is a service.

    A browser gets Django's own page.
    """
    if _wants_html(request):
        return _page(request, defaults.page_not_found(request, exception))
    response: HttpResponseBase = _answer_not_found(request)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer what Django refuses by 400: for `handler400`, as `not_found` is for `handler404`."""
    if _wants_html(request):
        return _page(request, defaults.bad_request(request, exception))
    response: HttpResponseBase = _answer_bad_request(request)
    return response


def _page(request: HttpRequest, page: HttpResponseBase) -> HttpResponseBase:
    page["X-Request-ID"] = headers.request_id(request)
    return page


def _wants_html(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "")
