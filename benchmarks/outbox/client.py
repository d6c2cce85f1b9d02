"""One process that queues and sends mail in one way: `python -m benchmarks.outbox.client`.

It answers each line of its standard input (a command and its arguments as JSON) with a line of
JSON, and ends when that closes. It runs in the peers' environment too, without this package.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import django
from django.conf import settings
from django.core.mail import send_mail
from django.core.management import call_command
from django.db import connection

SENDER = "no-reply@example.com"
SUBJECT = "Your code"
TEXT = (
    "Your code is {code}. It is valid for 5 minutes.\n\nIf it was not you, ignore this mail.\n" * 4
)
HTML = (
    "<html><body>"
    + "<p>Your code is <b>{code}</b>, valid for 5 minutes.</p>" * 12
    + "</body></html>"
)


def _mail(number: int) -> tuple[str, str, str]:
    code = f"{number % 1_000_000:06d}"
    return f"user{number}@example.net", TEXT.format(code=code), HTML.format(code=code)


#: Mails that our worker hands over side by side: also how many share a round with the database.
CONNECTIONS = 64
#: Of the old messages, those that are to be deleted.
PURGED = 20_000


class Ours:
    """This package: rows by `outbox.submit_many`, sent by `manage.py authmail_dispatch`."""

    apps = ("django_authmail",)
    backend = "django_authmail.smtp.EmailBackend"
    options: dict[str, Any] = {}

    def fill(self, first: int, count: int) -> None:
        from django_authmail.outbox import queue

        for start in range(first, first + count, 100):
            some = range(start, min(start + 100, first + count))
            queue.submit_many([self._message(number) for number in some])

    def drain(self, count: int) -> None:
        call_command("authmail_dispatch", once=True, connections=CONNECTIONS, stdout=_nowhere())

    def serve(self) -> None:
        call_command("authmail_dispatch", stdout=_nowhere())

    def latency(self, mails: int) -> list[float]:
        """Return the ms from each commit to the beginning of its hand-over by another process."""
        from django_authmail.clock import db_now
        from django_authmail.models import Attempt
        from django_authmail.outbox import queue

        waits: list[float] = []
        for number in range(mails):
            # Mails come at any time, not when a worker has just looked.
            time.sleep(random.uniform(0.0, 2.0))  # noqa: S311 - no secret
            row = queue.submit(self._message(number))
            committed = db_now("default")
            attempts = Attempt.objects.filter(message=row)
            while (started := attempts.values_list("started_at", flat=True).first()) is None:
                time.sleep(0.02)
            waits.append(max(0.0, (started - committed).total_seconds() * 1000))
        return waits

    def cost(self, mails: int) -> dict[str, list[float]]:
        """Return the ms of submitting, of claiming and of settling, for each of some mails."""
        from django_authmail.outbox import queue
        from django_authmail.outcomes import Reply, SendResult

        found: dict[str, list[float]] = {"submit": [], "claim": [], "settle": []}
        for number in range(mails):
            moments = [time.perf_counter()]
            queue.submit(self._message(number))
            moments.append(time.perf_counter())
            [claim] = queue.claim_due(1)
            moments.append(time.perf_counter())
            reply = Reply(code=250, text="ok")
            taken = claim.envelope.recipients
            result = SendResult(message_id=claim.message_id, accepted=taken, reply=reply)
            queue.settle(claim, result, carrier="default")
            moments.append(time.perf_counter())
            for name, began, ended in zip(found, moments, moments[1:], strict=False):
                found[name].append((ended - began) * 1000)
        return found

    def age(self, rows: int) -> int:
        """Add so many messages that are long final, each with its recipient and its attempt.

        The oldest of them, `PURGED`, are older than anything is kept.
        """
        from django_authmail.models import Attempt, Message, Recipient

        template = Message.objects.filter(state="accepted").latest("created_at")
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TEMPORARY TABLE old AS SELECT gen_random_uuid() AS id, n "
                "FROM generate_series(%s, 1, -1) AS n",  # as time goes on
                [rows],
            )
            began = (
                f"(now() - old.n * interval '1 second' - CASE WHEN old.n > {rows - PURGED} "
                "THEN interval '100 days' ELSE interval '0 days' END)"
            )
            values_of_old = _OLD | dict.fromkeys(("created_at", "settled_at", "started_at"), began)
            for model, owner in (
                (Message, "id"),
                (Recipient, "message_id"),
                (Attempt, "message_id"),
            ):
                columns = [
                    field.column
                    for field in model._meta.concrete_fields
                    if not (field.primary_key and model is not Message)
                ]
                values = [values_of_old.get(str(column), f't."{column}"') for column in columns]
                values[columns.index(owner)] = "old.id"
                names = ", ".join(f'"{column}"' for column in columns)
                cursor.execute(
                    f'INSERT INTO "{model._meta.db_table}" ({names}) SELECT {", ".join(values)} '  # noqa: S608 - names of our own models
                    f'FROM old, "{model._meta.db_table}" AS t WHERE t."{owner}" = %s',
                    [template.id],
                )
            cursor.execute("DROP TABLE old")
            cursor.execute("VACUUM ANALYZE")
        return Message.objects.count()

    def pile(self, mails: int) -> None:
        """Queue so many mails of low priority, all due, that nobody sends."""
        from django_authmail.message import Priority
        from django_authmail.outbox import queue

        for start in range(0, mails, 500):
            some = range(start, min(start + 500, mails))
            queue.submit_many([self._message(n, priority=Priority.LOW) for n in some])

    def cost_of_pile(self, mails: int) -> list[float]:
        """Return the ms of claiming one mail of that pile, for each of some."""
        from django_authmail.models import Priority
        from django_authmail.outbox import queue

        found: list[float] = []
        for _ in range(mails):
            began = time.perf_counter()
            [_claim] = queue.claim_due(1, priority=Priority.LOW)
            found.append((time.perf_counter() - began) * 1000)
        return found

    def purge(self) -> dict[str, int]:
        """Delete what is not to be kept any longer; return how many rows of what."""
        from django_authmail.outbox import retention

        *_, done = retention.purge()
        return dict(done)

    def _message(self, number: int, **more: Any) -> Any:
        from django_authmail.message import AuthMessage

        to, text, html = _mail(number)
        return AuthMessage(
            to=(to,),
            subject=SUBJECT,
            text_body=text,
            html_body=html,
            from_email=SENDER,
            kind="otp",
            **more,
        )


# Hashes are spread, as those of real rows are.
_OLD = {
    "address_hash": "md5(old.id::text) || md5(old.id::text)",
    "folded_hash": "md5(old.id::text) || md5(old.id::text)",
}


class Django:
    """A loop of Django's `send_mail`: no queue, a new connection for each mail."""

    apps: tuple[str, ...] = ()
    backend = "django.core.mail.backends.smtp.EmailBackend"
    options: dict[str, Any] = {}

    def fill(self, first: int, count: int) -> None:
        self._first = first

    def drain(self, count: int) -> None:
        for number in range(self._first, self._first + count):
            to, text, html = _mail(number)
            send_mail(SUBJECT, text, SENDER, [to], html_message=html)


class PostOffice:
    """django-post-office: `mail.send`, sent by `manage.py send_queued_mail`."""

    apps = ("post_office",)
    backend = "post_office.EmailBackend"
    options = {
        "POST_OFFICE": {
            "BACKENDS": {"default": Django.backend},
            "BATCH_SIZE": 100,
        },
    }

    def fill(self, first: int, count: int) -> None:
        from post_office import mail

        for number in range(first, first + count):
            to, text, html = _mail(number)
            mail.send([to], SENDER, subject=SUBJECT, message=text, html_message=html)

    def drain(self, count: int) -> None:
        call_command("send_queued_mail", log_level=0)


class Mailer:
    """django-mailer: its backend queues, `manage.py send_mail` sends; without its lock file."""

    apps = ("mailer",)
    backend = "mailer.backend.DbBackend"
    options = {"MAILER_EMAIL_BACKEND": Django.backend, "MAILER_USE_FILE_LOCK": False}

    def fill(self, first: int, count: int) -> None:
        for number in range(first, first + count):
            to, text, html = _mail(number)
            send_mail(SUBJECT, text, SENDER, [to], html_message=html)

    def drain(self, count: int) -> None:
        call_command("send_mail", verbosity=0)


WAYS = {
    "ours": Ours,
    "django": Django,
    "django-clear": Django,
    "post-office": PostOffice,
    "mailer": Mailer,
}


def _nowhere() -> Any:
    return StringIO()


def configure(way: Any, database: dict[str, Any], account: dict[str, Any], folder: str) -> None:
    """Make this process one of a project that sends in this way, by the EMAIL_* of `account`.

    A peer's lock is in `folder`.
    """
    tempfile.tempdir = folder
    logging.disable(logging.INFO)
    settings.configure(
        SECRET_KEY="only-this-benchmark-uses-this-key-and-it-protects-nothing",  # noqa: S106
        USE_TZ=True,
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", *way.apps],
        TEMPLATES=[
            {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
        ],
        DATABASES={"default": database},
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        EMAIL_BACKEND=way.backend,
        DEFAULT_FROM_EMAIL=SENDER,
        LOGGING_CONFIG=None,
        ROOT_URLCONF=__name__,
        **account,
        **way.options,
    )
    django.setup()


def main(arguments: Sequence[str] | None = None) -> None:
    """Answer until the standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox.client")
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("account", type=json.loads, help="EMAIL_*, as JSON")
    parser.add_argument("database", type=json.loads)
    parser.add_argument("folder", help="for what it keeps in files, as a peer its lock")
    parser.add_argument("--serve", action="store_true", help="send what others queue, until killed")
    options = parser.parse_args(arguments)
    way: Any = WAYS[options.way]()
    configure(way, options.database, options.account, options.folder)
    if options.serve:
        print(json.dumps("ready"), flush=True)
        way.serve()
        return
    call_command("migrate", verbosity=0)
    print(json.dumps({"django": django.get_version()}), flush=True)
    for line in sys.stdin:
        name, *values = json.loads(line)
        print(json.dumps(_timed(getattr(way, name), values)), flush=True)


def _timed(command: Callable[..., Any], values: Sequence[Any]) -> dict[str, Any]:
    began, cpu = time.perf_counter(), time.process_time()
    result = command(*values)
    ended, cpu_ended = time.perf_counter(), time.process_time()
    return {"seconds": ended - began, "cpu": cpu_ended - cpu, "result": result}


urlpatterns: list[Any] = []

if __name__ == "__main__":
    main()
