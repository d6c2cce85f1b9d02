"""Makes, lists and revokes keys of the HTTP API."""

from __future__ import annotations

import json
import uuid
from argparse import ArgumentParser
from datetime import timedelta
from difflib import get_close_matches
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import router
from django.db.models import QuerySet

from django_authmail import keys
from django_authmail.clock import db_now
from django_authmail.management.tables import explained_when_missing
from django_authmail.models import ApiKey


class Command(BaseCommand):
    help = "Makes, lists and revokes keys of the HTTP API. A key is shown once, when it is made."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="create|list|revoke")
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
        create.add_argument("--json", action="store_true", help="print JSON")
        listing = verbs.add_parser("list", help="list all keys, newest first")
        listing.add_argument("--json", action="store_true", help="print JSON")
        revoke = verbs.add_parser("revoke", help="end a key at once")
        revoke.add_argument("key", metavar="PREFIX-or-ID", help="as `list` shows them")

    def handle(self, *args: Any, **options: Any) -> None:
        with explained_when_missing():
            match options["verb"]:
                case "create":
                    self._create(**_only(options, "name", "scopes", "expires_days", "json"))
                case "list":
                    self._list(**_only(options, "json"))
                case "revoke":
                    self._revoke(options["key"])

    def _create(
        self, *, name: str, scopes: list[str] | None, expires_days: int | None, json: bool
    ) -> None:
        name = name.strip()
        if not 0 < len(name) <= 100:
            raise CommandError("--name must have 1 to 100 characters.")
        if expires_days is not None and expires_days < 1:
            raise CommandError("--expires-days must be 1 or more.")
        for scope in scopes or ():
            _check_scope(scope)
        now = db_now(_using())
        key = keys.generate()
        row = ApiKey.objects.using(_using()).create(
            name=name,
            prefix=keys.prefix(key),
            digest=keys.digest(key),
            scopes=list(dict.fromkeys(scopes or keys.DEFAULT_SCOPES)),
            created_at=now,
            expires_at=None if expires_days is None else now + timedelta(days=expires_days),
        )
        if json:
            self._print_json({**_facts(row), "key": str(key)})
            return
        self.stdout.write(str(key))
        self.stderr.write(
            f"Key {row.prefix}… for {name!r}: {', '.join(row.scopes)}. It is not shown again."
        )

    def _list(self, *, json: bool) -> None:
        rows = ApiKey.objects.using(_using()).order_by("-created_at")
        if json:
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
            used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
            self.stdout.write(
                f"{row.prefix}…  {state:7}  last used {used:16}  {row.name}  "
                f"[{', '.join(row.scopes)}]  {row.pk}"
            )
        if not rows:
            self.stderr.write("There are no keys. Make one: manage.py authmail_key create --name N")

    def _revoke(self, given: str) -> None:
        rows = list(_find(given))
        if not rows:
            raise CommandError("No key has this prefix or id. `authmail_key list` shows them all.")
        if len(rows) > 1:
            raise CommandError(
                f"{len(rows)} keys begin with this. Give the id: "
                + ", ".join(str(row.pk) for row in rows)
            )
        row = rows[0]
        if row.revoked_at is not None:
            self.stdout.write(f"Key {row.prefix}… was revoked before.")
            return
        live = ApiKey.objects.using(_using()).filter(pk=row.pk, revoked_at=None)
        live.update(revoked_at=db_now(_using()))
        self.stdout.write(f"Key {row.prefix}… ({row.name}) is revoked.")

    def _print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False, indent=2))


def _using() -> str:
    return router.db_for_write(ApiKey)


def _check_scope(scope: str) -> None:
    if scope not in keys.SCOPES:
        near = get_close_matches(scope, keys.SCOPES, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise CommandError(
            f"There is no scope {scope!r}; there are {', '.join(map(repr, keys.SCOPES))}.{meant}"
        )


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


def _facts(row: ApiKey) -> dict[str, Any]:
    times = ("created_at", "expires_at", "revoked_at", "last_used_at")
    return {
        "id": str(row.pk),
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes,
        **{name: value.isoformat() if (value := getattr(row, name)) else None for name in times},
    }


def _only(options: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names}
