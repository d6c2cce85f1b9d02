"""The Celery skin: each task a few lines over `dispatch`, and the seam that publishes.

A task carries a row's id and nothing else, one for webhooks not even that. Tasks are acknowledged
early and never retried by Celery: a lost one is found by the sweep, a repeated one finds nothing to
claim.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Mapping
from queue import SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from django_authmail import dispatch
from django_authmail.conf import conf
from django_authmail.extras import installed, require
from django_authmail.models import Priority
from django_authmail.outbox import retention
from django_authmail.schedule import SWEEP_EVERY
from django_authmail.signals import message_queued, webhook_queued
from django_authmail.webhooks import courier, deliveries

if TYPE_CHECKING:
    from kombu import Connection

logger = logging.getLogger(__name__)

DISPATCH = "authmail.dispatch_message"
DISPATCH_LOW = "authmail.dispatch_low_message"
SWEEP = "authmail.sweep"
PURGE = "authmail.purge"
DELIVER_WEBHOOK = "authmail.deliver_webhook"
SWEEP_WEBHOOKS = "authmail.sweep_webhooks"

#: Seconds that a request waits for its task to be published, at most, and how long a broker that
#: did not take one is then left alone.
PUBLISH_WAIT = 0.15
BROKER_PAUSE = 5.0
#: Seconds that `warm_publisher` waits at most; imports take less than one.
LOAD_WAIT = 10.0
#: Seconds for each step of the publishing thread, which nobody waits for.
SOCKET_TIMEOUT = 1.0
#: Messages that one sweep sends, so that a task ends before the next ones pile up behind it.
SWEEP_LIMIT = 50
SWEEP_SECONDS = 4.0
#: Above the deadline of one hand-over, soft; under the end of its lease, hard. Read once: Celery
#: takes the limits of a task when it is defined.
SOFT_LIMIT = conf.send_deadline.total_seconds() + SWEEP_SECONDS + 1
HARD_LIMIT = SOFT_LIMIT + 5

if installed("celery"):
    from celery import current_app, shared_task
    from celery.signals import worker_process_init, worker_process_shutdown, worker_shutdown
    from celery.worker import state as worker_state

    _OPTIONS: dict[str, Any] = {
        "ignore_result": True,
        "acks_late": False,
        "max_retries": 0,
        "soft_time_limit": SOFT_LIMIT,
        "time_limit": HARD_LIMIT,
    }

    @shared_task(name=DISPATCH, **_OPTIONS)
    def dispatch_message(id: str) -> None:
        """Send one message, if it is still due."""
        dispatch.dispatch_one(uuid.UUID(id))

    @shared_task(name=DISPATCH_LOW, **_OPTIONS)
    def dispatch_low_message(id: str) -> None:
        """Send one message of low priority, after what is urgent.

        Where both go to one queue, an urgent one may stand behind a thousand of these. So it is
        sent by the next of them, not in its turn.
        """
        end = time.monotonic() + SWEEP_SECONDS
        dispatch.dispatch_due(
            SWEEP_LIMIT, seconds=SWEEP_SECONDS, priority=Priority.HIGH, stopped=_is_stopping
        )
        if time.monotonic() < end:
            # Otherwise it is the sweep's: another hand-over would not end within the time limit.
            dispatch.dispatch_one(uuid.UUID(id))

    @shared_task(name=SWEEP, **_OPTIONS)
    def sweep() -> int:
        """Send what is due and was not sent: its task was lost, or its worker died."""
        return dispatch.dispatch_due(SWEEP_LIMIT, seconds=SWEEP_SECONDS, stopped=_is_stopping)

    @shared_task(name=PURGE, **_OPTIONS)
    def purge() -> None:
        """Delete what has been kept long enough, as much of it as keeps no code waiting."""
        for _ in retention.purge(seconds=SWEEP_SECONDS):
            pass

    @shared_task(name=DELIVER_WEBHOOK, **_OPTIONS)
    def deliver_webhook() -> None:
        """Let this worker's process send the webhooks that are due, and return at once.

        Its courier has threads of its own: a slow receiver takes up no place for a mail.
        """
        if current_app.conf.task_always_eager:
            # The project runs its tasks in the caller's thread, as in tests; so does this one.
            courier.Courier().run(threading.Event(), until_empty=True)
        else:
            courier.wake()

    @shared_task(name=SWEEP_WEBHOOKS, **_OPTIONS)
    def sweep_webhooks() -> None:
        """Do the same where something is due: its task was lost, or it is to be tried again."""
        if deliveries.seconds_until_due() == 0:
            deliver_webhook()


def connect() -> None:
    """Publish a task for what is queued, where AUTHMAIL_CELERY says so."""
    message_queued.connect(_publish_queued, dispatch_uid="django_authmail.tasks")
    webhook_queued.connect(_publish_webhook, dispatch_uid="django_authmail.tasks")
    if installed("celery"):
        worker_process_init.connect(_warm, dispatch_uid="django_authmail.tasks")
        # Of a pool's process, and of one without a pool.
        worker_process_shutdown.connect(_stop_courier, dispatch_uid="django_authmail.tasks")
        worker_shutdown.connect(_stop_courier, dispatch_uid="django_authmail.tasks")


def broker_url() -> str | None:
    """Return the broker of the project's Celery app; None without Celery. Connects to nothing."""
    if not installed("celery"):
        return None
    url = current_app.conf.broker_url
    return str(url) if url else None


def warm_publisher() -> None:
    """Import what publishing needs, for a web server before its first request.

    Connects to nothing, and waits LOAD_WAIT seconds at most. Without AUTHMAIL_CELERY it does
    nothing.
    """
    if conf.celery:
        _publisher.warm()


def reach_broker() -> str:
    """Connect to the broker as a request would; return an empty string, for nothing is wrong.

    Raises whatever the broker's client does.
    """
    require("celery", extra="celery", why="AUTHMAIL_CELERY")
    connection = _connection()
    try:
        # The server of AMQP is asked for it, and kombu says PING to Redis for it.
        connection.channel()
    finally:
        connection.collect(socket_timeout=SOCKET_TIMEOUT)
    return ""


def _publish_queued(
    sender: object,
    id: uuid.UUID,
    priority: int,
    request_id: str = "",
    traceparent: str = "",
    **extra: Any,
) -> None:
    if conf.celery:
        name = DISPATCH_LOW if priority == Priority.LOW else DISPATCH
        _publisher.publish(name, str(id), headers=_headers(request_id, traceparent))


def _publish_webhook(
    sender: object, request_id: str = "", traceparent: str = "", **extra: Any
) -> None:
    if conf.celery:
        # Nobody waits for it: the sweep finds what the broker did not take.
        _publisher.publish(DELIVER_WEBHOOK, headers=_headers(request_id, traceparent), seconds=0.0)


def _headers(request_id: str, traceparent: str) -> dict[str, str]:
    headers = {"X-Request-ID": request_id, "traceparent": traceparent}
    return {name: value for name, value in headers.items() if value}


def _warm(**extra: Any) -> None:
    """Open the connection that the first mail of a worker's process would wait for."""
    if conf.celery:
        threading.Thread(target=dispatch.warm, name="authmail-warm", daemon=True).start()


def _stop_courier(**extra: Any) -> None:
    courier.stop()


def _is_stopping() -> bool:
    """Whether this worker was told to stop: what it has in hand is its last."""
    return worker_state.should_stop not in (None, False) or (
        worker_state.should_terminate not in (None, False)
    )


class _Job(NamedTuple):
    task: str
    id: str
    headers: Mapping[str, str]
    done: threading.Event


class _Publisher:
    """Publishes from a thread of its own, so that no broker can make a request wait.

    A broker can hang in more ways than its client library has timeouts for. The request waits for
    the thread a moment, and then goes on: the row is the truth, and the sweep finds it.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._connection: Connection | None = None
        self._down_until = 0.0
        #: Set once the thread has imported what it needs.
        self._loaded = threading.Event()
        #: Why the last task was not published; empty where it was.
        self._last_error = ""
        #: Tasks without a row that wait to be published: one does for all that was committed.
        self._waiting: set[str] = set()

    def publish(
        self,
        task: str,
        id: str = "",
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        seconds: float = PUBLISH_WAIT,
    ) -> None:
        """Publish the task named `task`, for the row `id`; wait for that so long at most."""
        if time.monotonic() < self._down_until:
            return
        require("celery", extra="celery", why="AUTHMAIL_CELERY")
        if current_app.conf.task_always_eager:
            # The project runs its tasks in the caller's thread, as in tests; so does this one.
            _task(task).apply(_arguments(id), headers=dict(headers))
            return
        with self._lock:
            if not id and task in self._waiting:
                return
            if not id:
                self._waiting.add(task)
            self._start()
        # A thread that still imports has not asked the broker: it says itself what is wrong.
        is_loaded = self._loaded.is_set()
        done = threading.Event()
        self._jobs.put(_Job(task, id, headers, done))
        if seconds and not done.wait(seconds) and is_loaded:
            self._mark_down(id, self._last_error or "no answer in time")

    def warm(self) -> None:
        """Start the thread, and wait until it has imported what it needs."""
        with self._lock:
            self._start()
        self._loaded.wait(LOAD_WAIT)

    def close(self) -> None:
        """End the thread and its connection."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(10)
            self._thread = None

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="authmail-publisher", daemon=True
            )
            self._thread.start()

    def _load(self) -> None:
        try:
            _connection().transport  # noqa: B018 - a property that imports the broker's library
            current_app.amqp.producer_pool  # noqa: B018 - the same for Celery's part
        except Exception as error:
            # The first task finds the same, and has a row to name.
            logger.debug("email.publisher_not_loaded error=%s", type(error).__name__)
        finally:
            self._loaded.set()

    def _run(self) -> None:
        self._load()
        while (job := self._jobs.get()) is not None:
            with self._lock:
                self._waiting.discard(job.task)
            try:
                if self._connection is None:
                    self._connection = _connection()
                _task(job.task).apply_async(
                    _arguments(job.id),
                    connection=self._connection,
                    headers=dict(job.headers),
                    retry=False,
                    # A task for a row is that row's; any other does what the next sweep does too.
                    expires=None if job.id else SWEEP_EVERY,
                )
                # Late is not down.
                self._down_until, self._last_error = 0.0, ""
            except Exception as error:
                self._last_error = _why(error)
                self._mark_down(job.id, self._last_error)
                self._drop_connection()
            finally:
                job.done.set()
        self._drop_connection()

    def _mark_down(self, id: str, why: str) -> None:
        now = time.monotonic()
        # The caller that gave up waiting has said so already, when the error comes at last.
        is_known = now < self._down_until
        self._down_until = now + BROKER_PAUSE
        if is_known:
            return
        facts = {"event": "email.broker_down", "id": id, "why": why, "pause_s": BROKER_PAUSE}
        extra = {f"authmail_{name}": value for name, value in facts.items()}
        logger.warning("%(event)s id=%(id)s why=%(why)s pause_s=%(pause_s)s", facts, extra=extra)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.collect(socket_timeout=SOCKET_TIMEOUT)
            self._connection = None


def _task(name: str) -> Any:  # the stubs know too few of a task's arguments
    return current_app.tasks[name]


def _why(error: BaseException) -> str:
    """Return what a log may say of an error of the broker's library: a class, and no text.

    The text of a connection error may hold the broker's password. What the system said comes
    first: the library's own classes say no more than that there is an error.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ImportError):
            return f"{type(cause).__name__} {cause.name}"
        if isinstance(cause, OSError):
            return type(cause).__name__
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _arguments(id: str) -> tuple[str, ...]:
    return (id,) if id else ()


_publisher = _Publisher()


def _after_fork() -> None:
    # The child has neither the thread nor a share in its connection.
    global _publisher
    _publisher = _Publisher()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _connection() -> Connection:
    options = dict(current_app.conf.broker_transport_options or {})
    options.update(
        max_retries=0,
        interval_start=0,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=SOCKET_TIMEOUT,
        read_timeout=SOCKET_TIMEOUT,
        write_timeout=SOCKET_TIMEOUT,
    )
    connection: Connection = current_app.connection_for_write(
        connect_timeout=SOCKET_TIMEOUT, transport_options=options
    )
    return connection
