"""The rows: what the outbox records about messages, recipients and attempts, and the API's keys.

No behaviour here. A message changes its state only through the verbs of `outbox.queue`.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class State(models.TextChoices):
    """Where a message is in its life (drawn in `outbox.queue`)."""

    # Waiting for its due time.
    QUEUED = "queued", _("queued")
    # A worker has it, until the end of its lease.
    SENDING = "sending", _("sending")
    # The next mail server took responsibility for every recipient.
    ACCEPTED = "accepted", _("accepted")
    # It did for some, and refused the others for good.
    PARTIALLY_ACCEPTED = "partially_accepted", _("partially accepted")
    # Refused, or given up.
    FAILED = "failed", _("failed")
    # Too old to be of use before a server took it.
    EXPIRED = "expired", _("expired")
    # The server may have taken it; nobody can say.
    UNKNOWN = "unknown", _("unknown")


OPEN_STATES = (State.QUEUED, State.SENDING)


class Message(models.Model):
    """One mail and what became of it. Its content is sealed while open, and gone when final."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(_("state"), max_length=24, choices=State)
    kind = models.CharField(_("kind"), max_length=64)
    locale = models.CharField(_("language"), max_length=16, blank=True)
    message_id = models.CharField(_("Message-ID"), max_length=255)
    #: Whose message it is: `site`, `setting` (AUTHMAIL_API_KEY) or `key:<uuid>`.
    owner = models.CharField(_("owner"), max_length=64)
    request_id = models.CharField(_("request"), max_length=128, blank=True)
    masked_recipient = models.CharField(_("recipient"), max_length=320)
    recipient_count = models.PositiveIntegerField(pgettext_lazy("count", "recipients"))
    size = models.PositiveIntegerField(_("size in bytes"))
    #: Row id, envelope and MIME bytes, sealed as one value; NULL when final.
    sealed = models.BinaryField(null=True, editable=False)
    #: When the row needs a worker: queued, the time to send; sending, the end of its lease;
    #: NULL when final. The only index that the queue reads.
    due_at = models.DateTimeField(_("due"), null=True, db_index=True)
    #: Token of the worker that has it; NULL unless sending.
    lease = models.UUIDField(null=True, editable=False)
    expires_at = models.DateTimeField(_("valid until"), null=True)
    on_unknown = models.CharField(max_length=8)
    #: Times it was sent again after an unknown outcome.
    resend_count = models.PositiveSmallIntegerField(_("resent"), default=0)
    attempt_count = models.PositiveSmallIntegerField(pgettext_lazy("count", "attempts"), default=0)
    error_code = models.CharField(_("error code"), max_length=32, blank=True)
    reason = models.CharField(_("reason"), max_length=48, blank=True)
    #: What the server said after its final 250: the queue id that its support asks for.
    provider_id = models.CharField(_("server's answer"), max_length=255, blank=True)
    created_at = models.DateTimeField(_("created"), db_index=True)
    accepted_at = models.DateTimeField(pgettext_lazy("time", "accepted"), null=True)
    settled_at = models.DateTimeField(_("settled"), null=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [
            models.CheckConstraint(
                name="authmail_message_open_has_body",
                condition=(
                    Q(state__in=OPEN_STATES, sealed__isnull=False, due_at__isnull=False)
                    | (~Q(state__in=OPEN_STATES) & Q(sealed__isnull=True, due_at__isnull=True))
                ),
            ),
            models.CheckConstraint(
                name="authmail_message_sending_has_lease",
                condition=(
                    Q(state=State.SENDING, lease__isnull=False)
                    | (~Q(state=State.SENDING) & Q(lease__isnull=True))
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.masked_recipient} {self.state}"

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state not in OPEN_STATES


class Recipient(models.Model):
    """One address of a message, and the server's word on it."""

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")
        # The message ended otherwise: expired, given up, or with an unknown outcome.
        UNSENT = "unsent", _("not sent")
        UNKNOWN = "unknown", _("unknown")

    message = models.ForeignKey(Message, models.CASCADE, related_name="recipients")
    position = models.PositiveIntegerField()
    masked = models.CharField(_("recipient"), max_length=320)
    address_hash = models.CharField(max_length=64, db_index=True)
    folded_hash = models.CharField(max_length=64)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.PENDING)
    error_code = models.CharField(_("error code"), max_length=32, blank=True)
    reason = models.CharField(_("reason"), max_length=48, blank=True)
    reply_code = models.PositiveSmallIntegerField(_("SMTP code"), null=True)
    reply_enhanced = models.CharField(_("enhanced code"), max_length=12, blank=True)
    reply_text = models.CharField(_("server's reply"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("recipient")
        verbose_name_plural = _("recipients")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["message", "position"], name="authmail_recipient_position"
            )
        ]

    def __str__(self) -> str:
        return f"{self.masked} {self.state}"


class Attempt(models.Model):
    """One hand-over of a message to a mail server."""

    class Result(models.TextChoices):
        ACCEPTED = "accepted", _("accepted")
        # Some recipients or all are still pending.
        DEFERRED = "deferred", _("deferred")
        FAILED = "failed", _("failed")
        UNKNOWN = "unknown", _("unknown")

    message = models.ForeignKey(Message, models.CASCADE, related_name="attempts")
    number = models.PositiveSmallIntegerField(_("number"))
    started_at = models.DateTimeField(_("started"))
    duration_ms = models.PositiveIntegerField(_("milliseconds"))
    carrier = models.CharField(_("carrier"), max_length=64)
    result = models.CharField(_("result"), max_length=16, choices=Result.choices)
    error_code = models.CharField(_("error code"), max_length=32, blank=True)
    reason = models.CharField(_("reason"), max_length=48, blank=True)
    reply_code = models.PositiveSmallIntegerField(_("SMTP code"), null=True)
    reply_enhanced = models.CharField(_("enhanced code"), max_length=12, blank=True)
    reply_text = models.CharField(_("server's reply"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("attempt")
        verbose_name_plural = _("attempts")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["message", "number"], name="authmail_attempt_number")
        ]

    def __str__(self) -> str:
        return f"{self.number}: {self.result}"


class ApiKey(models.Model):
    """A key of the HTTP API. The key itself is shown once, when it is made, and not kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    #: The first characters of the key: how people tell keys apart.
    prefix = models.CharField(_("begins with"), max_length=24)
    #: SHA-256 of the key, in hex. Keys are random, so a slow hash would only cost every request.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(_("scopes"), default=list)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
