"""Several statements for one way to PostgreSQL and back, through libpq's pipeline mode.

psycopg 3 opens the connection and understands what comes back; it writes what it sends by far more
steps than statements of ours need, and Django's cursor adds to them. BEGIN goes along with the
first statements of a transaction, and COMMIT with the last where the caller says which these are.

An INSERT that a connection has made a few times is prepared: the server parses and plans it once.
Nothing else is. An INSERT has nothing to choose, but the kept plan of a search does not see that a
table has grown, and reads all of it. Behind a pool that lends connections by transaction nothing is
prepared: the next transaction may be another server process's, which has never heard of it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import lru_cache
from types import NoneType
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import Binary, Connection, IsolationLevel, errors, waiting
from psycopg.abc import Buffer
from psycopg.pq import ExecStatus, Format, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.types.json import Json, Jsonb
from psycopg.types.string import TextLoader

#: Times that a connection makes an INSERT before it is prepared: most of those that Django closes
#: after each request never come to that.
_UNPREPARED = 3
#: Statements that are prepared on one connection. They differ by how many rows they have.
_MOST_PREPARED = 50
#: Of which is counted how often they are made.
_MOST_COUNTED = 500
#: What a server says of a prepared statement that it does not have (any more), or that does not
#: fit the table any more. Made anew, they work.
_STALE = (
    errors.InvalidSqlStatementName,
    errors.DuplicatePreparedStatement,
    errors.FeatureNotSupported,
    errors.DatatypeMismatch,
    # Of a value that has outgrown the type which its column had when the statement was prepared: an
    # integer that is a bigint by now. Or which is wrong, and is so once more.
    errors.NumericValueOutOfRange,
    errors.InvalidTextRepresentation,
    errors.InvalidDatetimeFormat,
)
#: Characters up to which a statement is remembered, by a connection and by the process: that is an
#: INSERT of ten rows. Longer ones are rarely the same twice.
_LONGEST_KEPT = 10_000
#: How long the server is asked to stop before its connection is left alone.
_CANCEL_SECONDS = 1.0
#: How many values PostgreSQL's protocol has room for beside one statement.
MOST_VALUES = 65_535
#: The attribute of a connection that has its session.
_SESSION = "_authmail_session"
_PLACE = re.compile("%%|%s")
_HOUR = timedelta(hours=1)
_NOTHING = timedelta()

Rows = list[tuple[Any, ...]]


class Statement(NamedTuple):
    """A statement with `%s` for each of its values."""

    sql: str
    values: Sequence[Any]


def carries(connection: BaseDatabaseWrapper) -> bool:
    """Whether `carry_out` works on this connection, which is one to PostgreSQL by psycopg 3.

    Not where somebody looks on: DEBUG, a test or a tool that is to be told of each statement.
    """
    if connection.queries_logged or connection.execute_wrappers or "cursor" in vars(connection):
        return False
    if not psycopg.Pipeline.is_supported():  # by the libpq that the driver has found
        return False
    # As Django does for each cursor.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    raw = connection.connection
    # A tool may have put something of its own in its place, and a caller's pipeline has answers of
    # its own to come.
    return isinstance(raw, Connection) and raw.pgconn.pipeline_status == PipelineStatus.OFF


def carry_out(
    connection: BaseDatabaseWrapper, statements: Sequence[Statement], *, ends: bool = False
) -> list[Rows]:
    """Carry the statements out, and return the rows of each.

    With `ends`, they are the last of their transaction: COMMIT goes along. Django's own COMMIT then
    finds nothing to do, and runs what waits for it.

    Raises:
        Error: as Django raises it, for the first that failed. The others had no effect.
    """
    connection.validate_thread_sharing()
    connection.validate_no_broken_transaction()
    raw: Connection[Any] = connection.connection
    session = _session(connection, raw)
    with connection.wrap_database_errors:
        try:
            return session.carry_out(raw, statements, ends=ends)
        except _STALE as error:
            if not session.forget():
                raise
            # A migration, or a pool that gave itself away by nothing: the same works unprepared.
            raise OperationalError("What was prepared is of no use any more") from error


class _Session:
    """What is known of one connection, which holds it: it lasts no longer than that."""

    def __init__(self, raw: Connection[Any], *, prepares: bool) -> None:
        self._encoding = raw.info.encoding
        self._names: dict[bytes, bytes] = {}
        self._made: Counter[bytes] = Counter()
        self._loads: dict[int, Callable[[Buffer], Any]] = {}
        # None: not known yet.
        self._prepares: bool | None = None if prepares else False

    def forget(self) -> bool:
        """Prepare nothing any more, and tell whether anything was."""
        had, self._names, self._prepares = bool(self._names), {}, False
        return had

    def carry_out(
        self, raw: Connection[Any], statements: Sequence[Statement], *, ends: bool
    ) -> list[Rows]:
        sent = [(_kept_or_numbered(one.sql), *self._encoded(one.values)) for one in statements]
        new = self._to_be_prepared([sql for sql, _, _ in sent], raw)
        names = self._names | new
        pgconn = raw.pgconn
        with raw.lock:
            begins = not raw.autocommit and pgconn.transaction_status == TransactionStatus.IDLE
            pgconn.enter_pipeline_mode()
            try:
                if begins:
                    pgconn.send_query_params(_begin(raw), None)
                for sql, name in new.items():
                    pgconn.send_prepare(name, sql)
                for sql, values, formats in sent:
                    if sql in names:
                        pgconn.send_query_prepared(names[sql], values, formats)
                    else:
                        pgconn.send_query_params(sql, values, param_formats=formats)
                if ends:
                    pgconn.send_query_params(b"COMMIT", None)
                pgconn.pipeline_sync()
                results = raw.wait(_exchanged(pgconn, self._encoding))
                pgconn.exit_pipeline_mode()
            except BaseException as error:
                # A signal, or the server has gone: nobody can tell any more what an answer belongs
                # to.
                _abandon(raw, is_under_way=not isinstance(error, psycopg.Error))
                raise
        prepared = results[begins : begins + len(new)]
        for (sql, name), result in zip(new.items(), prepared, strict=True):
            if result.status == ExecStatus.COMMAND_OK:  # also where a statement failed behind it
                self._names[sql] = name
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, encoding=self._encoding)
        first = begins + len(new)
        return [self._rows(result, raw) for result in results[first : first + len(sent)]]

    def _to_be_prepared(
        self, statements: Sequence[bytes], raw: Connection[Any]
    ) -> dict[bytes, bytes]:
        """Return those that are, with their names."""
        if self._prepares is False:
            return {}
        found: dict[bytes, bytes] = {}
        for sql in statements:
            if sql in self._names or sql in found or not sql.startswith(b"INSERT"):
                continue
            if len(sql) > _LONGEST_KEPT:
                continue
            if len(self._made) >= _MOST_COUNTED:
                self._made.clear()
            self._made[sql] += 1
            number = len(self._names) + len(found) + 1
            if self._made[sql] > _UNPREPARED and number <= _MOST_PREPARED:
                found[sql] = b"authmail_%d" % number
        if found and self._prepares is None:
            self._prepares = _is_alone(raw)
        return found if self._prepares else {}

    def _encoded(self, values: Sequence[Any]) -> tuple[list[bytes | None], list[int]]:
        encoding = self._encoding
        encoders = [_ENCODERS.get(type(value)) or _inherited(type(value)) for value in values]
        return (
            [encode(value, encoding) for encode, value in zip(encoders, values, strict=True)],
            [Format.BINARY if encode is _octets else Format.TEXT for encode in encoders],
        )

    def _rows(self, result: PGresult, raw: Connection[Any]) -> Rows:
        if not result.ntuples:
            return []
        loads = [self._load(result.ftype(column), raw) for column in range(result.nfields)]
        found = result.get_value
        return [
            tuple(
                None if (value := found(row, column)) is None else load(value)
                for column, load in enumerate(loads)
            )
            for row in range(result.ntuples)
        ]

    def _load(self, type: int, raw: Connection[Any]) -> Callable[[Buffer], Any]:
        """Return what reads a value of this type, as the driver and Django have agreed on it."""
        if type not in self._loads:
            loader = raw.adapters.get_loader(type, Format.TEXT) or TextLoader
            self._loads[type] = loader(type, raw).load
        return self._loads[type]


def _session(connection: BaseDatabaseWrapper, raw: Connection[Any]) -> _Session:
    session: _Session | None = getattr(raw, _SESSION, None)
    if session is None:
        settings = connection.settings_dict
        # What Django's documentation has for a pool that lends connections by transaction.
        pooled = settings.get("DISABLE_SERVER_SIDE_CURSORS", False)
        session = _Session(raw, prepares=not pooled)
        setattr(raw, _SESSION, session)
    return session


def _is_alone(raw: Connection[Any]) -> bool:
    """Whether the server's process is this connection's: a pool has no number, or its own."""
    rows = raw.execute("SELECT pg_backend_pid()").fetchall()
    return rows == [(raw.info.backend_pid,)]


def _abandon(raw: Connection[Any], *, is_under_way: bool) -> None:
    """Drop a connection, and stop what the server would go on with, and hold locked."""
    try:
        if is_under_way:
            with suppress(psycopg.Error):
                raw.cancel_safe(timeout=_CANCEL_SECONDS)
    finally:
        # Not `close`, by which a pool may take it back.
        raw.pgconn.finish()


def _exchanged(
    pgconn: PGconn, encoding: str
) -> Generator[waiting.Wait, waiting.Ready | int, list[PGresult]]:
    """Send what is to be sent, and return a result for each, as psycopg's `wait` wants it."""
    results: list[PGresult] = []
    try:
        # A server that waits to get rid of its answers takes nothing more.
        while pgconn.flush():
            if (yield waiting.WAIT_RW) & waiting.READY_R:
                pgconn.consume_input()
        while True:
            while pgconn.is_busy():
                yield waiting.WAIT_R
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                continue  # the end of one statement's
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)
    except psycopg.Error as gone:
        # A server that hangs up may have said why.
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, encoding=encoding) from gone
        raise


def _begin(raw: Connection[Any]) -> bytes:
    words = ["BEGIN"]
    if raw.isolation_level is not None:  # DATABASES' OPTIONS
        words += ["ISOLATION LEVEL", IsolationLevel(raw.isolation_level).name.replace("_", " ")]
    if raw.read_only is not None:
        words.append("READ ONLY" if raw.read_only else "READ WRITE")
    if raw.deferrable is not None:
        words.append("DEFERRABLE" if raw.deferrable else "NOT DEFERRABLE")
    return " ".join(words).encode()


def _kept_or_numbered(sql: str) -> bytes:
    return _kept(sql) if len(sql) <= _LONGEST_KEPT else _numbered(sql)


def _numbered(sql: str) -> bytes:
    """Return the statement with $1, $2 ... for its values."""
    numbers = itertools.count(1)
    return _PLACE.sub(lambda found: "%" if found[0] == "%%" else f"${next(numbers)}", sql).encode()


_kept = lru_cache(maxsize=512)(_numbered)


# How a value looks to PostgreSQL; what type it is of, the statement tells.


def _nothing(value: None, encoding: str) -> None:
    return None


def _text(value: str, encoding: str) -> bytes:
    if "\0" in value:
        # libpq would send what is before it.
        raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
    return value.encode(encoding)


def _truth(value: bool, encoding: str) -> bytes:
    return b"t" if value else b"f"


def _number(value: int, encoding: str) -> bytes:
    return b"%d" % value


def _hexadecimal(value: UUID, encoding: str) -> bytes:
    return value.hex.encode()


def _moment(value: datetime, encoding: str) -> bytes:
    return value.isoformat().encode()


def _span(value: timedelta, encoding: str) -> bytes:
    # Not in days: where clocks are changed, one of those is not always of 24 hours. Nor all of it
    # in a small unit: until PostgreSQL 15, a number there has 32 bits.
    hours, rest = divmod(abs(value), _HOUR)
    minutes, seconds = divmod(rest.seconds, 60)
    sign = "-" if value < _NOTHING else ""
    return f"{sign}{hours}:{minutes:02}:{seconds:02}.{rest.microseconds:06}".encode()


def _json(value: Json | Jsonb, encoding: str) -> bytes:
    return str((value.dumps or json.dumps)(value.obj)).encode(encoding)


def _octets(value: Binary | bytes | bytearray | memoryview, encoding: str) -> bytes:
    return bytes(value.obj if isinstance(value, Binary) else value)


_ENCODERS: dict[type, Callable[[Any, str], bytes | None]] = {
    NoneType: _nothing,
    str: _text,
    bool: _truth,
    int: _number,
    UUID: _hexadecimal,
    datetime: _moment,
    timedelta: _span,
    Json: _json,
    Jsonb: _json,
    Binary: _octets,
    bytes: _octets,
    bytearray: _octets,
    memoryview: _octets,
}


def _inherited(kind: type) -> Callable[[Any, str], bytes | None]:
    for known in kind.__mro__:  # an enumeration of texts is a text
        if known in _ENCODERS:
            return _ENCODERS[known]
    raise TypeError(f"a statement has a value of the type {kind.__name__}")
