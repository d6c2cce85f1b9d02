"""What every request asks the database, by hand.

The ORM takes several times as long to write these statements as a database to carry them out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar

from django.db import connections
from django.db.models import Field, Model

M = TypeVar("M", bound=Model)


def insert(objects: Sequence[M], using: str) -> None:
    """Insert `objects`, all of one model, as `bulk_create` does.

    Where the database tells the keys that it makes, the objects get them.
    """
    connection = connections[using]
    quoted = connection.ops.quote_name
    for batch in _batches(objects, using):
        meta = batch[0]._meta
        key = meta.auto_field
        fields = _inserted(batch[0])
        columns = ", ".join(quoted(str(field.column)) for field in fields)
        rows = ", ".join([marks(fields)] * len(batch))
        sql = f"INSERT INTO {quoted(meta.db_table)} ({columns}) VALUES {rows}"  # noqa: S608 - names of ours
        if key is not None and connection.features.can_return_rows_from_bulk_insert:
            sql += f" RETURNING {quoted(str(key.column))}"
        values = [
            field.get_db_prep_save(getattr(one, field.attname), connection)
            for one in batch
            for field in fields
        ]
        made = execute(sql, values, using)
        for one in batch:
            one._state.adding = False
            one._state.db = using
        if key is not None:
            for one, (value,) in zip(batch, made, strict=False):
                setattr(one, key.attname, value)


def execute(sql: str, values: Sequence[Any], using: str) -> list[tuple[Any, ...]]:
    """Carry a statement out, and return its rows, if it has any, as the driver gives them."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, values)
        return [] if cursor.description is None else list(cursor.fetchall())


def table(model: type[Model], using: str) -> str:
    """Return the name of a table as it stands in a statement."""
    return connections[using].ops.quote_name(model._meta.db_table)


def moment(value: datetime, using: str) -> Any:  # each driver has its own
    """Return a point in time as a value of a statement."""
    return connections[using].ops.adapt_datetimefield_value(value)


def marks(values: Collection[object]) -> str:
    """Return the place of `values` in a statement, as after IN."""
    return f"({', '.join(['%s'] * len(values))})"


def _inserted(one: Model) -> list[Field[Any, Any]]:
    """Return the fields whose values do not come from the database."""
    meta = one._meta
    return [field for field in meta.concrete_fields if field is not meta.auto_field]


def _batches(objects: Sequence[M], using: str) -> Iterator[Sequence[M]]:
    """Yield as many at once as a statement can have values for."""
    if not objects:
        return
    size = max(1, connections[using].ops.bulk_batch_size(_inserted(objects[0]), objects))
    for start in range(0, len(objects), size):
        yield objects[start : start + size]
