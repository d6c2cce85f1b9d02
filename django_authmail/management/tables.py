"""Are the tables of this package there?"""

from __future__ import annotations

from django.apps import apps
from django.db import connections, router


def missing_tables() -> list[str]:
    """Return the tables that `manage.py migrate` has still to make.

    Raises Error where a database does not answer.
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
