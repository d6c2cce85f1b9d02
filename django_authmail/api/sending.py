"""The endpoints that send: POST /send and POST /send/otp."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.utils import translation
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from django_authmail import dispatch, outbox, plaintext
from django_authmail.api import body, headers, inputs, outputs, schema
from django_authmail.api.base import AuthmailView
from django_authmail.api.problems import Fault, Problem
from django_authmail.conf import conf
from django_authmail.exceptions import InvalidAddress, InvalidContext, UnsafeHeader
from django_authmail.message import AuthMessage, OnUnknown
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

    @schema.described(**schema.SEND_OTP)
    def post(self, request: Request) -> Response:
        return self.answer(request)

    @sensitive_variables()
    def build(self, given: dict[str, Any]) -> AuthMessage:
        return OTPNotifier().build(
            given["to"],
            user_name=given["user_name"],
            code=given["code"],
            locale=given.get("locale"),
            expires_in=_lifetime(given),
        )


class SendRawView(SendView):
    scope = "send:raw"
    form = inputs.SendRaw

    @schema.described(**schema.SEND_RAW)
    def post(self, request: Request) -> Response:
        return self.answer(request)

    @sensitive_variables()
    def build(self, given: dict[str, Any]) -> AuthMessage:
        html = given["html_body"]
        return AuthMessage(
            to=tuple(given["to"]),
            cc=tuple(given.get("cc", ())),
            bcc=tuple(given.get("bcc", ())),
            reply_to=tuple(given.get("reply_to", ())),
            from_email=conf.default_from_email,
            subject=given["subject"],
            html_body=html,
            text_body=given.get("text_body") or plaintext.text_of(html),
            locale=given.get("locale", ""),
            expires_in=_lifetime(given),
            # Nobody knows what it says: a receipt that comes twice may be worse than none.
            on_unknown=OnUnknown.HOLD,
            attachments=tuple(given.get("attachments", ())),
        )


def _lifetime(given: dict[str, Any]) -> timedelta | None:
    return timedelta(seconds=given["expires_in"]) if "expires_in" in given else None
