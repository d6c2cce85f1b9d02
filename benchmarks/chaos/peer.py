"""A process of a peer's project in a storm: `python -m benchmarks.chaos.peer WAY agent|work`.

As an agent it answers what `tests.chaos.agent` answers. As a worker it runs the peer's command
again and again, as cron does, and goes on after whatever it raises. Both are kinder than a default
setup: what failed is tried again after seconds, and a database that was away ends nobody.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.mail.utils import DNS_NAME
from django.core.management import call_command
from django.db import Error, connection

from benchmarks.outbox import client

_PATIENCE_SECONDS = 60.0


class PostOffice(client.PostOffice):
    options = {
        "POST_OFFICE": client.PostOffice.options["POST_OFFICE"]
        | {"MAX_RETRIES": 3, "RETRY_INTERVAL": timedelta(seconds=5)}
    }

    def open_rows(self) -> int:
        from post_office.models import STATUS, Email

        return int(Email.objects.filter(status__in=(STATUS.queued, STATUS.requeued)).count())


class Mailer(client.Mailer):
    def drain(self, count: int) -> None:
        call_command("retry_deferred", verbosity=0)
        super().drain(count)

    def open_rows(self) -> int:
        from mailer.models import Message

        return int(Message.objects.count())


class MailerByDefault(Mailer):
    #: With its lock file, which is what it does unless told otherwise.
    options = {"MAILER_EMAIL_BACKEND": client.Django.backend}


WAYS = {"post-office": PostOffice, "mailer": Mailer, "mailer-default": MailerByDefault}


def submit(way: Any, first: int, count: int) -> list[tuple[str, str]]:
    """Queue mails one by one, and return the recipients of those that are queued for sure."""
    promised = []
    give_up = time.monotonic() + _PATIENCE_SECONDS
    for number in range(first, first + count):
        # A request that fails is made again for another recipient, as its mail may be queued.
        attempt = number * 1000
        while True:
            try:
                way.fill(attempt, 1)
            except Error:
                if time.monotonic() > give_up:
                    raise
                connection.close()
                time.sleep(0.1)
                attempt += 1
            else:
                break
        promised.append((f"user{attempt}@example.net", ""))
    return promised


def work(way: Any) -> None:
    """Send what is queued, for ever."""
    while True:
        try:
            way.drain(0)
        except Exception:  # whatever a command of a peer raises, cron starts it again
            traceback.print_exc()
        connection.close()
        time.sleep(0.2)


def answer(way: Any, name: str, arguments: dict[str, Any]) -> Any:
    """Return what is asked of an agent."""
    if name == "submit":
        return submit(way, **arguments)
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return call_command("migrate", verbosity=0) if name == "migrate" else way.open_rows()
        except Error:
            if time.monotonic() > give_up:
                raise
            connection.close()
            time.sleep(0.1)


def main() -> None:
    """Be one of the two."""
    name, role = sys.argv[1:]
    way = WAYS[name]()
    place = urlsplit(os.environ["DATABASE_URL"])
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": place.path.strip("/"),
        "USER": place.username,
        "HOST": place.hostname,
        "PORT": place.port,
    }
    os.chdir(os.environ["AUTHMAIL_TEST_DIR"])  # django-mailer's lock is where its process is
    account = {"EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": int(os.environ["CHAOS_SMTP_PORT"])}
    client.configure(way, database, account, os.environ["AUTHMAIL_TEST_DIR"])
    # What the ledger has for the process that handed a mail over.
    me = f"{os.getpid()}.{os.environ.get('CHAOS_NAME', 'agent')}.example.org"
    DNS_NAME._fqdn = me  # the only way to choose it
    if role == "work":
        work(way)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(way, *json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
