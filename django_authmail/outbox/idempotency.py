"""One Idempotency-Key, one message: what is known of the requests that callers may repeat.

    nothing ── begin ──► running ─── its message is final, or `remember` ───► finished
                            ▲                                                    │
                            └──── begin, if it surely was not handed over ───────┘

`begin` is the first statement of the transaction that inserts the message: of several that race,
one writes the record, and the others find it written. It has no lease but that of the message's
row: were the process to die, that row is recovered as any other, and its outcome is what a repeat
gets.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import Error, router
from django.views.decorators.debug import sensitive_variables

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import IdempotencyKeyReused, Outrun, SealBroken
from django_authmail.hashes import fingerprints
from django_authmail.logs import named
from django_authmail.message import AuthMessage
from django_authmail.models import IdempotencyRecord, Message, State
from django_authmail.sealing import seal, unseal
from django_authmail.statements import Trip

logger = logging.getLogger(__name__)

#: Stands in a new record until its message is inserted too.
_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedRequest:
    """A request with an Idempotency-Key, by the hashes that stand for it."""

    scope: str
    #: By every hash key, newest first: a record has the one of its time.
    fingerprints: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a request was answered, and its repeats are."""

    status: int
    body: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What was known of a request at one moment."""

    request: KeyedRequest
    record: IdempotencyRecord | None = None
    #: The newest message of the request; None: there is none, or it is too long ago.
    message: Message | None = None
    #: How long the outbox itself waits for the one that is running: until its lease ends.
    seconds_left: float = 0.0

    @property
    def is_running(self) -> bool:
        """Whether the answer is still to come."""
        return self.record is not None and _is_running(self.record)

    @property
    def answer(self) -> Answer | None:
        """The stored answer; None where none could be stored: the message's row has it all."""
        if self.record is None or self.record.answer is None:
            return None
        try:
            return _opened(self.record)
        except SealBroken as error:
            logger.warning("idempotency.seal_broken scope=%s %s", self.record, error)
            return None

    def has_changed(self) -> bool:
        """Tell whether another request with the same key was first since then."""
        found = _record(self.request, router.db_for_write(Message))
        before = None if self.record is None else self.record.message_id
        return found is not None and found.message_id != before


@dataclass(slots=True, kw_only=True)
class Entry:
    """What a request with a key writes into the transaction that inserts its message."""

    #: What was known before: nothing, or a record to take over.
    standing: Standing
    #: Makes the answer where it is known before the message leaves: in the background.
    answer: Callable[[Message], Answer] | None = None
    #: The message, as soon as it is inserted.
    row: Message | None = None

    @property
    def retried(self) -> Message | None:
        """The failed message that is taken up again."""
        return self.standing.message

    def same_message_id(self, message: AuthMessage) -> AuthMessage:
        """Return `message` under the Message-ID of the one that it takes up again, if any."""
        if self.retried is None:
            return message
        return replace(message, message_id=self.retried.message_id)

    def begin(self, trip: Trip) -> None:
        """Write the record, as the first statement of `trip`.

        The trip raises IntegrityError where another request with the same key has written it.

        Raises:
            Outrun: another one has taken the record over.
        """
        request, before = self.standing.request, self.standing.record
        # Its times follow with the message: nobody sees it before.
        values = {"fingerprint": request.fingerprints[0], "answer": None}
        if before is None:
            new = IdempotencyRecord(
                scope=request.scope, created_at=_NO_TIME, expires_at=_NO_TIME, **values
            )
            trip.insert([new])
            return
        # Compare and swap: who comes second waits for the first, and then finds it changed.
        unchanged = IdempotencyRecord.objects.using(trip.using).filter(
            scope=before.scope, message=before.message_id, expires_at=before.expires_at
        )
        if not unchanged.update(**values):
            raise Outrun

    def point_to(self, row: Message, trip: Trip) -> None:
        """Let the record point to the message of the same transaction."""
        self.row = row
        scope = self.standing.request.scope
        record = IdempotencyRecord(
            scope=scope,
            message=row,
            answer=None if self.answer is None else _sealed(scope, self.answer(row)),
            created_at=row.created_at,
            expires_at=row.created_at + timedelta(seconds=conf.idempotency_ttl_seconds),
        )
        trip.update([record], ["message_id", "answer", "created_at", "expires_at"])

    def remember(self, answer: Answer) -> None:
        """Store what the request is answered. If that fails, a repeat is answered by the row."""
        scope, using = self.standing.request.scope, router.db_for_write(Message)
        # Only while it is this request's: one that outlived its time may have been taken over.
        record = IdempotencyRecord.objects.using(using).filter(scope=scope, message=self.row)
        try:
            record.update(answer=_sealed(scope, answer))
        except Error as error:
            logger.warning("idempotency.not_remembered error=%s", named(error))


@sensitive_variables()
def keyed_request(
    *, owner: str, method: str, path: str, key: str, body: Mapping[str, Any]
) -> KeyedRequest:
    """Return what the request with the Idempotency-Key `key` is known by."""
    scope = json.dumps([owner, method, path, key])
    return KeyedRequest(
        scope=hashlib.sha256(scope.encode()).hexdigest(),
        fingerprints=tuple(fingerprints(canonical(body))),
    )


@sensitive_variables()
def canonical(body: Mapping[str, Any]) -> str:
    """Return the one spelling of a JSON object, whatever its order, white space and escapes were.

    1 and 1.0 stay different, as they are in a mail that shows them.
    """
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def find(request: KeyedRequest) -> Standing:
    """Return what is known of the request now.

    Raises:
        IdempotencyKeyReused: the key was given with another body.
    """
    using = router.db_for_write(Message)
    record = _record(request, using)
    if record is None:
        return Standing(request=request)
    now = db_now(using)
    if record.expires_at <= now and not _is_running(record):
        return Standing(request=request, record=record)
    if record.fingerprint not in request.fingerprints:
        raise IdempotencyKeyReused("this Idempotency-Key was given with another body")
    due_at = None if record.message is None else record.message.due_at
    left = 0.0 if due_at is None else (due_at - now).total_seconds()
    return Standing(request=request, record=record, message=record.message, seconds_left=left)


def _record(request: KeyedRequest, using: str) -> IdempotencyRecord | None:
    records = IdempotencyRecord.objects.using(using).select_related("message")
    return records.defer("message__sealed").filter(scope=request.scope).first()


def _is_running(record: IdempotencyRecord) -> bool:
    # Not where a person is to decide: that takes days.
    message = record.message
    is_open = message is not None and not message.is_final and message.state != State.HELD
    return is_open and record.answer is None


@sensitive_variables()
def _sealed(scope: str, answer: Answer) -> bytes:
    value = {
        "scope": scope,
        "status": answer.status,
        "headers": dict(answer.headers),
        "body": dict(answer.body),
    }
    return seal(json.dumps(value).encode())


@sensitive_variables()
def _opened(record: IdempotencyRecord) -> Answer:
    value = json.loads(unseal(bytes(record.answer or b"")))
    if value.pop("scope") != record.scope:
        raise SealBroken("the sealed answer belongs to another request")
    return Answer(**value)
