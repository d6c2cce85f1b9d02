"""What every request and every worker asks the database, by hand.

The ORM takes several times as long to write these statements as a database to carry them out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from types import ModuleType, NoneType
from typing import Any, Self, TypeVar
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import (
    BinaryField,
    BooleanField,
    CharField,
    DateTimeField,
    Field,
    ForeignKey,
    Model,
    PositiveIntegerField,
    PositiveSmallIntegerField,
    UUIDField,
)

from django_authmail import clock

#: What a statement found.
Rows = list[tuple[Any, ...]]
M = TypeVar("M", bound=Model)

# Values that PostgreSQL's drivers take as they are, and fields that have nothing to do to them. Not
# what inherits from one of these: an enumeration is its value to Django, and may be its name to a
# driver.
_PLAIN = frozenset((bool, datetime, int, NoneType, str, UUID))
_PLAINLY = frozenset((
    BooleanField, CharField, DateTimeField, ForeignKey, PositiveIntegerField,
    PositiveSmallIntegerField, UUIDField,
))  # fmt: skip

#: Of contents in one statement, unless a single row has more. MariaDB takes statements of 16 MB,
#: and what is put together here must not be refused where each by itself would be taken.
_MOST_BYTES = 1_000_000


class Trip:
    """Statements for one way to the database and back, made at the end of a `with` block.

    Where the driver cannot take several at once, they are carried out one after another, in the
    same order. Inside of a transaction: one that fails must take the others back.

    With `ends`, nothing else is asked in the `atomic` block that this stands in: where that is the
    one that began the transaction, COMMIT goes along.
    """

    def __init__(self, using: str, *, ends: bool = False) -> None:
        self.using = using
        self._ends = ends
        self._steps: list[_Step] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *about: object) -> None:
        if kind is None:
            self._make()

    def ask(self, sql: str, values: Sequence[Any] | None = None) -> Rows:
        """Return what will have the statement's rows, as the driver gives them."""
        found: Rows = []
        self._steps.append(_Step(sql, values, found.extend))
        return found

    def ask_time(self) -> Callable[[], datetime]:
        """Return what will tell the database's time, as `db_now` does."""
        found = self.ask(clock.question(self.using))
        return lambda: clock.reading(found[0][0])

    def insert(self, objects: Sequence[M], *, keys: bool = True) -> None:
        """Insert `objects`, all of one model, as `bulk_create` does.

        Where the database tells the keys that it makes, the objects get them; not without `keys`,
        which is cheaper for many that are much alike.
        """
        for batch in _batches(objects, self.using):
            key = batch[0]._meta.auto_field if keys else None
            if not connections[self.using].features.can_return_rows_from_bulk_insert:
                key = None
            sql, values = _insertion(batch, self.using, returning=key)
            self._steps.append(_Step(sql, values, partial(_inserted, batch, key, self.using)))

    def update(self, rows: Sequence[Model], names: Sequence[str]) -> None:
        """Write the fields `names` of all `rows`, which are of one model.

        Not as `bulk_update` does: its CASE for each row and field costs more than all the rest.
        What the rows have in common, as the outcomes of a batch have nearly everything, is written
        once.
        """
        if not rows:
            return
        connection = connections[self.using]
        meta = rows[0]._meta
        by_name = {field.attname: field for field in meta.concrete_fields}
        shared, apart = _parted(rows, [by_name[name] for name in names], connection)
        key = _Column.of(rows, meta.pk, connection)
        target = table(type(rows[0]), self.using)
        changed = [f"{column.name} = %s" for column in shared]
        once = [column.values[0] for column in shared]
        if not apart:
            changes = ", ".join(changed)
            self.ask(
                f"UPDATE {target} SET {changes} WHERE {key.name} IN {marks(rows)}",
                [*once, *key.values],
            )
        elif connection.vendor == "postgresql":
            # One statement, parsed and planned once.
            changes = ", ".join([*changed, *(f"{c.name} = new.{c.name}" for c in apart)])
            self.ask(
                f"UPDATE {target} SET {changes} FROM {_listed([*apart, key])} "
                f"WHERE {target}.{key.name} = new.{key.name}",
                [*once, *_in_rows([*apart, key])],
            )
        else:
            changes = ", ".join([*changed, *(f"{c.name} = %s" for c in apart)])
            each = zip(*(c.values for c in (*apart, key)), strict=True)
            sql = f"UPDATE {target} SET {changes} WHERE {key.name} = %s"
            self._steps.append(_Step(sql, each=[(*once, *row) for row in each]))

    def _make(self) -> None:
        steps, self._steps = self._steps, []
        if not steps:
            return
        connection = connections[self.using]
        pipeline = _pipeline(connection, steps)
        if pipeline is not None:
            asked = [pipeline.Statement(step.sql, step.values or ()) for step in steps]
            ends = self._ends and _is_outermost(connection)
            for step, found in zip(
                steps, pipeline.carry_out(connection, asked, ends=ends), strict=True
            ):
                step.take(found)
            return
        with connection.cursor() as cursor:
            for step in steps:
                if step.each:
                    cursor.executemany(step.sql, step.each)
                else:
                    cursor.execute(step.sql, step.values)
                    step.take(_rows(cursor))


@dataclass(frozen=True, slots=True)
class _Step:
    """One statement of a trip."""

    sql: str
    values: Sequence[Any] | None = None
    #: Takes the rows that came of it.
    take: Callable[[Rows], object] = lambda rows: None
    #: Values for one run each, in place of `values`.
    each: Sequence[Sequence[Any]] = ()


def _pipeline(connection: BaseDatabaseWrapper, steps: Sequence[_Step]) -> ModuleType | None:
    """Return what carries out these statements at once, where this connection can."""
    if connection.vendor != "postgresql":
        return None
    pipeline = _psycopg3_pipeline()
    if pipeline is None:
        return None
    if any(len(step.values or ()) > pipeline.MOST_VALUES for step in steps):
        # Django's cursor writes them into the statement.
        return None
    return pipeline if pipeline.carries(connection) else None


@cache
def _psycopg3_pipeline() -> ModuleType | None:
    # Here, because they import the driver. psycopg2 has no such thing.
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if not is_psycopg3:
        return None
    from django_authmail import pipeline

    return pipeline


def _is_outermost(connection: BaseDatabaseWrapper) -> bool:
    """Whether the innermost `atomic` block is the one that began the transaction."""
    return connection.in_atomic_block and not connection.savepoint_ids


def _rows(cursor: Any) -> Rows:  # a wrapper of the driver's
    return [] if cursor.description is None else list(cursor.fetchall())


def _inserted(batch: Sequence[Model], key: Field[Any, Any] | None, using: str, made: Rows) -> None:
    if key is not None:
        for one, (value,) in zip(batch, made, strict=True):
            setattr(one, key.attname, value)
    for one in batch:
        one._state.adding = False
        one._state.db = using


@cache
def table(model: type[Model], using: str) -> str:
    """Return the name of a table as it stands in a statement."""
    return connections[using].ops.quote_name(model._meta.db_table)


def moment(value: Any, using: str) -> datetime:  # each driver has its own
    """Return a point in time that a statement found."""
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    return time if time.tzinfo else time.replace(tzinfo=connections[using].timezone)


def marks(values: Collection[object]) -> str:
    """Return the place of `values` in a statement, as after IN."""
    return f"({', '.join(['%s'] * len(values))})"


@cache
def _stored(model: type[Model]) -> list[Field[Any, Any]]:
    """Return the fields whose values do not come from the database."""
    meta = model._meta
    return [field for field in meta.concrete_fields if field is not meta.auto_field]


@cache
def _names(model: type[Model], using: str) -> str:
    """Return their columns, as they stand in a statement."""
    quoted = connections[using].ops.quote_name
    return ", ".join(quoted(str(field.column)) for field in _stored(model))


def _batches(objects: Sequence[M], using: str) -> Iterator[Sequence[M]]:
    """Yield as many at once as a statement can have values for, and not too many bytes."""
    if len(objects) < 2:
        yield from [objects] if objects else []
        return
    fields = _stored(type(objects[0]))
    most = max(1, connections[using].ops.bulk_batch_size(fields, objects))
    contents = [field.attname for field in fields if isinstance(field, BinaryField)]
    batch: list[M] = []
    size = 0
    for one in objects:
        added = sum(len(getattr(one, name) or b"") for name in contents)
        if batch and (len(batch) == most or size + added > _MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(one)
        size += added
    yield batch


def _insertion(
    batch: Sequence[Model], using: str, *, returning: Field[Any, Any] | None = None
) -> tuple[str, list[Any]]:
    connection = connections[using]
    model = type(batch[0])
    target = table(model, using)
    fields = _stored(model)
    if connection.vendor == "postgresql" and returning is None and len(batch) > 1:
        shared, apart = _parted(batch, fields, connection)
        if shared and apart:
            names = ", ".join(column.name for column in (*shared, *apart))
            once = ", ".join(f"%s::{column.type}" for column in shared)
            each = ", ".join(f"new.{column.name}" for column in apart)
            return (
                f"INSERT INTO {target} ({names}) SELECT {once}, {each} FROM {_listed(apart)}",
                [*(column.values[0] for column in shared), *_in_rows(apart)],
            )
    # In the order of `batch`: the keys are told in that of the VALUES.
    rows = ", ".join([marks(fields)] * len(batch))
    sql = f"INSERT INTO {target} ({_names(model, using)}) VALUES {rows}"
    if returning is not None:
        sql += f" RETURNING {connection.ops.quote_name(str(returning.column))}"
    return sql, [_value(one, field, connection) for one in batch for field in fields]


def _value(one: Model, field: Field[Any, Any], connection: BaseDatabaseWrapper) -> Any:
    """Return what a row has of a field, as the database takes it."""
    value = getattr(one, field.attname)
    if type(value) in _PLAIN and type(field) in _PLAINLY and connection.vendor == "postgresql":
        return value  # what Django would come to by six calls
    return field.get_db_prep_save(value, connection)


@dataclass(frozen=True, slots=True)
class _Column:
    """A column and its values as the database takes them: one for each row, or one for all."""

    field: Field[Any, Any]
    connection: BaseDatabaseWrapper
    values: list[Any]

    @classmethod
    def of(
        cls, rows: Sequence[Model], field: Field[Any, Any], connection: BaseDatabaseWrapper
    ) -> _Column:
        return cls(field, connection, [_value(row, field, connection) for row in rows])

    @property
    def name(self) -> str:
        return self.connection.ops.quote_name(str(self.field.column))

    @property
    def type(self) -> str:
        # Without the length of a varchar: a cast to that would cut what is too long, silently.
        return (self.field.rel_db_type(self.connection) or "").partition("(")[0]


def _parted(
    rows: Sequence[Model], fields: Sequence[Field[Any, Any]], connection: BaseDatabaseWrapper
) -> tuple[list[_Column], list[_Column]]:
    """Return the columns of the fields that say the same in all rows, and the others."""
    shared: list[_Column] = []
    apart: list[_Column] = []
    for field in fields:
        first = getattr(rows[0], field.attname)
        if all(getattr(row, field.attname) == first for row in rows):
            shared.append(_Column.of(rows[:1], field, connection))
        else:
            apart.append(_Column.of(rows, field, connection))
    return shared, apart


def _listed(columns: Sequence[_Column]) -> str:
    """Return a table `new` of these columns. Its first row says what their types are."""
    first = ", ".join(f"%s::{column.type}" for column in columns)
    others = f", {marks(columns)}" * (len(columns[0].values) - 1)
    names = ", ".join(column.name for column in columns)
    return f"(VALUES ({first}){others}) AS new ({names})"


def _in_rows(columns: Sequence[_Column]) -> list[Any]:
    return [value for row in zip(*(c.values for c in columns), strict=True) for value in row]
