"""What the endpoints answer with."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.db import router
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from rest_framework import ISO_8601, serializers

from django_authmail import hints
from django_authmail.api.codes import KINDS
from django_authmail.api.problems import Problem
from django_authmail.api.readiness import Finding
from django_authmail.message import AuthMessage, Priority
from django_authmail.models import Attempt, Message, Recipient, State, WebhookDelivery
from django_authmail.models import Priority as StoredPriority
from django_authmail.outcomes import Reason
from django_authmail.webhooks import events
from django_authmail.webhooks.deliveries import webhook_id

_IN_DOUBT = "Nobody knows whether the mail server took the mail."
_NOT_HANDED_OVER = "The mail was not handed over, and will not be for this request."
_ASK_LATER = _("Do not send it again; ask GET /messages/{id} for the outcome.")

#: S0's answer to the letter.
DRY_RUN = {"sent": False, "dry_run": True, "message": "Email payload is valid"}


def sent(row: Message, message: AuthMessage) -> dict[str, Any]:
    """Return the answer to a message that was handed over while the caller waited.

    Raises:
        Problem: no recipient was accepted (502).
    """
    if row.state not in (State.ACCEPTED, State.PARTIALLY_ACCEPTED):
        raise not_sent(row)
    return {
        "sent": True,
        "state": row.state,
        "id": str(row.pk),
        "message_id": row.message_id,
        "provider_id": row.provider_id,
        "refused": _refused(row, message),
        **_test_mark(row),
    }


def not_sent(row: Message) -> Problem:
    """Return the problem for a message that no server is known to have taken responsibility for."""
    code = row.error_code or "unknown"
    if not row.is_final:
        detail = "The mail is still being handed over; whether the mail server takes it is open."
        hint: str | Promise | None = _ASK_LATER
    else:
        detail = _IN_DOUBT if _is_doubtful(row) else _NOT_HANDED_OVER
        hint = hints.hint_for_caller(row.reason) or None
    return Problem(
        code,
        detail,
        status=502,
        retryable=is_retryable(row),
        hint=hint,
        members={
            "error_code": code,
            "reason": row.reason,
            "id": str(row.pk),
            "message_id": row.message_id,
        },
    )


def is_retryable(row: Message) -> bool:
    """Tell whether a repeat makes sense: the server surely has nothing, and the content is good."""
    kind = KINDS[row.error_code or "unknown"]
    return row.state == State.FAILED and not _is_doubtful(row) and kind.retryable


def queued(row: Message) -> dict[str, Any]:
    """Return the answer to a message that will be handed over in the background."""
    return {
        "sent": False,
        "status": "accepted",  # S0's word for "taken on"; `state` says what it is
        "state": State.QUEUED,
        "id": str(row.pk),
        "message_id": row.message_id,
        **_test_mark(row),
    }


def finding(found: Finding, *, in_detail: bool) -> dict[str, Any]:
    """Return what a check found, as an answer shows it."""
    entry: dict[str, Any] = {"check": found.check, "status": "ok" if found.ok else "failing"}
    if in_detail:
        entry["duration_ms"] = found.duration_ms
        if not found.ok:
            entry["detail"] = found.problem
    return entry


def _test_mark(row: Message) -> dict[str, bool]:
    return {"test": True} if row.is_test else {}


def _is_doubtful(row: Message) -> bool:
    # Not only by its state: where an earlier hand-over ended in doubt, no later answer says that
    # the server did not take it.
    return (
        row.state == State.UNKNOWN or row.reason == Reason.OUTCOME_UNKNOWN or row.resend_count > 0
    )


def _refused(row: Message, message: AuthMessage) -> list[dict[str, Any]]:
    if row.state == State.ACCEPTED:
        return []
    # The row has masked addresses only; the caller gets back the ones that it sent.
    addresses = message.envelope.recipients
    recipients = Recipient.objects.using(router.db_for_write(Message)).filter(message=row)
    return [
        {
            "address": addresses[recipient.position],
            "smtp_code": recipient.reply_code,
            "enhanced_code": recipient.reply_enhanced or None,
            "error_code": recipient.error_code or "unknown",
            "reason": recipient.reason or "unknown",
        }
        for recipient in recipients.exclude(state=Recipient.State.ACCEPTED)
    ]


class _Word(serializers.CharField):
    """A string that is null where the row has an empty one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_null=True, **options)

    def to_representation(self, value: Any) -> Any:
        return str(value) or None


class _Time(serializers.DateTimeField):
    """ISO 8601 in UTC, whatever the project's time zone and format are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(format=ISO_8601, default_timezone=UTC, **options)


def _test_field() -> serializers.BooleanField:
    return serializers.BooleanField(
        required=False,
        help_text="`true` where the key is for tests: nothing was or will be sent. Absent "
        "otherwise.",
    )


class RefusedRecipient(serializers.Serializer[Any]):
    """A recipient that no server took the mail for: refused for good, or only for now."""

    address = serializers.CharField()
    smtp_code = serializers.IntegerField(allow_null=True)
    enhanced_code = serializers.CharField(allow_null=True)
    error_code = serializers.CharField()
    reason = serializers.CharField()


class SentAnswer(serializers.Serializer[Any]):
    sent = serializers.BooleanField(help_text="Whether the next mail server took responsibility.")
    state = serializers.ChoiceField(["accepted", "partially_accepted"])
    id = serializers.UUIDField()
    message_id = serializers.CharField(help_text="The Message-ID header of the mail.")
    provider_id = serializers.CharField(
        allow_blank=True, help_text="What the mail server said after its 250."
    )
    refused = RefusedRecipient(many=True)
    test = _test_field()


class DryRunAnswer(serializers.Serializer[Any]):
    sent = serializers.BooleanField(default=False)
    dry_run = serializers.BooleanField(default=True)
    message = serializers.CharField()


class QueuedAnswer(serializers.Serializer[Any]):
    sent = serializers.BooleanField(default=False)
    status = serializers.ChoiceField(
        ["accepted"],
        help_text="hwan-email-service's word for a request that was taken on. What becomes of the "
        "mail is `state`.",
    )
    state = serializers.ChoiceField(["queued"])
    id = serializers.UUIDField()
    message_id = serializers.CharField()
    test = _test_field()


class RecipientAnswer(serializers.ModelSerializer[Recipient]):
    recipient = serializers.CharField(source="masked", help_text="The masked address.")
    error_code = _Word()
    reason = _Word()
    smtp_code = serializers.IntegerField(source="reply_code", allow_null=True)
    enhanced_code = _Word(source="reply_enhanced")
    reply = _Word(source="reply_text", help_text="What the server said; addresses are masked.")

    class Meta:
        model = Recipient
        fields = (
            "recipient", "state", "error_code", "reason", "smtp_code", "enhanced_code", "reply",
        )  # fmt: skip


class AttemptAnswer(serializers.ModelSerializer[Attempt]):
    # Not the columns' own: how large they can be depends on the database.
    number = serializers.IntegerField(min_value=1)
    started_at = _Time()
    duration_ms = serializers.IntegerField(min_value=0)
    error_code = _Word()
    reason = _Word()
    smtp_code = serializers.IntegerField(source="reply_code", allow_null=True)
    enhanced_code = _Word(source="reply_enhanced")
    reply = _Word(source="reply_text")

    class Meta:
        model = Attempt
        fields = (
            "number", "started_at", "duration_ms", "result", "error_code", "reason", "smtp_code",
            "enhanced_code", "reply",
        )  # fmt: skip


class WebhookAnswer(serializers.ModelSerializer[WebhookDelivery]):
    """A webhook about the message: whether its receiver has it. Of its URL, the host alone."""

    webhook_id = serializers.SerializerMethodField(help_text="As its receiver sees it.")
    type = serializers.ChoiceField(events.MESSAGE_TYPES)
    # Blank where the URL of a request could not be opened any more.
    host = serializers.CharField(allow_blank=True)
    endpoint = serializers.UUIDField(
        source="endpoint_id",
        allow_null=True,
        help_text="The endpoint that is told; null: the `webhook_url` of the request.",
    )
    attempts = serializers.IntegerField(source="attempt_count", min_value=0)
    status_code = serializers.IntegerField(
        allow_null=True, help_text="Of the last attempt; null where there was no answer."
    )
    reason = _Word(
        help_text="Why it did not arrive, the last time or at all; `ok` where it did; null before."
    )
    created_at = _Time()
    settled_at = _Time(allow_null=True)

    class Meta:
        model = WebhookDelivery
        fields = (
            "webhook_id", "type", "host", "endpoint", "state", "attempts", "status_code", "reason",
            "created_at", "settled_at",
        )  # fmt: skip

    def get_webhook_id(self, row: WebhookDelivery) -> str:
        return webhook_id(row.pk)


class _Priority(serializers.ChoiceField):
    """The word of the contract for the number of the row."""

    def __init__(self, **options: Any) -> None:
        super().__init__([word.value for word in Priority], **options)

    def to_representation(self, value: Any) -> str:
        return StoredPriority(value).name.lower()


class MessageAnswer(serializers.ModelSerializer[Message]):
    """A message as its owner may see it: no content, no full address."""

    locale = _Word()
    error_code = _Word()
    reason = _Word()
    provider_id = _Word()
    request_id = _Word()
    priority = _Priority()
    metadata = serializers.DictField(child=serializers.CharField(allow_blank=True))
    created_at = _Time()
    accepted_at = _Time(allow_null=True)
    settled_at = _Time(allow_null=True)
    expires_at = _Time(allow_null=True)
    test = serializers.BooleanField(source="is_test", help_text="Whether a key for tests sent it.")
    retry_of = serializers.UUIDField(
        source="retry_of_id",
        allow_null=True,
        help_text="The failed message that this takes up again, as a repeat with the same "
        "Idempotency-Key does.",
    )
    recipients = RecipientAnswer(many=True)
    attempts = AttemptAnswer(many=True)
    webhooks = WebhookAnswer(
        many=True,
        help_text="The one of its request, and those to endpoints of the same key, oldest first.",
    )

    class Meta:
        model = Message
        fields = (
            "id", "state", "kind", "locale", "message_id", "provider_id", "error_code", "reason",
            "request_id", "priority", "metadata", "created_at", "accepted_at", "settled_at",
            "expires_at", "test", "retry_of", "recipients", "attempts", "webhooks",
        )  # fmt: skip


# Labels, because drf-spectacular tells two sets of choices apart by these: one set in two answers
# would be a warning in the description that a project makes of its own API, with this one in it.
class HealthAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField([("ok", "It runs")])


class CheckAnswer(serializers.Serializer[Any]):
    """What one part of the service said; `duration_ms` and `detail` only for callers with a key."""

    check = serializers.ChoiceField(["database", "migrations", "cache", "broker"])
    status = serializers.ChoiceField(["ok", "failing"])
    duration_ms = serializers.IntegerField(required=False)
    detail = serializers.CharField(required=False)


class ReadyAnswer(serializers.Serializer[Any]):
    status = serializers.ChoiceField([("ok", "It can work")])
    checks = CheckAnswer(many=True, required=False, help_text="Only for callers with a key.")


class FaultAnswer(serializers.Serializer[Any]):
    pointer = serializers.CharField(
        allow_blank=True, help_text="JSON pointer (RFC 6901); empty for the whole body."
    )
    detail = serializers.CharField()


class ProblemAnswer(serializers.Serializer[Any]):
    """application/problem+json (RFC 9457)."""

    type = serializers.CharField(help_text="Address of the page that describes the code.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    code = serializers.ChoiceField(list(KINDS))
    request_id = serializers.CharField()
    retryable = serializers.BooleanField(
        help_text="Whether the same request may succeed later, without any change."
    )
    hint = serializers.CharField(help_text="What to do, in the language of Accept-Language.")
    retry_after = serializers.IntegerField(
        required=False, help_text="Seconds, as in the header `Retry-After`."
    )
    errors = FaultAnswer(  # type: ignore[assignment] # a field of this name replaces the property
        many=True, required=False
    )


class NotSentAnswer(ProblemAnswer):
    error_code = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    id = serializers.UUIDField()
    message_id = serializers.CharField()


class NotReadyAnswer(ProblemAnswer):
    checks = CheckAnswer(many=True, help_text="Those that fail; with a key, all of them.")
