"""Entries for Celery, to be taken over in settings.py: it imports nothing that needs Django.

CELERY_BEAT_SCHEDULE = beat_schedule()
CELERY_TASK_ROUTES = task_routes()
"""

from __future__ import annotations

from typing import Any

#: Seconds between two sweeps: a message whose task was lost, or whose time to try again has come,
#: is under way after at most so long.
SWEEP_EVERY = 5.0
#: Seconds between two purges of what has been kept long enough.
PURGE_EVERY = 600.0
#: Seconds until an entry that no worker took is dropped. Celery compares beat's clock with the
#: worker's: one whose clock is ahead by more drops all that it is given. That must not be a few
#: seconds, since RabbitMQ deals by turns: of two entries, one would always go to that worker.
EXPIRES = 600.0


def beat_schedule(*, queue: str = "") -> dict[str, dict[str, Any]]:
    """Return the entries that this package needs; join them with the project's own by `|`.

    `queue` is the queue that they go to; by default that of the Celery app. Entries expire, so
    that beat and a stopped worker do not pile them up; one with nothing to do is a query.
    """
    options: dict[str, Any] = {"expires": EXPIRES}
    if queue:
        options["queue"] = queue
    return {
        "authmail-sweep": {"task": "authmail.sweep", "schedule": SWEEP_EVERY, "options": options},
        "authmail-webhooks": {
            "task": "authmail.sweep_webhooks",
            "schedule": SWEEP_EVERY,
            "options": options,
        },
        "authmail-purge": {
            "task": "authmail.purge",
            "schedule": PURGE_EVERY,
            "options": options,
        },
    }


def task_routes(
    *,
    high: str = "authmail-high",
    low: str = "authmail-low",
    webhooks: str = "authmail-webhooks",
) -> dict[str, dict[str, str]]:
    """Return routes to queues of their own, which workers must be told to consume (`-Q`).

    Without routes, tasks go to the queue of the Celery app, and what is urgent is sent first all
    the same: by the next task that runs, whichever it is.
    """
    return {
        "authmail.dispatch_message": {"queue": high},
        "authmail.dispatch_low_message": {"queue": low},
        "authmail.sweep": {"queue": high},
        "authmail.purge": {"queue": low},
        "authmail.deliver_webhook": {"queue": webhooks},
        "authmail.sweep_webhooks": {"queue": webhooks},
    }
