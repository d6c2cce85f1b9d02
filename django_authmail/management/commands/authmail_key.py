"""Makes, lists, rotates and revokes keys of the HTTP API."""

from __future__ import annotations

import json
import uuid
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any

from django.core.management.base import CommandError
from django.db import router
from django.db.models import Q, QuerySet
from django.views.decorators.debug import sensitive_variables

from django_authmail import keyring, keys
from django_authmail.clock import db_now
from django_authmail.exceptions import NotRotatable
from django_authmail.keyring import Terms
from django_authmail.management.database import DatabaseCommand
from django_authmail.management.moments import iso
from django_authmail.management.shown_once import note, show_once
from django_authmail.models import ApiKey
from django_authmail.secret import Secret


class Command(DatabaseCommand):
    help = (
        "Makes, lists, rotates and revokes keys of the HTTP API. A key is shown once, when it is "
        "made."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(
            dest="verb", required=True, metavar="create|list|rotate|revoke"
        )
        create = verbs.add_parser("create", help="make a key and print it, once")
        create.add_argument("--name", required=True, help="who will use it")
        create.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            metavar="SCOPE",
            help=(
                f"what it may do, repeatable: {', '.join(keys.SCOPES)}; "
                "by default all of them but send:raw"
            ),
        )
        create.add_argument("--expires-days", type=int, metavar="D", help="never, by default")
        create.add_argument(
            "--network",
            action="append",
            dest="networks",
            default=[],
            metavar="NETWORK",
            help="where it may be used from, repeatable: 10.0.0.0/8, or an address; anywhere, by "
            "default",
        )
        create.add_argument(
            "--recipient",
            action="append",
            dest="recipients",
            default=[],
            metavar="ADDRESS-or-DOMAIN",
            help="whom it may send to, repeatable; anybody, by default",
        )
        create.add_argument(
            "--rate",
            type=int,
            metavar="N",
            help="requests to POST /send* in a minute, 0 for no limit; "
            "AUTHMAIL_RATE_LIMIT_PER_MINUTE, by default",
        )
        create.add_argument(
            "--test",
            action="store_true",
            help="am_test_: everything is done but the hand-over to a mail server",
        )
        create.add_argument("--json", action="store_true", help="print JSON")
        listing = verbs.add_parser("list", help="list all keys, newest first")
        listing.add_argument("--json", action="store_true", help="print JSON")
        rotate = verbs.add_parser(
            "rotate", help="make the key that replaces one, and print it, once"
        )
        rotate.add_argument("key", metavar="PREFIX-or-ID", help="as `list` shows them")
        rotate.add_argument(
            "--overlap-hours",
            type=int,
            default=24,
            metavar="H",
            help="how long the old one goes on, 24 by default; 0: it ends at once",
        )
        rotate.add_argument("--json", action="store_true", help="print JSON")
        revoke = verbs.add_parser("revoke", help="end a key at once")
        revoke.add_argument("key", metavar="PREFIX-or-ID", help="as `list` shows them")

    def handle(self, *args: Any, **options: Any) -> None:
        match options["verb"]:
            case "create":
                self._create(options)
            case "list":
                self._list(as_json=options["json"])
            case "rotate":
                self._rotate(
                    options["key"], hours=options["overlap_hours"], as_json=options["json"]
                )
            case "revoke":
                self._revoke(options["key"])

    @sensitive_variables()
    def _create(self, options: dict[str, Any]) -> None:
        name, days = options["name"].strip(), options["expires_days"]
        if not 0 < len(name) <= 100:
            raise CommandError("--name must have 1 to 100 characters.")
        if days is not None and days < 1:
            raise CommandError("--expires-days must be 1 or more.")
        row, key = keyring.issue(
            name,
            _terms(options),
            expires=None if days is None else timedelta(days=days),
            is_test=options["test"],
        )
        self._show_once(row, key, as_json=options["json"])

    @sensitive_variables()
    def _rotate(self, given: str, *, hours: int, as_json: bool) -> None:
        if hours < 0:
            raise CommandError("--overlap-hours must be 0 or more.")
        old = _one(given)
        try:
            row, key = keyring.rotate(old, overlap=timedelta(hours=hours))
        except NotRotatable as error:
            raise CommandError(f"Nothing was done. {error}") from None
        self._show_once(row, key, as_json=as_json)
        old.refresh_from_db()
        ends = "now" if old.revoked_at else f"at {old.expires_at:%Y-%m-%d %H:%M} UTC"
        note(self, f"The key that it replaces, {old.prefix}…, ends {ends}.")

    @sensitive_variables()
    def _show_once(self, row: ApiKey, key: Secret, *, as_json: bool) -> None:
        if as_json:
            self._print_json({**_facts(row), "key": str(key)})
            return
        terms = ", ".join(_shown_terms(row))
        about = f"Key {row.prefix}… for {row.name!r}: {terms}. It is not shown again."
        show_once(self, str(key), about)

    def _list(self, *, as_json: bool) -> None:
        rows = ApiKey.objects.using(_using()).order_by("-created_at")
        if as_json:
            self._print_json([_facts(row) for row in rows])
            return
        now = db_now(_using())
        for row in rows:
            state = (
                "revoked"
                if row.revoked_at
                else "expired"
                if row.expires_at and row.expires_at <= now
                else "valid"
            )
            used = f"{row.last_used_at:%Y-%m-%d %H:%M} UTC" if row.last_used_at else "never"
            ends = f"  until {row.expires_at:%Y-%m-%d %H:%M} UTC" if row.expires_at else ""
            self.stdout.write(
                f"{row.prefix}…  {state:7}  last used {used:20}{ends}  {row.name}  "
                f"[{', '.join(_shown_terms(row))}]  {row.pk}"
            )
        if not rows:
            self.stderr.write("There are no keys. Make one: manage.py authmail_key create --name N")

    def _revoke(self, given: str) -> None:
        row = _one(given)
        if not keyring.revoke(ApiKey.objects.filter(pk=row.pk)):
            self.stdout.write(f"Key {row.prefix}… was revoked before.")
            return
        self.stdout.write(
            f"Key {row.prefix}… ({row.name}) is revoked. A process that has just seen it may take "
            f"it for {keyring.REVOCATION_DELAY:.0f} seconds more."
        )
        # A key that leaked is often not the only one of its holder.
        others = ApiKey.objects.using(_using()).filter(holder=row.holder, revoked_at=None)
        for other in others.filter(_not_expired(db_now(_using()))):
            self.stderr.write(f"Key {other.prefix}… of the same holder is valid still.")

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2))


def _using() -> str:
    return router.db_for_write(ApiKey)


def _terms(options: dict[str, Any]) -> Terms:
    rate = options["rate"]
    if rate is not None and rate < 0:
        raise CommandError("--rate must be 0 or more.")
    for scope in options["scopes"] or ():
        _check_scope(scope)
    return Terms(
        scopes=tuple(options["scopes"] or keys.DEFAULT_SCOPES),
        networks=_each(keyring.network, options["networks"]),
        recipients=_each(keyring.recipient, options["recipients"]),
        rate_per_minute=rate,
    )


def _each(read: Callable[[str], str], given: list[str]) -> tuple[str, ...]:
    try:
        return tuple(map(read, given))
    except ValueError as error:
        raise CommandError(str(error)) from None


def _check_scope(scope: str) -> None:
    if scope not in keys.SCOPES:
        near = get_close_matches(scope, keys.SCOPES, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise CommandError(
            f"There is no scope {scope!r}; there are {', '.join(map(repr, keys.SCOPES))}.{meant}"
        )


def _one(given: str) -> ApiKey:
    rows = list(_find(given))
    if not rows:
        raise CommandError("No key has this prefix or id. `authmail_key list` shows them all.")
    if len(rows) > 1:
        raise CommandError(
            f"{len(rows)} keys begin with this. Give the id: "
            + ", ".join(str(row.pk) for row in rows)
        )
    return rows[0]


def _find(given: str) -> QuerySet[ApiKey]:
    rows = ApiKey.objects.using(_using())
    given = given.removesuffix("…")
    try:
        return rows.filter(pk=uuid.UUID(given))
    except ValueError:
        pass
    if keys.well_formed(given):  # a whole key that leaked
        return rows.filter(digest=keys.digest(given))
    # The part that all keys have in common names none of them.
    return rows.filter(prefix__startswith=given) if len(given) > len("am_live_") else rows.none()


def _not_expired(now: datetime) -> Q:
    return Q(expires_at=None) | Q(expires_at__gt=now)


def _shown_terms(row: ApiKey) -> list[str]:
    terms = [*row.scopes]
    terms += [f"from {network}" for network in row.networks]
    terms += [f"to {recipient}" for recipient in row.recipients]
    if row.rate_per_minute is not None:
        terms.append(f"{row.rate_per_minute} a minute" if row.rate_per_minute else "no rate limit")
    return terms


def _facts(row: ApiKey) -> dict[str, Any]:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "id": str(row.pk),
        "holder": str(row.holder),
        "name": row.name,
        "prefix": row.prefix,
        "test": keys.is_test(row.prefix),
        "scopes": row.scopes,
        "networks": row.networks,
        "recipients": row.recipients,
        "rate_per_minute": row.rate_per_minute,
        **{name: iso(getattr(row, name)) for name in times},
    }
