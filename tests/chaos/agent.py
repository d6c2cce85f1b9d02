"""A web process of the project: it submits mails and reads rows, as lines of JSON ask it to.

`python -m tests.chaos.agent` answers each line of its standard input with one line, and ends when
that closes.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from kombu import Queue

#: A database that has just been started answers within this.
PATIENCE_SECONDS = 60.0


def migrate() -> None:
    """Make the tables, as soon as the database answers."""
    _persistently(lambda: call_command("migrate", verbosity=0))


def submit(first: int, count: int) -> list[tuple[str, str]]:
    """Submit mails; return recipient and Message-ID of those that are recorded for sure.

    A request that fails is made again, for another recipient: its first one may be recorded too.
    """
    from django_authmail import outbox
    from django_authmail.message import AuthMessage

    def request(to: str) -> str:
        with transaction.atomic():
            row = outbox.submit(
                AuthMessage(
                    to=(to,),
                    subject="Your code",
                    text_body=f"Your code: {to}\n",
                    from_email="no-reply@example.org",
                    kind="otp",
                    expires_in=timedelta(minutes=10),
                )
            )
        return row.message_id

    promised = []
    for number in range(first, first + count):
        attempts = iter(range(1_000_000))

        def once(number: int = number, attempts: Any = attempts) -> tuple[str, str]:
            to = f"user{number}.{next(attempts)}@example.net"
            return to, request(to)

        promised.append(_persistently(once))
    return promised


def repeat(share: float) -> int:
    """Publish the tasks of a share of all rows once more, also of those that are final."""
    from django_authmail.models import Message
    from django_authmail.tasks import dispatch_message

    ids = sorted(
        map(str, _persistently(lambda: list(Message.objects.values_list("id", flat=True))))
    )
    chosen = ids[:: max(1, round(1 / share))]
    for id in chosen:
        dispatch_message.apply_async((id,))
    return len(chosen)


def waiting_tasks() -> int:
    """Return how many tasks the broker has that no worker has taken."""
    from tests.chaos.project import app

    with app.connection_for_read() as broker:
        queue = Queue(app.conf.task_default_queue)(broker.default_channel)
        # Declared as a worker does: Redis knows no queue that is empty.
        declared: Any = queue.queue_declare()  # a tuple with names; the stubs say str
        return int(declared.message_count)


def forget() -> None:
    """Delete the queue from a broker that others use too."""
    from tests.chaos.project import app

    with app.connection_for_write() as broker:
        Queue(app.conf.task_default_queue)(broker.default_channel).delete()


def open_rows() -> int:
    """Return how many messages are not final."""
    from django_authmail.models import Message

    return int(_persistently(Message.objects.filter(due_at__isnull=False).count))


def rows() -> list[dict[str, Any]]:
    """Return what the rows say, with the words on each recipient and each attempt."""
    from django_authmail.models import Message

    return [
        {
            "message_id": row.message_id,
            "state": row.state,
            "resend_count": row.resend_count,
            "has_body": row.sealed is not None,
            "recipients": [one.state for one in row.recipients.all()],
            "attempts": [one.result for one in row.attempts.all()],
            # For whoever has to explain a copy.
            "said": [
                f"{one.started_at.timestamp():.3f} {one.duration_ms} ms {one.reason}"
                for one in row.attempts.all()
            ],
        }
        for row in Message.objects.prefetch_related("recipients", "attempts")
    ]


def endpoint(url: str) -> str:
    """Have a receiver told of everything; return the id of its endpoint."""
    from django_authmail.webhooks import endpoints

    return str(endpoints.create(url)[0].pk)


def open_webhooks() -> int:
    """Return how many webhooks are not final."""
    from django_authmail.models import WebhookDelivery

    return int(_persistently(WebhookDelivery.objects.filter(due_at__isnull=False).count))


def webhooks() -> list[dict[str, str]]:
    """Return what is recorded of webhooks."""
    from django_authmail.models import WebhookDelivery

    return [
        {
            "id": f"msg_{row.pk.hex}",
            "endpoint": str(row.endpoint_id),
            "message": str(row.message_id),
            "state": row.state,
            "type": row.type,
        }
        for row in WebhookDelivery.objects.all()
    ]


def _persistently(work: Callable[[], Any]) -> Any:
    give_up = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return work()
        except DatabaseError:
            if time.monotonic() > give_up:
                raise
            connection.close()
            time.sleep(0.1)  # as a person who tries again


_COMMANDS = {
    command.__name__: command
    for command in (
        migrate,
        submit,
        repeat,
        waiting_tasks,
        forget,
        open_rows,
        rows,
        endpoint,
        open_webhooks,
        webhooks,
    )
}


def main() -> None:
    """Answer until the standard input closes."""
    django.setup()
    if os.environ.get("CHAOS_BROKER_URL"):
        import tests.chaos.project  # noqa: F401 - it makes itself the current app
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(_COMMANDS[name](**arguments)), flush=True)


if __name__ == "__main__":
    main()
