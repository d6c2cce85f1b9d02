"""Makes, lists, tests, rotates, switches and deletes endpoints of webhooks, and sends again."""

from __future__ import annotations

import json
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.views.decorators.debug import sensitive_variables

from django_authmail.clock import db_now
from django_authmail.conf import conf
from django_authmail.exceptions import (
    EndpointDisabled,
    MissingExtra,
    RotatedTooOften,
    SealBroken,
    WebhookUrlRefused,
)
from django_authmail.extras import require
from django_authmail.management.database import DatabaseCommand
from django_authmail.management.endpoints import endpoint, facts, listed, owner, state, using
from django_authmail.management.replays import (
    add_replay_arguments,
    chosen,
    kept_for,
    left_out,
    one,
    webhooks,
)
from django_authmail.management.shown_once import note, show_once
from django_authmail.models import WebhookAttempt, WebhookDelivery, WebhookEndpoint
from django_authmail.secret import Secret
from django_authmail.webhooks import courier, endpoints, events, places, replaying
from django_authmail.webhooks.hints import hint

_VERBS = "create|list|test|rotate|enable|disable|delete|replay"
_ENDPOINT = "ENDPOINT"
_ENDPOINT_HELP = "its id or how that begins, or its description or URL, as `list` shows them"
_MOST_OVERLAP_HOURS = endpoints.MOST_OVERLAP // timedelta(hours=1)
#: Between two looks at what became of a test.
_LOOK_SECONDS = 0.1
#: Beyond the time that one attempt may take: others may be on their way to the same receiver.
_MARGIN_SECONDS = 15.0


class Command(DatabaseCommand):
    help = (
        "Makes, lists, tests, rotates, switches and deletes endpoints of webhooks, and sends "
        "webhooks again. A secret is shown once, when it is made."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar=_VERBS)
        create = verbs.add_parser("create", help="make an endpoint and print its secret, once")
        create.add_argument("url", metavar="URL", help="where webhooks are sent: https://…")
        create.add_argument("--description", default="", help="whose it is, or what for")
        create.add_argument(
            "--event",
            action="append",
            dest="events",
            default=[],
            metavar="TYPE",
            help=f"what it is told of, repeatable: {', '.join(events.MESSAGE_TYPES)}; all, by "
            "default",
        )
        create.add_argument(
            "--owner",
            default="",
            help="of whose mails: `site` (this project's own), or the prefix or id of an API key; "
            "of everybody's, by default",
        )
        create.add_argument("--json", action="store_true", help="print JSON")
        listing = verbs.add_parser("list", help="list all endpoints, newest first")
        listing.add_argument("--json", action="store_true", help="print JSON")
        test = verbs.add_parser("test", help="send a webhook.test event, and wait for the answer")
        rotate = verbs.add_parser("rotate", help="make a new secret and print it, once")
        rotate.add_argument(
            "--overlap-hours",
            type=int,
            default=24,
            metavar="H",
            help="how long the one before signs too, 24 by default; 0: it ends at once",
        )
        rotate.add_argument("--json", action="store_true", help="print JSON")
        enable = verbs.add_parser("enable", help="send to an endpoint again, from now on")
        disable = verbs.add_parser(
            "disable",
            help="send nothing to an endpoint any more; what it misses can be replayed",
        )
        delete = verbs.add_parser("delete", help="delete an endpoint, and all that was sent to it")
        for verb in (test, rotate, enable, disable, delete):
            verb.add_argument("endpoint", metavar=_ENDPOINT, help=_ENDPOINT_HELP)
        replay = verbs.add_parser("replay", help="send again: one delivery, or those of a time")
        add_replay_arguments(replay)
        replay.add_argument("--endpoint", metavar=_ENDPOINT, help=_ENDPOINT_HELP)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._do(options)
        except MissingExtra as error:
            raise CommandError(f"Nothing was done. {error}") from None

    def _do(self, options: dict[str, Any]) -> None:
        verb = options["verb"]
        if verb == "create":
            self._create(options)
        elif verb == "list":
            self._list(as_json=options["json"])
        elif verb == "replay":
            self._replay(options)
        else:
            row = endpoint(options["endpoint"])
            match verb:
                case "test":
                    self._test(row)
                case "rotate":
                    self._rotate(row, options["overlap_hours"], as_json=options["json"])
                case "enable":
                    self._enable(row)
                case "disable":
                    self._disable(row)
                case "delete":
                    self._delete(row)

    @sensitive_variables()
    def _create(self, options: dict[str, Any]) -> None:
        description = options["description"].strip()
        if len(description) > 200:
            raise CommandError("--description must have 200 characters at most.")
        try:
            row, secret = endpoints.create(
                options["url"],
                description=description,
                event_types=options["events"],
                owner=owner(options["owner"]),
            )
        except WebhookUrlRefused as error:
            raise CommandError(
                f"Nothing was made: {error}. A host of your own network is allowed by "
                "AUTHMAIL_WEBHOOK_ALLOW_HOSTS."
            ) from None
        except ValueError as error:
            raise CommandError(f"Nothing was made: {error}.") from None
        self._show_once(row, secret, as_json=options["json"])
        if twins := endpoints.twins(row):
            self.stderr.write(
                "Warning: this URL is that of another endpoint too, so the receiver gets what both "
                "are told of twice, signed by different secrets. `delete` one, or give them "
                f"other events: {listed(twins)}"
            )
        if not options["json"]:
            note(self, f"Try it: manage.py authmail_webhook test {str(row.pk)[:8]}")

    @sensitive_variables()
    def _rotate(self, row: WebhookEndpoint, hours: int, *, as_json: bool) -> None:
        if not 0 <= hours <= _MOST_OVERLAP_HOURS:
            raise CommandError(f"--overlap-hours must be from 0 to {_MOST_OVERLAP_HOURS}.")
        try:
            secret = endpoints.rotate(row.pk, overlap=timedelta(hours=hours))
        except RotatedTooOften as error:
            raise CommandError(
                f"Nothing was done: {error.count} secrets sign for this endpoint already. Give "
                "--overlap-hours 0, which ends all of them, or wait until "
                f"{error.until:%Y-%m-%d %H:%M:%S} UTC."
            ) from None
        except SealBroken:
            raise CommandError(
                "Nothing was done: the secret before cannot be opened, so it cannot sign any more. "
                "Restore the old key as a fallback, or give --overlap-hours 0."
            ) from None
        self._show_once(row, secret, as_json=as_json)
        until = (
            f"The one before signs too for {hours} hours: give the receiver both until then."
            if hours
            else "The one before signs no more."
        )
        note(self, until)

    @sensitive_variables()
    def _show_once(self, row: WebhookEndpoint, secret: Secret, *, as_json: bool) -> None:
        if as_json:
            self._print_json({**facts(row), "secret": str(secret)})
            return
        about = f"Secret of endpoint {row.pk}, {row.url}. It is not shown again."
        show_once(self, str(secret), about)

    def _list(self, *, as_json: bool) -> None:
        rows = list(WebhookEndpoint.objects.using(using()).order_by("-created_at"))
        if as_json:
            self._print_json([facts(row) for row in rows])
            return
        for row in rows:
            told = ", ".join(row.event_types) or "all events"
            whose = f" of {row.owner}" if row.owner else ""
            name = f"  {row.description}" if row.description else ""
            self.stdout.write(f"{row.pk}  {state(row)}  {row.url}  [{told}{whose}]{name}")
        if not rows:
            self.stderr.write(
                "There are no endpoints. Make one: manage.py authmail_webhook create URL"
            )

    def _enable(self, row: WebhookEndpoint) -> None:
        if row.enabled:
            self.stdout.write("It is enabled already; nothing was done.")
            return
        endpoints.enable(row.pk)
        self.stdout.write(f"Enabled: {row.url}")
        days = conf.retain_attempts.days or 30
        self.stderr.write(
            "What it has missed can be sent again: manage.py authmail_webhook "
            f"replay --endpoint {str(row.pk)[:8]} --failed --since {days}d"
        )

    def _disable(self, row: WebhookEndpoint) -> None:
        ended = endpoints.disable(row.pk)
        if ended is None:
            self.stdout.write("It is disabled already; nothing was done.")
            return
        self.stdout.write(f"Disabled: {row.url}")
        self.stderr.write(
            f"{webhooks(ended)} waited for it, and will not be sent. These, and what happens from "
            f"now on, can be sent again{kept_for()}: `enable` it, and then `replay --failed`."
        )

    def _delete(self, row: WebhookEndpoint) -> None:
        count = WebhookDelivery.objects.using(using()).filter(endpoint=row).count()
        endpoints.delete(row.pk)
        many = "1 delivery" if count == 1 else f"{count} deliveries"
        self.stdout.write(f"Deleted: {row.url}, and {many} to it.")

    # -- test --------------------------------------------------------------------------------

    def _test(self, row: WebhookEndpoint) -> None:
        require("httpcore2", extra="webhooks", why="Sending webhooks")
        try:
            delivery = endpoints.send_test(row.pk)
        except EndpointDisabled:
            raise CommandError(
                f"Nothing was sent. {row.url} is disabled; enable it first: "
                f"manage.py authmail_webhook enable {str(row.pk)[:8]}"
            ) from None
        self.stderr.write(f"Sending {delivery.type} to {row.url}")
        # Sent here, with whatever else is due, so that it needs no worker.
        with _sending():
            attempt = self._first_attempt(delivery)
        delivery.refresh_from_db()
        if attempt is None:
            raise CommandError(f"It was not sent: {delivery.reason}. {hint(delivery.reason)}")
        took = f"after {attempt.duration_ms} ms"
        if delivery.state == WebhookDelivery.State.DELIVERED:
            self.stdout.write(self.style.SUCCESS(f"Delivered: {attempt.status_code} {took}."))
            return
        answer = str(attempt.status_code) if attempt.status_code else "No answer"
        again = f" It is tried again at {delivery.due_at:%H:%M:%S} UTC." if delivery.due_at else ""
        raise CommandError(
            f"Not delivered: {answer} {took} ({attempt.reason}). "
            f"{hint(attempt.reason, attempt.status_code)}{again}"
        )

    def _first_attempt(self, delivery: WebhookDelivery) -> WebhookAttempt | None:
        """Return the first attempt, once there is one; None where it ended without."""
        seconds = conf.webhook_timeout.total_seconds() + _MARGIN_SECONDS
        began = shown = time.monotonic()
        while True:
            delivery.refresh_from_db(fields=["state", "attempt_count", "due_at"])
            if delivery.attempt_count or delivery.is_final:
                return delivery.attempts.order_by("number").first()
            now = time.monotonic()
            if now - began > seconds:
                raise CommandError(
                    f"It was not sent within {seconds:.0f} s: others are on their way to "
                    f"{delivery.host}, {places.PLACES} at a time to one endpoint and "
                    f"{places.HOST_PLACES} to the host. It is sent after them."
                )
            if now - shown >= 1:
                shown = now
                state = delivery.get_state_display()
                self.stderr.write(f"  {now - began:.0f} s: {state}")
            time.sleep(_LOOK_SECONDS)

    # -- replay ------------------------------------------------------------------------------

    def _replay(self, options: dict[str, Any]) -> None:
        now = db_now(using())
        if options["delivery"]:
            rows = one(options["delivery"], using())
        else:
            row = endpoint(options["endpoint"]) if options["endpoint"] else None
            rows = chosen(options, row, now, using())
        reasons = left_out(rows, now)  # before those that are sent again are on the way too
        if options["dry_run"]:
            done = replaying.Replayed(
                again=replaying.replayable(rows).count(),
                sooner=replaying.waiting(rows, now).count(),
            )
            word = "would be"
        else:
            done, word = replaying.replay(rows), "will be"
        if done.again or not done.sooner:
            many = webhooks(done.again)
            self.stdout.write(f"{many} {word} sent again, with the same webhook-id.")
        if done.sooner:
            many = webhooks(done.sooner)
            self.stdout.write(f"{many} {word} sent now, instead of at a later attempt.")
        if done.gone:
            reasons.append(f"Not sent again: {done.gone} that were deleted in this moment.")
        for reason in reasons:
            self.stderr.write(reason)
        if not done.count and not reasons and not options["delivery"]:
            self.stderr.write("No webhook was chosen: nothing of this time fits.")
        if options["delivery"] and not done.count:
            raise CommandError("It was not sent again.")

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2))


@contextmanager
def _sending() -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=courier.run_beside, args=(stop,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        # What is in hand is finished: it would come twice otherwise.
        stop.set()
        thread.join()
