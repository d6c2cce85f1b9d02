"""The keys of the HTTP API."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class ApiKey(models.Model):
    """A key of the HTTP API. The key itself is shown once, when it is made, and not kept."""

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=100)
    #: The first characters of the key: how people tell keys apart.
    prefix = models.CharField(_("begins with"), max_length=24)
    #: SHA-256 of the key, in hex. Keys are random, so a slow hash would only cost every request.
    digest = models.CharField(max_length=64, unique=True, editable=False)
    #: The id of the first key, for it and those that replace it: `Message.owner` is `key:<holder>`.
    holder = models.UUIDField(default=uuid.uuid4, editable=False, db_index=True)
    scopes = models.JSONField(_("scopes"), default=list)
    #: Where it may be used from, such as `10.0.0.0/8`. Empty: anywhere.
    networks = models.JSONField(_("allowed networks"), default=list, blank=True)
    #: Whom it may send to: addresses, and domains as `@example.com`. Empty: anybody.
    recipients = models.JSONField(_("allowed recipients"), default=list, blank=True)
    #: NULL: as in the settings; 0: no limit.
    rate_per_minute = models.PositiveIntegerField(_("requests per minute"), null=True, blank=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
