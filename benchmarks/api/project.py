"""A project that serves this package's API, and beside it what it is compared with.

`gunicorn benchmarks.api.project:application`; `python -m benchmarks.api.project` makes the tables
and prints an API key. What the settings are to be is JSON in the variable BENCHMARK_SETTINGS.
"""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from functools import lru_cache
from typing import Any

import django
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler

SENDER = "no-reply@example.com"
#: As long as a sealed code.
ROW = os.urandom(2800)

logging.disable(logging.INFO)
settings.configure(
    SECRET_KEY="only-this-benchmark-uses-this-key-and-it-protects-nothing",  # noqa: S106
    USE_TZ=True,
    ALLOWED_HOSTS=["127.0.0.1"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "django_authmail",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DEFAULT_FROM_EMAIL=SENDER,
    EMAIL_BACKEND="django.core.mail.backends.smtp.EmailBackend",
    LOGGING_CONFIG=None,
    ROOT_URLCONF=__name__,
    # High, not off: counting is a part of the request.
    AUTHMAIL_RATE_LIMIT_PER_MINUTE=1_000_000,
    **json.loads(os.environ["BENCHMARK_SETTINGS"]),
)
django.setup()

from django.core.cache import cache  # noqa: E402 - the settings come first, here and below
from django.core.mail import send_mail  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, transaction  # noqa: E402
from django.urls import include, path  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from django_authmail import outbox  # noqa: E402
from django_authmail.notifiers import OTPNotifier  # noqa: E402
from django_authmail.outbox.intake import Intake  # noqa: E402


class EmptyView(APIView):
    """The least that a view of Django REST framework does: what a request costs anyway."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        return Response({})


class RowView(APIView):
    """The least that takes a mail on: one row of its size, committed. Nothing else is done."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("INSERT INTO taken_on VALUES (%s, %s)", [uuid.uuid4(), ROW])
        return Response({}, status=202)


class StatementsView(APIView):
    """What is asked of the cache and the database for a mail, by hand. Nothing else is done.

    Statements and values are those that this package sent for one: only ids and hashes are new.
    """

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        if not cache.add("counted", 1, 60):
            cache.incr("counted")
        statements, id, hashes = _statements()
        new_hashes = {known: os.urandom(32).hex() for known in hashes}
        new_id = uuid.uuid4()

        def new(value: Any) -> Any:  # of a column
            if value == id:
                return new_id
            if isinstance(value, str):
                for known, other in new_hashes.items():
                    value = value.replace(known, other)
            return value

        with transaction.atomic(), connection.cursor() as cursor:
            for sql, values in statements:
                cursor.execute(sql, [new(value) for value in values])
        return Response({}, status=202)


@lru_cache
def _statements() -> tuple[list[tuple[str, list[Any]]], uuid.UUID, set[str]]:
    """Return what takes a mail on, with its id and hashes."""
    found: list[tuple[str, list[Any]]] = []

    def note(execute: Any, sql: str, values: Any, many: bool, context: Any) -> Any:
        found.append((sql, list(values or ())))
        return execute(sql, values, many, context)

    message = OTPNotifier().build("somebody@example.net", user_name="a", code="4829")
    with connection.execute_wrapper(note):
        row = outbox.submit(message, owner="key:benchmark", intake=Intake())
    texts = [value for _, values in found for value in values if isinstance(value, str)]
    return found, row.id, set(re.findall(r"\b[0-9a-f]{64}\b", " ".join(texts)))


class SendMailView(APIView):
    """How a project without this package does it."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        data: Any = request.data  # what the parser made of it
        code = data["code"]
        send_mail(
            "Your code",
            f"Your code is {code}.\n",
            SENDER,
            [data["to"]],
            html_message=f"<p>Your code is <b>{code}</b>.</p>",
        )
        return Response({"sent": True})


urlpatterns: list[Any] = [
    path("empty", EmptyView.as_view()),
    path("row", RowView.as_view()),
    path("statements", StatementsView.as_view()),
    path("naive", SendMailView.as_view()),
    path("", include("django_authmail.api.urls")),
]
application = WSGIHandler()

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE taken_on (id uuid PRIMARY KEY, mail bytea NOT NULL)")
    call_command("authmail_key", "create", name="benchmark", scopes=["send:otp"])
