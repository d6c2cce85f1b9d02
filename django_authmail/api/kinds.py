"""The endpoints that send: POST /send, and POST /send/ with the name of a kind."""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import Any, ClassVar

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response

from django_authmail import plaintext
from django_authmail.api import inputs, schema
from django_authmail.api.fields import is_harmless_name
from django_authmail.api.problems import Fault, Problem
from django_authmail.api.sending import SendView
from django_authmail.conf import conf
from django_authmail.exceptions import InvalidAddress, InvalidContext, UnsafeHeader
from django_authmail.message import AuthMessage, Priority
from django_authmail.notifiers import registry
from django_authmail.notifiers.base import Options

# `to` belongs to the body; of a notifier's options, only these are about what the mail says.
_SAID = frozenset(("at", "place", "device"))
_NOT_IN_CONTEXT = frozenset((*Options.__annotations__, "to", "to_email", "context")) - _SAID
_OF_BODY = frozenset(inputs.SendTemplate._declared_fields) & _NOT_IN_CONTEXT - {"context"}


class SendKindView(SendView):
    """Base of the endpoints that send one kind of mail."""

    kind: ClassVar[str]
    #: Members of the body that are values of the mail.
    values: ClassVar[tuple[str, ...]]

    @sensitive_variables()
    def build(self, given: dict[str, Any]) -> AuthMessage:
        values = {name: given[name] for name in self.values if name in given}
        return registry.get(self.kind)().build(given["to"], **values, **_options(given))


class SendOTPView(SendKindView):
    scope = "send:otp"
    form = inputs.SendOTP
    kind = "otp"
    values = ("user_name", "code")

    @schema.described(**schema.SEND_OTP)
    def post(self, request: Request) -> Response:
        return self.answer(request)


class SendMagicLinkView(SendKindView):
    scope = "send:magic-link"
    form = inputs.SendMagicLink
    kind = "magic-link"
    values = ("user_name", "token")
    no_base_url = "magic_link_not_configured"

    @schema.described(**schema.SEND_MAGIC_LINK)
    def post(self, request: Request) -> Response:
        return self.answer(request)


class SendPasswordResetView(SendKindView):
    scope = "send:password-reset"
    form = inputs.SendPasswordReset
    kind = "password-reset"
    values = ("user_name", "token")

    @schema.described(**schema.SEND_PASSWORD_RESET)
    def post(self, request: Request) -> Response:
        return self.answer(request)


class SendEmailVerificationView(SendKindView):
    scope = "send:email-verification"
    form = inputs.SendEmailVerification
    kind = "email-verification"
    values = ("user_name", "token", "code")

    @schema.described(**schema.SEND_EMAIL_VERIFICATION)
    def post(self, request: Request) -> Response:
        return self.answer(request)


class SendInvitationView(SendKindView):
    scope = "send:invitation"
    form = inputs.SendInvitation
    kind = "invitation"
    values = ("user_name", "inviter_name", "token")

    @schema.described(**schema.SEND_INVITATION)
    def post(self, request: Request) -> Response:
        return self.answer(request)


class SendTemplateView(SendView):
    scope = "send:template"
    form = inputs.SendTemplate

    @schema.described(**schema.SEND_TEMPLATE)
    def post(self, request: Request) -> Response:
        return self.answer(request)

    @sensitive_variables()
    def build(self, given: dict[str, Any]) -> AuthMessage:
        kind, context = given["template"], given["context"]
        if kind not in registry.kinds():
            raise Problem(
                "unknown_template",
                faults=[Fault.at("template", "is no kind of mail of this project")],
                hint=_kinds_hint(kind),
            )
        # What only the body's own members, or nobody outside, may say: recipients, mailers, files.
        refused = [_in_context(n, _misplaced(n)) for n in context if n in _NOT_IN_CONTEXT]
        if refused:
            raise Problem("template_error", faults=refused)
        try:
            return registry.get(kind)().build(given["to"], **context, **_options(given))
        except InvalidContext as error:
            fault = _in_context(error.name, error.problem)
        except (InvalidAddress, UnsafeHeader) as error:
            if error.field not in context:
                raise  # `to` or From
            fault = _in_context(error.field, str(error))
        # Outside of the block above: an exception in the context would keep the values alive.
        raise Problem("template_error", faults=[fault])


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
            attachments=tuple(given.get("attachments", ())),
            **_options(given) | {"metadata": tuple(given.get("metadata", {}).items())},
        )


def _options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that every endpoint takes, as a notifier and a message name them."""
    options: dict[str, Any] = {n: given[n] for n in ("locale", "metadata") if n in given}
    if "expires_in" in given:
        options["expires_in"] = timedelta(seconds=given["expires_in"])
    if "priority" in given:
        options["priority"] = Priority(given["priority"])
    return options


def _misplaced(name: str) -> str:
    return "belongs to the body, beside `context`" if name in _OF_BODY else "is no value of a mail"


def _in_context(name: str, problem: str) -> Fault:
    if not is_harmless_name(name):
        return Fault.at("context", f"has a name that is wrong: {problem}")
    return Fault(f"/context/{name}", problem)


def _kinds_hint(kind: str) -> str | Promise:
    kinds = ", ".join(registry.kinds())
    if near := get_close_matches(kind, registry.kinds(), n=1):
        return format_lazy(
            _("Did you mean `{name}`? The kinds are: {kinds}."), name=near[0], kinds=kinds
        )
    return format_lazy(_("The kinds are: {kinds}."), kinds=kinds)
