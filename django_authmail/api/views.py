"""The endpoints: POST /send/otp, GET /messages/{id}, /health and /metrics."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, ClassVar

from django.db import router
from django.db.models import Prefetch
from django.http import HttpResponse
from django.utils import translation
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from django_authmail import dispatch, metrics, outbox
from django_authmail.api import body, headers, inputs, outputs, schema
from django_authmail.api.base import AuthmailView
from django_authmail.api.problems import Fault, Problem
from django_authmail.conf import conf
from django_authmail.exceptions import InvalidAddress, InvalidContext, UnsafeHeader
from django_authmail.message import AuthMessage
from django_authmail.models import Attempt, Message, Recipient
from django_authmail.notifiers import OTPNotifier


class SendView(AuthmailView):
    """Base of the endpoints that send: read, check, build, hand over."""

    form: ClassVar[type[Serializer[Any]]]

    def build(self, given: dict[str, Any]) -> AuthMessage:
        """Return the mail for the members of a checked body."""
        raise NotImplementedError

    @sensitive_variables()
    def answer(self, request: Request) -> Response:
        dry_run = headers.dry_run(request)
        if "Idempotency-Key" in request.headers and not dry_run:
            # To ignore it would break its promise: a repeat would send a second mail.
            raise Problem("idempotency_unavailable", "Nothing was sent.")
        given = inputs.checked(self.form, body.read_json(request._request))
        message = self._message(given)
        if dry_run:
            return Response(outputs.DRY_RUN)
        if headers.respond_async(request):
            row = outbox.submit(message, owner=self.caller.owner, request_id=self.request_id)
            return Response(
                outputs.queued(row),
                status=202,
                headers={
                    "Location": self.link("message", row.pk),
                    "Preference-Applied": "respond-async",
                },
            )
        row = dispatch.send_now(message, owner=self.caller.owner, request_id=self.request_id)
        return Response(outputs.sent(row, message))

    @sensitive_variables()
    def _message(self, given: dict[str, Any]) -> AuthMessage:
        try:
            # Without `locale`, the project's language: Accept-Language is the calling service's,
            # not the recipient's, and must not decide by way of a LocaleMiddleware.
            with translation.override(conf.language_code):
                return self.build(given)
        except (UnsafeHeader, InvalidAddress, InvalidContext) as error:
            name = error.name if isinstance(error, InvalidContext) else error.field
            if name not in given and not isinstance(error, UnsafeHeader):
                raise  # the From address, or a template's fault: nothing that the caller can mend
            if name == "from_email":
                raise
            fault = Fault.at(name, str(error)) if name in given else Fault("", str(error))
            code = error.code
        # Outside of the block above: an exception in the context would keep the values alive.
        raise Problem(code, faults=[fault])


class SendOTPView(SendView):
    scope = "send:otp"
    form = inputs.SendOTP

    @schema.described(**schema.send("otp", "Send a one-time code", inputs.SendOTP))
    def post(self, request: Request) -> Response:
        return self.answer(request)

    @sensitive_variables()
    def build(self, given: dict[str, Any]) -> AuthMessage:
        seconds = given.get("expires_in")
        return OTPNotifier().build(
            given["to"],
            user_name=given["user_name"],
            code=given["code"],
            locale=given.get("locale"),
            expires_in=None if seconds is None else timedelta(seconds=seconds),
        )


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
            )
            .filter(pk=key, owner=self.caller.owner)
            .first()
        )
        if row is None:
            raise Problem("not_found", "There is no such message of this key.")
        return Response(outputs.MessageAnswer(row).data)


class HealthView(AuthmailView):
    authentication_classes = []
    negotiates = False

    @schema.described(**schema.HEALTH)
    def get(self, request: Request) -> Response:
        # No database, no mail server: this says that the process answers, and nothing more.
        return Response({"status": "ok"})


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
            raise Problem("not_found", "metrics not installed", hint=hint)
        content, content_type = metrics.exposition()
        return HttpResponse(content, content_type=content_type)
