"""What the outbox records about messages, recipients and attempts.

A message changes its state only through the verbs of `outbox.queue`.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
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
    # The server may have taken it; nobody can say, and a person is to decide.
    HELD = "held", _("held")
    # A newer one of its kind took its place while it was queued.
    SUPERSEDED = "superseded", _("superseded")
    # The server may have taken it; nobody can say.
    UNKNOWN = "unknown", _("unknown")


#: What happens to these is not over: their body is there, sealed.
OPEN_STATES = (State.QUEUED, State.SENDING, State.HELD)


class Priority(models.IntegerChoices):
    """What is handed over first. Numbers, so that an index has them in order."""

    HIGH = 0, _("high")
    LOW = 1, _("low")


class Message(models.Model):
    """One mail and what became of it. Its content is sealed while open, and gone when final."""

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(_("state"), max_length=24, choices=State)
    kind = models.CharField(_("kind"), max_length=64)
    locale = models.CharField(_("language"), max_length=16, blank=True)
    message_id = models.CharField(_("Message-ID"), max_length=255)
    #: Whose message it is: `site`, `setting` (AUTHMAIL_API_KEY) or `key:<uuid>`.
    owner = models.CharField(_("owner"), max_length=64)
    request_id = models.CharField(_("request"), max_length=128, blank=True)
    #: Of a test key: everything happens to it but the hand-over to a mail server.
    is_test = models.BooleanField(_("test"), default=False)
    #: W3C Trace Context of the request, where it had one.
    traceparent = models.CharField(max_length=55, blank=True, editable=False)
    #: What the caller wanted to be kept with it, by name: short strings, never in the mail.
    metadata = models.JSONField(_("metadata"), default=dict)
    masked_recipient = models.CharField(_("recipient"), max_length=320)
    recipient_count = models.PositiveIntegerField(pgettext_lazy("count", "recipients"))
    size = models.PositiveIntegerField(_("size in bytes"))
    #: Row id, envelope and MIME bytes, sealed as one value; NULL when final.
    sealed = models.BinaryField(null=True, editable=False)
    #: Where its request wants the outcome to be sent to, with what signs it and the recipients'
    #: addresses, sealed as one value; NULL without such a request, and when final.
    webhook = models.BinaryField(null=True, editable=False)
    priority = models.PositiveSmallIntegerField(
        _("priority"), choices=Priority, default=Priority.HIGH
    )
    #: When the row needs a worker: queued, the time to send; sending, the end of its lease; held,
    #: when nobody has decided in time; NULL when final.
    due_at = models.DateTimeField(_("due"), null=True)
    #: Keyed hash of owner, kind, recipient and the caller's own key: what a newer message of the
    #: same hash takes the place of. Empty when final, and for kinds that nothing supersedes.
    supersede_hash = models.CharField(max_length=64, blank=True, editable=False)
    #: Names of the carriers that it may leave by, in their order; empty: AUTHMAIL_DELIVER_USING.
    deliver_using = models.JSONField(default=list, editable=False)
    #: The one of them that it is being handed over by, where that is not the first. A message whose
    #: outcome is unknown leaves by this one and no other.
    carrier = models.CharField(_("mailer"), max_length=64, blank=True)
    #: Token of the worker that has it; NULL unless sending.
    lease = models.UUIDField(null=True, editable=False)
    expires_at = models.DateTimeField(_("valid until"), null=True)
    on_unknown = models.CharField(max_length=8)
    #: Times it was sent again after an unknown outcome.
    resend_count = models.PositiveSmallIntegerField(_("resent"), default=0)
    #: The failed one that this takes up again, under its Message-ID: a caller repeated a request.
    retry_of = models.ForeignKey(
        "self",
        models.SET_NULL,
        verbose_name=_("retry of"),
        related_name="retries",
        null=True,
        editable=False,
    )
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
        indexes = [
            # The only one that the queue reads: what is final has no due time.
            models.Index(fields=["priority", "due_at"], name="authmail_message_due"),
            # Not db_index: PostgreSQL would get a second one, for LIKE, that each write pays for.
            models.Index(fields=["supersede_hash"], name="authmail_message_supersede"),
        ]
        constraints = [
            models.CheckConstraint(
                name="authmail_message_open_has_body",
                condition=(
                    Q(state__in=OPEN_STATES, sealed__isnull=False, due_at__isnull=False)
                    | (
                        ~Q(state__in=OPEN_STATES)
                        & Q(sealed__isnull=True, due_at__isnull=True, webhook__isnull=True)
                    )
                ),
            ),
            models.CheckConstraint(
                name="authmail_message_final_is_settled",
                condition=(
                    Q(state__in=OPEN_STATES, settled_at__isnull=True)
                    | (~Q(state__in=OPEN_STATES) & Q(settled_at__isnull=False, supersede_hash=""))
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

    # Without an index of its own: that of the constraint begins with it.
    message = models.ForeignKey(Message, models.CASCADE, related_name="recipients", db_index=False)
    position = models.PositiveIntegerField()
    masked = models.CharField(_("recipient"), max_length=320)
    #: The whole address; empty unless AUTHMAIL_STORE_ADDRESSES.
    address = models.CharField(_("address"), max_length=320, blank=True)
    address_hash = models.CharField(max_length=64)
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
        indexes = [models.Index(fields=["address_hash"], name="authmail_recipient_address")]
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

    message = models.ForeignKey(Message, models.CASCADE, related_name="attempts", db_index=False)
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


class Carrier(models.Model):
    """What every process knows of one carrier: whether it is paused, or its breaker open."""

    #: The mailer's name in MAILERS; empty: all of them, which only a pause uses.
    name = models.CharField(_("mailer"), max_length=64, primary_key=True)
    paused_at = models.DateTimeField(_("paused"), null=True)
    #: Failures of connection or login in a row; a success makes it 0.
    failure_count = models.PositiveIntegerField(_("failures in a row"), default=0)
    #: Until then nothing is handed to it; in the past: one message tries.
    broken_until = models.DateTimeField(_("breaker open until"), null=True)
    reason = models.CharField(_("reason"), max_length=48, blank=True)

    class Meta:
        verbose_name = _("carrier")
        verbose_name_plural = _("carriers")

    def __str__(self) -> str:
        return self.name or "*"


class Counter(models.Model):
    """How much of something was used since its window began: quotas, limits for recipients."""

    #: What is counted, such as `quota:gmail:day`. An address is in it as its hash.
    key = models.CharField(max_length=200, primary_key=True)
    used = models.PositiveIntegerField(_("used"))
    #: The window begins with the first use; after its end the row counts from 0 again.
    ends_at = models.DateTimeField(_("ends"), db_index=True)

    class Meta:
        verbose_name = _("counter")
        verbose_name_plural = _("counters")

    def __str__(self) -> str:
        return self.key


class Suppression(models.Model):
    """An address that a server called dead: one owner's, so that no other learns of it."""

    owner = models.CharField(_("owner"), max_length=64)
    address_hash = models.CharField(max_length=64, db_index=True)
    masked = models.CharField(_("recipient"), max_length=320)
    #: The whole address; empty unless AUTHMAIL_STORE_ADDRESSES.
    address = models.CharField(_("address"), max_length=320, blank=True)
    reason = models.CharField(_("reason"), max_length=48)
    created_at = models.DateTimeField(_("created"))
    ends_at = models.DateTimeField(_("ends"), db_index=True)

    class Meta:
        verbose_name = _("suppressed address")
        verbose_name_plural = _("suppressed addresses")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "address_hash"], name="authmail_suppression_of_owner"
            )
        ]

    def __str__(self) -> str:
        return f"{self.masked} {self.reason}"


class IdempotencyRecord(models.Model):
    """A request with an Idempotency-Key: what a repeat of it gets instead of a second mail.

    It goes with its message: what was erased is not remembered here either.
    """

    #: SHA-256 of key owner, method, path and Idempotency-Key, in hex: case counts, whatever the
    #: database's collation says.
    scope = models.CharField(max_length=64, primary_key=True)
    #: Keyed hash of the body: another body under the same key is refused.
    fingerprint = models.CharField(max_length=64)
    #: The newest, where one that surely was not sent was taken up again. NULL only within the
    #: transaction that inserts both.
    message = models.OneToOneField(
        Message, models.CASCADE, related_name="idempotency_record", null=True
    )
    #: Status, headers and body, sealed. NULL while the request runs, and where its row says it all.
    answer = models.BinaryField(null=True)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("ends"), db_index=True)

    class Meta:
        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")

    def __str__(self) -> str:
        return f"{self.scope[:8]}…"
