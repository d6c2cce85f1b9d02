"""What a database that fails says of itself, as far as logs and people may be shown it.

What is said of a connection names a server, a user and a database. What is said of a statement may
hold the values of a row, an address for one: of that there is only the code.
"""

from __future__ import annotations

from typing import NamedTuple

from django.db import Error, InterfaceError, OperationalError

#: Of a chain of errors, as many as are looked at, and of a text, as many characters.
_MAX_ERRORS = 5
_MAX_TEXT = 300

# Appendix A of PostgreSQL's manual, by class: the connection; the login; the database; a server out
# of room or of places; one that an operator stops, or that has just started.
_AWAY = ("08", "28", "3D", "53", "57P")
# It is read-only; transactions collided; a lock was not to be had; a time ran out.
_HINDERED = ("25006", "40", "55P03", "57")

# Of MySQL's and MariaDB's, those that a connection meets. All of the client's, from 2000 on, are
# of the connection as well.
_MYSQL_AWAY = frozenset(
    (1040, 1042, 1043, 1044, 1045, 1049, 1053, 1129, 1130, 1203, 1226, 1927, 4031)
)
_MYSQL_CLIENT = range(2000, 3000)
# The disk is full, it is read-only, a lock was not to be had, two collided, a time ran out.
_MYSQL_HINDERED = frozenset((1021, 1205, 1213, 1290, 1317, 1969, 3024))

#: SQLite's codes of a file that cannot be used now.
_SQLITE_AWAY = ("BUSY", "CANTOPEN", "CORRUPT", "FULL", "IOERR", "LOCKED", "NOTADB", "READONLY")


class Fault(NamedTuple):
    """What a database said."""

    #: One line: its own where that shows no value of a row, else its code.
    text: str
    #: Whether it would say so to any statement: it is down, it starts, it takes nobody more.
    is_away: bool


def said(error: BaseException) -> Fault | None:
    """Return what the database said that led to `error`; None where none did, or no driver tells.

    The driver's own error is the cause of Django's.
    """
    current: BaseException | None = error
    for _ in range(_MAX_ERRORS):
        if current is None:
            return None
        if isinstance(current, Error) and current.__cause__ is not None:
            by_driver = current.__cause__
            of_connection = isinstance(current, OperationalError | InterfaceError)
            return (
                _by_postgresql(by_driver, of_connection=of_connection)
                or _by_sqlite(by_driver)
                or _by_mysql(by_driver)
            )
        current = current.__cause__ or current.__context__
    return None


def _by_postgresql(error: BaseException, *, of_connection: bool) -> Fault | None:
    # Both drivers have it there; without a code, no statement came as far as the server.
    diagnosis = getattr(error, "diag", None)
    if diagnosis is None:
        return None
    code = diagnosis.sqlstate or getattr(error, "sqlstate", None) or ""
    is_away = code.startswith(_AWAY) or (of_connection and not code)
    if is_away or code.startswith(_HINDERED):
        return Fault(_line(error), is_away)
    return Fault(f"SQLSTATE {code}" if code else type(error).__name__, is_away=False)


def _by_sqlite(error: BaseException) -> Fault | None:
    name = getattr(error, "sqlite_errorname", "")
    if not name:
        return None
    is_away = name.removeprefix("SQLITE_").startswith(_SQLITE_AWAY)
    return Fault(_line(error) if is_away else name, is_away)


def _by_mysql(error: BaseException) -> Fault | None:
    code = error.args[0] if error.args else None
    if not isinstance(code, int):
        return None
    is_away = code in _MYSQL_AWAY or code in _MYSQL_CLIENT
    if is_away or code in _MYSQL_HINDERED:
        return Fault(f"{code} {_line(error.args[-1])}", is_away)
    return Fault(f"error {code}", is_away=False)


def _line(given: object) -> str:
    """Return one line: the server's own where the client tried several addresses, else the first.

    What follows is how each of them went, or DETAIL and CONTEXT, which may hold values.
    """
    lines = [" ".join(line.split()) for line in str(given).splitlines() if line.strip()]
    first = lines[0] if lines else type(given).__name__
    return next((line for line in lines if "FATAL:" in line), first)[:_MAX_TEXT]
