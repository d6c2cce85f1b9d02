"""Who is told of what happens to messages, what they are told, and how that went.

A delivery changes its state only through the verbs of `webhooks.deliveries`.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q
from django.db.models.deletion import Collector
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from django_authmail.models.outbox import Message

#: The longest URL that is taken, in characters; as long as S0's.
MAX_URL = 2048


def delete_too(
    collector: Collector,
    field: models.ForeignKey[Any, Any],
    rows: Sequence[models.Model],
    using: str,
) -> None:
    """Do as `models.CASCADE` does, without making the column NULL first.

    That is what Django does on MySQL, and a delivery without an endpoint would be a request's own.
    """
    collector.collect(
        rows, source=field.related_model, source_attr=field.name, fail_on_restricted=False
    )


class WebhookEndpoint(models.Model):
    """A receiver that is told of all messages, or of those of one owner."""

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    url = models.CharField(_("URL"), max_length=MAX_URL)
    description = models.CharField(_("description"), max_length=200, blank=True)
    #: The types that it is told of, such as `email.failed`. Empty: all.
    event_types = models.JSONField(_("events"), default=list, blank=True)
    #: Whose messages it is told of, as in `Message.owner`. Empty: everybody's.
    owner = models.CharField(_("owner"), max_length=64, blank=True)
    #: What signs: a list of secrets, newest first, each with its end, sealed as one value. Two
    #: that are valid both sign, so that a receiver can change from one to the other.
    sealed_secrets = models.BinaryField(editable=False)
    enabled = models.BooleanField(_("enabled"), default=True)
    #: Since when no delivery has succeeded, of those that were tried; NULL: the last one did.
    failing_since = models.DateTimeField(_("failing since"), null=True, editable=False)
    disabled_at = models.DateTimeField(_("disabled"), null=True, editable=False)
    #: Why it was disabled by itself: `gone`, `failing`; empty: by a person.
    disabled_reason = models.CharField(
        _("disabled because"), max_length=48, blank=True, editable=False
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("webhook endpoint")
        verbose_name_plural = _("webhook endpoints")

    def __str__(self) -> str:
        return self.description or self.host

    @property
    def host(self) -> str:
        """Where it is; what follows in the URL may be as secret as a password."""
        return urlsplit(self.url).hostname or ""


class WebhookDelivery(models.Model):
    """One event on its way to one receiver: to an endpoint, or where a request said."""

    class State(models.TextChoices):
        # Waiting for its due time.
        PENDING = "pending", pgettext_lazy("webhook", "waiting")
        # A courier has it, until the end of its lease.
        SENDING = "sending", pgettext_lazy("webhook", "sending")
        # The receiver said 2xx.
        DELIVERED = "delivered", pgettext_lazy("webhook", "delivered")
        # Given up.
        FAILED = "failed", pgettext_lazy("webhook", "failed")

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    #: NULL: where the request of its message said. No constraint of the database: an endpoint that
    #: is deleted at this moment must not keep a mail from being settled.
    endpoint = models.ForeignKey(
        WebhookEndpoint,
        delete_too,
        db_constraint=False,
        verbose_name=_("endpoint"),
        related_name="deliveries",
        null=True,
    )
    #: NULL: a test event, which is about none.
    message = models.ForeignKey(
        Message, models.CASCADE, verbose_name=_("message"), related_name="webhooks", null=True
    )
    type = models.CharField(_("event"), max_length=40)
    #: Of its URL: to a host few are under way at a time, whatever the number of endpoints there.
    host = models.CharField(_("host"), max_length=255)
    #: URL and secret of a request's own webhook, sealed as one value; NULL when final.
    sealed_target = models.BinaryField(null=True, editable=False)
    #: What is posted, sealed. An endpoint's is kept, so that it can be sent again; a request's own
    #: has addresses in it, and goes when final.
    sealed_payload = models.BinaryField(null=True, editable=False)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PENDING)
    #: Token of the courier that has it; NULL unless sending.
    lease = models.UUIDField(null=True, editable=False)
    #: Which of the places that its host has it takes up, from 0; NULL unless sending.
    place = models.PositiveSmallIntegerField(null=True, editable=False)
    #: Pending: the time to send; sending: the end of the lease; NULL when final.
    due_at = models.DateTimeField(_("due"), null=True)
    attempt_count = models.PositiveSmallIntegerField(pgettext_lazy("count", "attempts"), default=0)
    #: Of them, those since it was queued, or queued again: they say how long to wait.
    round_count = models.PositiveSmallIntegerField(default=0, editable=False)
    #: Of the last attempt.
    status_code = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    reason = models.CharField(_("reason"), max_length=48, blank=True)
    request_id = models.CharField(_("request"), max_length=128, blank=True)
    traceparent = models.CharField(max_length=55, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), db_index=True)
    settled_at = models.DateTimeField(_("settled"), null=True)

    class Meta:
        verbose_name = _("webhook delivery")
        verbose_name_plural = _("webhook deliveries")
        indexes = [
            # What couriers read: what is final has no due time.
            # The state in it is for the gauges, which count them without reading a row.
            models.Index(fields=["due_at", "host", "state"], name="authmail_webhook_due"),
            # What was never tried, past what was: after an outage that may be all that is due.
            models.Index(fields=["attempt_count", "due_at"], name="authmail_webhook_untried"),
        ]
        constraints = [
            models.CheckConstraint(
                name="authmail_webhook_open_is_due",
                condition=(
                    Q(
                        Q(endpoint__isnull=True, sealed_target__isnull=False)
                        | Q(endpoint__isnull=False, sealed_target__isnull=True),
                        state__in=("pending", "sending"),
                        due_at__isnull=False,
                        sealed_payload__isnull=False,
                    )
                    | Q(
                        Q(endpoint__isnull=False) | Q(sealed_payload__isnull=True),
                        state__in=("delivered", "failed"),
                        due_at__isnull=True,
                        sealed_target__isnull=True,
                    )
                ),
            ),
            models.CheckConstraint(
                name="authmail_webhook_sending_has_lease",
                condition=(
                    Q(state="sending", lease__isnull=False, place__isnull=False)
                    | (~Q(state="sending") & Q(lease__isnull=True, place__isnull=True))
                ),
            ),
            # Over all processes: no more are under way to a host than it has places.
            models.UniqueConstraint(fields=["host", "place"], name="authmail_webhook_place"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.host} {self.state}"

    @property
    def is_final(self) -> bool:
        """Whether nothing is sent any more, unless somebody wants it to be sent again."""
        return self.due_at is None


class WebhookAttempt(models.Model):
    """One request to a receiver."""

    delivery = models.ForeignKey(WebhookDelivery, models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField(_("number"))
    started_at = models.DateTimeField(_("started"), db_index=True)
    duration_ms = models.PositiveIntegerField(_("milliseconds"))
    #: NULL: there was no answer.
    status_code = models.PositiveSmallIntegerField(_("HTTP status"), null=True)
    #: `ok`, or why it was no success.
    reason = models.CharField(_("reason"), max_length=48)

    class Meta:
        verbose_name = _("webhook attempt")
        verbose_name_plural = _("webhook attempts")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                fields=["delivery", "number"], name="authmail_webhook_attempt_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.reason}"
