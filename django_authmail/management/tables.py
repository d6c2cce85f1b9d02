"""Are the tables of this package there?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.core.management.base import CommandError
from django.db import DatabaseError, connections, router


def missing_tables() -> list[str]:
    """Return the tables that `manage.py migrate` has still to make.

    Raises DatabaseError where a database does not answer.
    """
    there: dict[str, set[str]] = {}
    missing = []
    for model in apps.get_app_config("authmail").get_models():
        using = router.db_for_write(model)
        if using not in there:
            there[using] = set(connections[using].introspection.table_names())
        if model._meta.db_table not in there[using]:
            missing.append(model._meta.db_table)
    return missing


@contextmanager
def explained_when_missing() -> Iterator[None]:
    """Turn a database error into a CommandError, where it comes from a missing table."""
    try:
        yield
    except DatabaseError:
        try:
            missing = missing_tables()
        except DatabaseError:
            missing = []  # it does not answer at all, which the first error says better
        if missing:
            raise CommandError(
                f"The database has no table {missing[0]}; run: manage.py migrate"
            ) from None
        raise
