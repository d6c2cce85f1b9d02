"""How endpoints come and go: made, rotated, enabled, disabled, tested. The only code that writes
them."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import Exists, OuterRef
from django.views.decorators.debug import sensitive_variables

from django_authmail import metrics
from django_authmail.clock import db_now
from django_authmail.exceptions import (
    EndpointChanged,
    EndpointDisabled,
    RotatedTooOften,
    SealBroken,
)
from django_authmail.extras import require
from django_authmail.logs import log_line
from django_authmail.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from django_authmail.sealing import seal, unseal
from django_authmail.secret import Secret
from django_authmail.transactions import retried
from django_authmail.webhooks import events, recording, signing, targets

logger = logging.getLogger(__name__)

#: Why an endpoint was disabled by itself.
GONE = "gone"
FAILING = "failing"

#: What may sign for an endpoint at a time. Each is a signature of 47 characters in one header, of
#: which servers take some thousands; who rotates each week with a month's overlap needs six.
MOST_SECRETS = 10
#: Whoever needs more than a month does not change the receiver.
MOST_OVERLAP = timedelta(days=30)

_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A secret, and until when it signs; None: until it is rotated."""

    secret: Secret = field(repr=False)
    ends_at: datetime | None = None


@sensitive_variables()
def create(
    url: str, *, description: str = "", event_types: Collection[str] = (), owner: str = ""
) -> tuple[WebhookEndpoint, Secret]:
    """Make an endpoint and return its row, and the secret that it is signed for with.

    The secret is not shown again. `event_types` are the types that it is told of; none: all.
    `owner` is whose messages, as in `Message.owner`; empty: everybody's.

    Raises:
        WebhookUrlRefused: nothing may be sent to this URL.
        ValueError: there is no such type.
        MissingExtra: the extra `webhooks` is not installed.
    """
    require("httpcore2", extra="webhooks", why="Sending webhooks")
    target = targets.check(url)
    using = router.db_for_write(WebhookEndpoint)
    secret = Secret(signing.new_secret())
    row = WebhookEndpoint(
        url=target.url,
        description=description,
        event_types=_known(event_types),
        owner=owner,
        created_at=db_now(using),
    )
    row.sealed_secrets = _pack(row, [_Kept(secret=secret)])
    row.save(using=using, force_insert=True)
    _log(using, "webhook.endpoint_created", id=str(row.pk))
    return row, secret


def change(
    id: uuid.UUID,
    *,
    url: str | None = None,
    description: str | None = None,
    event_types: Collection[str] | None = None,
    owner: str | None = None,
    seen: Mapping[str, object] | None = None,
) -> WebhookEndpoint:
    """Change what is given, of what `create` takes, and return the row.

    Nothing else is written: what somebody else changes in the same moment stays. `seen` is what the
    caller was shown of it, by its names. What was recorded before goes to the new URL too.

    Raises:
        WebhookUrlRefused: nothing may be sent to this URL.
        ValueError: there is no such type.
        WebhookEndpoint.DoesNotExist: it was deleted.
        EndpointChanged: with `seen` alone: what is to be changed is not any more as it was seen.
    """
    using = router.db_for_write(WebhookEndpoint)
    before = WebhookEndpoint.objects.using(using).get(pk=id)
    if url is not None and url != before.url:
        # Before anything is locked: it looks the host up.
        url = targets.check(url).url
    types = None if event_types is None else _known(event_types)
    given = {"url": url, "description": description, "event_types": types, "owner": owner}
    wanted = {name: value for name, value in given.items() if value is not None}

    def write() -> WebhookEndpoint:
        rows = WebhookEndpoint.objects.using(using)
        row = rows.select_for_update().get(pk=id)
        changes = {name: new for name, new in wanted.items() if getattr(row, name) != new}
        if seen is not None and (
            others := [name for name in changes if getattr(row, name) != seen.get(name)]
        ):
            raise EndpointChanged(others)
        if not changes:
            return row
        rows.filter(pk=id).update(**changes)
        _log(using, "webhook.endpoint_changed", id=str(id))
        if "url" in changes:
            # Deliveries are counted by host: those on their way change theirs with the endpoint.
            # Those that have ended may be sent again. One that is being sent has a place of the
            # host that it is sent to, and changes when it returns.
            WebhookDelivery.objects.using(using).filter(endpoint=row).exclude(
                state=WebhookDelivery.State.SENDING
            ).update(host=recording.host_of(str(changes["url"])))
        return rows.get(pk=id)

    return retried(write, using=using)


@sensitive_variables()
def rotate(id: uuid.UUID, *, overlap: timedelta, seen: bytes | None = None) -> Secret:
    """Make the secret that replaces those of an endpoint, and return it; it is not shown again.

    The ones before sign too for `overlap`, and no longer than they would have; zero: no more. There
    are never more than `MOST_SECRETS`. `seen` is the column `sealed_secrets` as the caller saw it.

    Raises:
        ValueError: `overlap` is negative, or more than `MOST_OVERLAP`.
        WebhookEndpoint.DoesNotExist: it was deleted.
        EndpointChanged: with `seen` alone: somebody else has rotated it meanwhile.
        RotatedTooOften, SealBroken: with an overlap alone: too many sign already; no key opens
            those before.
    """
    if not timedelta(0) <= overlap <= MOST_OVERLAP:
        raise ValueError(f"overlap must be from 0 to {MOST_OVERLAP // timedelta(hours=1)} hours")
    using = router.db_for_write(WebhookEndpoint)
    secret = Secret(signing.new_secret())

    def write() -> None:
        row = WebhookEndpoint.objects.using(using).select_for_update().get(pk=id)
        if seen is not None and bytes(row.sealed_secrets) != seen:
            raise EndpointChanged(["secrets"])
        now = db_now(using)
        ends = now + overlap
        kept = [
            _Kept(
                secret=old.secret, ends_at=ends if old.ends_at is None else min(ends, old.ends_at)
            )
            # Not opened where they end: a new secret is the way out when no key opens the old.
            for old in (_valid(row, now) if overlap > timedelta(0) else ())
        ]
        if len(kept) >= MOST_SECRETS:
            # To end the oldest instead would break a receiver that was promised more time.
            raise RotatedTooOften(len(kept), min(old.ends_at or ends for old in kept[1:]))
        row.sealed_secrets = _pack(row, [_Kept(secret=secret), *kept])
        row.save(using=using, update_fields=["sealed_secrets"])

    retried(write, using=using)
    _log(using, "webhook.endpoint_rotated", id=str(id))
    return secret


def enable(id: uuid.UUID) -> None:
    """Send to an endpoint again, from now on. What happened meanwhile can be replayed."""
    using = router.db_for_write(WebhookEndpoint)
    changed = WebhookEndpoint.objects.using(using).filter(pk=id, enabled=False)
    if changed.update(enabled=True, failing_since=None, disabled_at=None, disabled_reason=""):
        _log(using, "webhook.endpoint_enabled", id=str(id))


def disable(id: uuid.UUID, *, reason: str = "") -> int | None:
    """Send nothing to an endpoint any more, and return how many that waited for it failed by that.

    None: it was disabled already. They, and what happens from then on, can be replayed once it is
    enabled again. One that its receiver had before a replay is `delivered` as it was. `reason` is
    empty where a person wants it; otherwise it is logged as an error, since nobody may know.
    """
    using = router.db_for_write(WebhookEndpoint)

    def write() -> int | None:
        now = db_now(using)
        changed = WebhookEndpoint.objects.using(using).filter(pk=id, enabled=True)
        if not changed.update(enabled=False, disabled_at=now, disabled_reason=reason):
            return None
        # At once, so that couriers need not come to each; they do to one that is recorded by a
        # transaction that began before.
        waiting = WebhookDelivery.objects.using(using).filter(
            endpoint_id=id, state=WebhookDelivery.State.PENDING
        )
        ended = {"due_at": None, "settled_at": now}
        taken = WebhookAttempt.objects.using(using).filter(delivery=OuterRef("pk"), reason="ok")
        waiting.filter(Exists(taken)).update(
            state=WebhookDelivery.State.DELIVERED, reason="ok", **ended
        )
        count = waiting.update(
            state=WebhookDelivery.State.FAILED, reason=recording.DISABLED, **ended
        )
        transaction.on_commit(lambda: metrics.count_webhook("failed", count), using=using)
        return count

    failed = retried(write, using=using)
    if failed is None:
        return None
    level = logging.ERROR if reason else logging.INFO
    _log(using, "webhook.endpoint_disabled", level=level, id=str(id), reason=reason, failed=failed)
    return failed


def delete(id: uuid.UUID) -> None:
    """Delete an endpoint, its secrets, and all that was recorded for it."""
    using = router.db_for_write(WebhookEndpoint)
    # First, so that couriers leave it alone while there is much to delete.
    disable(id)
    _delete_deliveries(id, using)
    gone = WebhookEndpoint.objects.using(using).filter(pk=id).delete()[0]
    # What was recorded for it meanwhile.
    _delete_deliveries(id, using)
    if gone:
        _log(using, "webhook.endpoint_deleted", id=str(id))


def _delete_deliveries(id: uuid.UUID, using: str) -> None:
    """Delete what was recorded for an endpoint, each batch in a transaction of its own."""
    rows = WebhookDelivery.objects.using(using).filter(endpoint_id=id)

    def delete() -> int:
        keys = list(rows.values_list("pk", flat=True)[:_BATCH])
        if keys:
            WebhookDelivery.objects.using(using).filter(pk__in=keys).delete()
        return len(keys)

    while retried(delete, using=using):
        pass


def send_test(id: uuid.UUID) -> WebhookDelivery:
    """Queue a `webhook.test` event to an endpoint, and return its delivery.

    Raises:
        WebhookEndpoint.DoesNotExist: it was deleted.
        EndpointDisabled: nothing is sent to it.
    """
    using = router.db_for_write(WebhookDelivery)

    def write() -> WebhookDelivery:
        row = WebhookEndpoint.objects.using(using).get(pk=id)
        if not row.enabled:
            raise EndpointDisabled("the endpoint is disabled; enable it first")
        now = db_now(using)
        delivery = WebhookDelivery(
            endpoint=row,
            type=events.TEST,
            host=recording.host_of(row.url),
            sealed_payload=seal(events.test_envelope(row.pk, now)),
            due_at=now,
            created_at=now,
        )
        recording.queue([delivery], using)
        return delivery

    return retried(write, using=using)


def twins(row: WebhookEndpoint) -> list[WebhookEndpoint]:
    """Return the other endpoints with the URL of this one, oldest first.

    Their receiver gets what more than one of them is told of more than once, each with an id and a
    signature of its own: most often nobody wants that.
    """
    rows = WebhookEndpoint.objects.using(router.db_for_write(WebhookEndpoint))
    return list(rows.filter(url=row.url).exclude(pk=row.pk).order_by("created_at"))


def secrets_of(row: WebhookEndpoint, now: datetime) -> tuple[Secret, ...]:
    """Return what signs for an endpoint now, newest first.

    Raises:
        SealBroken: no key opens them, or they were sealed for another row.
    """
    return tuple(kept.secret for kept in _valid(row, now))


def ends_of_secrets(row: WebhookEndpoint, now: datetime) -> tuple[datetime | None, ...]:
    """Return until when each of the secrets signs, newest first; None: until it is rotated.

    Raises:
        SealBroken: no key opens them, or they were sealed for another row.
    """
    return tuple(kept.ends_at for kept in _valid(row, now))


def _log(using: str, event: str, *, level: int = logging.INFO, **facts: object) -> None:
    # After the commit: pages of the admin, and settlements, do more in the same transaction.
    transaction.on_commit(lambda: log_line(logger, level, event, **facts), using=using)


def _valid(row: WebhookEndpoint, now: datetime) -> list[_Kept]:
    return [kept for kept in _unpack(row) if kept.ends_at is None or kept.ends_at > now]


def _pack(row: WebhookEndpoint, secrets: Sequence[_Kept]) -> bytes:
    listed = [
        {
            "secret": str(kept.secret),
            "ends_at": None if kept.ends_at is None else kept.ends_at.isoformat(),
        }
        for kept in secrets
    ]
    return seal(json.dumps({"id": str(row.pk), "secrets": listed}).encode())


def _unpack(row: WebhookEndpoint) -> list[_Kept]:
    value = json.loads(unseal(bytes(row.sealed_secrets)))
    if value["id"] != str(row.pk):
        raise SealBroken("the sealed secrets belong to another endpoint")
    return [
        _Kept(
            secret=Secret(each["secret"]),
            ends_at=None if each["ends_at"] is None else datetime.fromisoformat(each["ends_at"]),
        )
        for each in value["secrets"]
    ]


def _known(types: Collection[str]) -> list[str]:
    """Return the types in their usual order, each once."""
    unknown = sorted(set(types).difference(events.MESSAGE_TYPES))
    if unknown:
        raise ValueError(
            f"no type of an event: {', '.join(unknown)}; there are: "
            f"{', '.join(events.MESSAGE_TYPES)}"
        )
    return [type for type in events.MESSAGE_TYPES if type in types]
