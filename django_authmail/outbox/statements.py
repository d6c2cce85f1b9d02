"""What every request and every worker asks the database, by hand.

The ORM takes several times as long to write these statements as a database to carry them out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
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
        sql = f"INSERT INTO {quoted(meta.db_table)} ({columns}) VALUES {rows}"
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


def update(rows: Sequence[Model], names: Sequence[str], using: str) -> None:
    """Write the fields `names` of all `rows`, which are of one model.

    Not as `bulk_update` does: its CASE for each row and field costs more than all the rest. What
    the rows have in common, as the outcomes of a batch have nearly everything, is written once.
    """
    if not rows:
        return
    connection = connections[using]
    columns = _columns(rows, names, connection)
    [key] = _columns(rows, [str(rows[0]._meta.pk.attname)], connection)
    target = table(type(rows[0]), using)
    shared, apart = _parted(columns)
    changed = [f"{column.name} = %s" for column in shared]
    once = [column.values[0] for column in shared]
    with connection.cursor() as cursor:
        if not apart:
            cursor.execute(
                f"UPDATE {target} SET {', '.join(changed)} WHERE {key.name} IN {marks(rows)}",
                [*once, *key.values],
            )
        elif connection.vendor == "postgresql":
            # One statement, parsed and planned once.
            changed += [f"{column.name} = new.{column.name}" for column in apart]
            cursor.execute(
                f"UPDATE {target} SET {', '.join(changed)} FROM {_listed([*apart, key])} "
                f"WHERE {target}.{key.name} = new.{key.name}",
                [*once, *_in_rows([*apart, key])],
            )
        else:
            changed += [f"{column.name} = %s" for column in apart]
            cursor.executemany(
                f"UPDATE {target} SET {', '.join(changed)} WHERE {key.name} = %s",
                [(*once, *row) for row in zip(*(c.values for c in (*apart, key)), strict=True)],
            )


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


@dataclass(frozen=True, slots=True)
class _Column:
    """A column and its values, one for each row, as the database takes them."""

    name: str
    type: str
    values: list[Any]


def _columns(
    rows: Sequence[Model], names: Sequence[str], connection: BaseDatabaseWrapper
) -> list[_Column]:
    """Return the columns of the attributes `names`."""
    meta, quoted = rows[0]._meta, connection.ops.quote_name
    by_name: dict[str, Field[Any, Any]] = {field.attname: field for field in meta.concrete_fields}
    return [
        _Column(
            quoted(str(field.column)),
            field.rel_db_type(connection) or "",
            [field.get_db_prep_save(getattr(row, name), connection) for row in rows],
        )
        for name, field in ((name, by_name[name]) for name in names)
    ]


def _parted(columns: Sequence[_Column]) -> tuple[list[_Column], list[_Column]]:
    """Return the columns that have one value in all rows, and the others."""
    shared: list[_Column] = []
    apart: list[_Column] = []
    for column in columns:
        first = column.values[0]
        same = all(value is first or value == first for value in column.values)
        (shared if same else apart).append(column)
    return shared, apart


def _listed(columns: Sequence[_Column]) -> str:
    """Return a table `new` of these columns. Its first row says what their types are."""
    first = ", ".join(f"%s::{column.type}" for column in columns)
    others = f", {marks(columns)}" * (len(columns[0].values) - 1)
    names = ", ".join(column.name for column in columns)
    return f"(VALUES ({first}){others}) AS new ({names})"


def _in_rows(columns: Sequence[_Column]) -> list[Any]:
    return [value for row in zip(*(c.values for c in columns), strict=True) for value in row]
