"""What the rest of the process hears of a change: one log line and one signal, after its commit."""

from __future__ import annotations

import logging

from django.db import transaction

from django_authmail.hashes import log_hash
from django_authmail.logs import log_event
from django_authmail.models import Message
from django_authmail.signals import message_changed, message_queued

logger = logging.getLogger("django_authmail.outbox.queue")


def announce(row: Message, using: str, *, to: str = "", duration_ms: int | None = None) -> None:
    """Tell the state that `row` has now. `to`, an address, is logged as its hash."""
    kind, error_code = row.kind, str(row.error_code)
    is_test = row.is_test
    accepted_after = None
    if row.accepted_at is not None and row.is_final:
        accepted_after = (row.accepted_at - row.created_at).total_seconds()
    id, state = row.id, str(row.state)
    line = {
        "message_id": row.message_id,
        "reason": str(row.reason),
        "attempt": row.attempt_count,
        "resent": row.resend_count or None,
        "duration_ms": duration_ms,
        "request_id": row.request_id,
        "traceparent": row.traceparent,
        "test": is_test or None,
        "to_hash": log_hash(to) if to else "",
    }

    def after_commit() -> None:
        log_event(logger, id=id, state=state, type=kind, error_code=error_code, **line)
        message_changed.send_robust(
            Message,
            id=id,
            state=state,
            kind=kind,
            error_code=error_code,
            accepted_after=accepted_after,
            is_test=is_test,
        )

    transaction.on_commit(after_commit, using=using)


def announce_queued(row: Message, using: str) -> None:
    """Tell that `row` waits to be sent, so that a worker need not find it by itself."""
    about = {
        "id": row.id,
        "priority": row.priority,
        "request_id": row.request_id,
        "traceparent": row.traceparent,
    }
    transaction.on_commit(lambda: message_queued.send_robust(Message, **about), using=using)
