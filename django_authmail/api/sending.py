"""What every endpoint that sends does with a request; `kinds` has the endpoints."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any, ClassVar

from django.utils import translation
from django.views.decorators.debug import sensitive_variables
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer

from django_authmail import dispatch, outbox
from django_authmail.api import body, headers, inputs, outputs, problems, repeats
from django_authmail.api.callbacks import callback_of
from django_authmail.api.problems import Fault, Problem
from django_authmail.api.rates import RateLimitedView
from django_authmail.conf import conf
from django_authmail.exceptions import (
    InvalidAddress,
    InvalidContext,
    MailerUnavailable,
    NoLinkBaseURL,
    RecipientCooldown,
    RecipientSuppressed,
    UnsafeHeader,
)
from django_authmail.guards import envelope_address
from django_authmail.hashes import log_hash
from django_authmail.message import AuthMessage
from django_authmail.models import Message, State
from django_authmail.outbox import idempotency, suppression
from django_authmail.outbox.idempotency import Answer, Entry, KeyedRequest
from django_authmail.outbox.intake import Intake


class SendView(RateLimitedView):
    """Base of the endpoints that send: read, check, build, hand over."""

    form: ClassVar[type[Serializer[Any]]]
    #: The answer where the mail has a link and the project no base for it.
    no_base_url: ClassVar[str] = "link_base_url_not_configured"

    def build(self, given: dict[str, Any]) -> AuthMessage:
        """Return the mail for the members of a checked body."""
        raise NotImplementedError

    @sensitive_variables()
    def answer(self, request: Request) -> Response:
        key = headers.idempotency_key(request)
        given, keyed = self._read(request, key)
        self.to_hash = _hashes(given)
        if headers.dry_run(request):
            self._refuse_suppressed(self._checked_message(given), given)
            callback_of(given)
            return Response(outputs.DRY_RUN)
        if keyed is None:
            if key is not None and headers.is_strict(request):
                # It relies on the key: its repeat would be a second mail.
                raise Problem("idempotency_unavailable", "Nothing was sent.")
            return self._response(self._send(given))
        answer = repeats.answer_once(
            keyed,
            run=lambda entry: self._send(given, entry),
            replay=lambda row, answer: self._replayed(given, row, answer),
            until=self.begun + conf.sync_deadline.total_seconds(),
        )
        return self._response(answer)

    @sensitive_variables()
    def _read(
        self, request: Request, key: str | None
    ) -> tuple[dict[str, Any], KeyedRequest | None]:
        """Return the checked body; and what a repeat is known by, where that is asked for."""
        members = body.read_json(request._request)
        given = inputs.checked(self.form, members)
        if key is None or not conf.idempotency_ttl_seconds:
            return given, None
        owner = self.caller.owner
        try:
            return given, idempotency.keyed_request(
                owner=owner, method="POST", path=request.path, key=key, body=members
            )
        except RecursionError:
            detail = "The body has a nesting that is too large."
        # Outside of the block above: an exception in the context would keep the values alive.
        raise Problem("malformed_json", detail)

    @sensitive_variables()
    def _send(self, given: dict[str, Any], entry: Entry | None = None) -> Answer:
        message = self._checked_message(given)
        if entry is not None:
            message = entry.same_message_id(message)
        callback = callback_of(given)
        intake = Intake(entry=entry, callback=callback)
        try:
            if callback is not None or headers.respond_async(self.request):
                return self._queue(message, intake)
            return self._send_now(message, intake)
        except RecipientSuppressed as error:
            problem = self._suppressed(error, given)
        except RecipientCooldown as error:
            problem = Problem(error.code, retry_after=float(error.retry_after))
        except MailerUnavailable as error:
            problem = Problem(error.code, "Nothing was sent.", retry_after=error.retry_after)
        # Outside of the blocks above: an exception in the context would keep the values alive.
        raise problem

    @sensitive_variables()
    def _queue(self, message: AuthMessage, intake: Intake) -> Answer:
        def queued(row: Message) -> Answer:
            fields = {"Location": self.link("message", message_id=row.pk)} | headers.applied(
                self.request
            )
            return Answer(status=202, body=outputs.queued(row), headers=fields)

        if intake.entry is not None:
            intake.entry.answer = queued
        row = outbox.submit(
            message,
            owner=self.caller.owner,
            request_id=self.request_id,
            is_test=self.caller.is_test,
            intake=intake,
        )
        return queued(row)

    @sensitive_variables()
    def _send_now(self, message: AuthMessage, intake: Intake) -> Answer:
        row = dispatch.send_now(
            message,
            owner=self.caller.owner,
            request_id=self.request_id,
            since=self.begun,
            is_test=self.caller.is_test,
            intake=intake,
        )
        answer = self._outcome(row, message)
        # The answer to one that some got has addresses, which are kept nowhere: it is made anew.
        if intake.entry is not None and row.is_final and row.state != State.PARTIALLY_ACCEPTED:
            intake.entry.remember(answer)
        if answer.status != 200:
            raise outputs.not_sent(row)
        return answer

    @sensitive_variables()
    def _replayed(self, given: dict[str, Any], row: Message, answer: Answer | None) -> Answer:
        problems.log(logging.INFO, "api.replayed", id=row.pk, request_id=self.request_id)
        if answer is None:
            answer = self._outcome(row, self._message(given))
        return replace(answer, headers={**answer.headers, "Idempotent-Replayed": "true"})

    @sensitive_variables()
    def _outcome(self, row: Message, message: AuthMessage) -> Answer:
        try:
            return Answer(status=200, body=outputs.sent(row, message))
        except Problem as problem:
            body = problems.body_of(problem, self.request, row.request_id)
            return Answer(status=problem.status, body=body)

    def _response(self, answer: Answer) -> Response:
        if answer.status >= 400:
            return problems.response(answer.body, status=answer.status, headers=answer.headers)
        return Response(answer.body, status=answer.status, headers=answer.headers)

    @sensitive_variables()
    def _checked_message(self, given: dict[str, Any]) -> AuthMessage:
        message = self._message(given)
        self._refuse_not_allowed(message, given)
        return message

    @sensitive_variables()
    def _refuse_not_allowed(self, message: AuthMessage, given: dict[str, Any]) -> None:
        refused = [a for a in message.envelope.recipients if not self.caller.may_send_to(a)]
        if refused:
            faults = _faults(given, refused, "is a recipient that the key may not send to")
            raise Problem("recipient_not_allowed", faults=faults)

    @sensitive_variables()
    def _refuse_suppressed(self, message: AuthMessage, given: dict[str, Any]) -> None:
        try:
            suppression.refuse(message.envelope.recipients, owner=self.caller.owner)
        except RecipientSuppressed as error:
            problem = self._suppressed(error, given)
        else:
            return
        # Outside of the block above: an exception in the context would keep the values alive.
        raise problem

    @sensitive_variables()
    def _suppressed(self, error: RecipientSuppressed, given: dict[str, Any]) -> Problem:
        faults = _faults(given, error.addresses, "is an address that nothing is sent to")
        return Problem("recipient_suppressed", faults=faults)

    @sensitive_variables()
    def _message(self, given: dict[str, Any]) -> AuthMessage:
        try:
            # Without `locale`, the project's language: Accept-Language is the calling service's,
            # not the recipient's, and must not decide by way of a LocaleMiddleware.
            with translation.override(conf.language_code):
                return self.build(given)
        except NoLinkBaseURL:
            raise Problem(self.no_base_url) from None
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


@sensitive_variables()
def _addresses(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the recipients in a checked body, each with the JSON pointer to it."""
    for member in ("to", "cc", "bcc"):
        value = given.get(member, ())
        if isinstance(value, str):
            yield f"/{member}", value
        else:
            yield from ((f"/{member}/{index}", address) for index, address in enumerate(value))


@sensitive_variables()
def _faults(given: dict[str, Any], refused: Collection[str], problem: str) -> list[Fault]:
    """Return the fault of each recipient in a checked body whose envelope address is `refused`."""
    return [
        Fault(pointer, problem)
        for pointer, address in _addresses(given)
        if envelope_address(address, "to") in refused
    ]


@sensitive_variables()
def _hashes(given: dict[str, Any]) -> str:
    """Return what log lines show instead of the recipients: 50 at most, as the body has."""
    found = (log_hash(envelope_address(address, "to")) for _, address in _addresses(given))
    return ",".join(dict.fromkeys(found))
