"""How keys come and go: issued, rotated, revoked. The only code that writes them."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from django_authmail import keys
from django_authmail.clock import db_now
from django_authmail.exceptions import NotRotatable
from django_authmail.keyring.lookup import forget
from django_authmail.keyring.terms import Terms
from django_authmail.models import ApiKey
from django_authmail.secret import Secret

logger = logging.getLogger(__name__)


@sensitive_variables()
def issue(
    name: str,
    terms: Terms,
    *,
    expires: datetime | timedelta | None = None,
    is_test: bool = False,
) -> tuple[ApiKey, Secret]:
    """Make a key and return its row, and the key itself, which is not kept.

    `expires` is a time, or how long it lives; None: for ever.
    """
    key = keys.generate(is_test=is_test)
    using = router.db_for_write(ApiKey)
    now = db_now(using)
    row = ApiKey(
        name=name,
        scopes=list(dict.fromkeys(terms.scopes)),
        networks=list(dict.fromkeys(terms.networks)),
        recipients=list(dict.fromkeys(terms.recipients)),
        rate_per_minute=terms.rate_per_minute,
        created_at=now,
        expires_at=now + expires if isinstance(expires, timedelta) else expires,
    )
    row.holder = row.pk
    _insert(row, key, using)
    logger.info("key.issued prefix=%s", row.prefix)
    return row, key


@sensitive_variables()
def rotate(key: ApiKey, *, overlap: timedelta) -> tuple[ApiKey, Secret]:
    """Make the key that replaces `key`, with the same terms, messages and length of life.

    The old one goes on for `overlap`, and no longer than it would have; zero revokes it at once.

    Raises:
        NotRotatable: the old one is revoked or expired, or was rotated before.
    """
    using = router.db_for_write(ApiKey)
    with transaction.atomic(using=using):
        old = ApiKey.objects.using(using).select_for_update().get(pk=key.pk)
        now = db_now(using)
        _refuse_ended(old, now, using)
        life = None if old.expires_at is None else old.expires_at - old.created_at
        row = ApiKey(
            name=old.name,
            holder=old.holder,
            scopes=old.scopes,
            networks=old.networks,
            recipients=old.recipients,
            rate_per_minute=old.rate_per_minute,
            created_at=now,
            expires_at=None if life is None else now + life,
        )
        secret = keys.generate(is_test=keys.is_test(old.prefix))
        _insert(row, secret, using)
        if overlap > timedelta(0):
            ends = now + overlap
            old.expires_at = ends if old.expires_at is None else min(ends, old.expires_at)
        else:
            old.revoked_at = now
        old.save(using=using, update_fields=["expires_at", "revoked_at"])
    forget()
    logger.info("key.rotated prefix=%s to=%s", old.prefix, row.prefix)
    return row, secret


def revoke(rows: QuerySet[ApiKey]) -> int:
    """End the keys among `rows` that are not revoked, and return how many there were."""
    using = router.db_for_write(ApiKey)
    live = rows.using(using).filter(revoked_at=None)
    prefixes = list(live.order_by("created_at").values_list("prefix", flat=True))
    count = live.update(revoked_at=db_now(using))
    forget()
    for prefix in prefixes:
        logger.info("key.revoked prefix=%s", prefix)
    return count


def _refuse_ended(row: ApiKey, now: datetime, using: str) -> None:
    key = {"prefix": row.prefix}
    if row.revoked_at is not None:
        raise NotRotatable(_("The key %(prefix)s… is revoked. Make a new one.") % key)
    if row.expires_at is not None and row.expires_at <= now:
        raise NotRotatable(_("The key %(prefix)s… has expired. Make a new one.") % key)
    later = ApiKey.objects.using(using).filter(holder=row.holder, created_at__gt=row.created_at)
    newest = later.order_by("created_at").last()
    if newest is not None:
        raise NotRotatable(
            _("The key %(prefix)s… was replaced by %(newest)s…. Rotate that one.")
            % {**key, "newest": newest.prefix}
        )


def _insert(row: ApiKey, key: Secret, using: str) -> None:
    row.prefix, row.digest = keys.prefix(key), keys.digest(key)
    row.save(using=using, force_insert=True)
