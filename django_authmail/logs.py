"""Log lines: one per change of a message's state, as text or JSON, without addresses or content."""

from __future__ import annotations

import logging
import re
import traceback
from datetime import datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError

from django_authmail import faults
from django_authmail.busy import working
from django_authmail.conf import conf
from django_authmail.extras import require

# What happened, what will be tried again, what was given up.
_LEVELS = {
    "accepted": logging.INFO,
    "partially_accepted": logging.WARNING,
    "queued": logging.INFO,
    "sending": logging.INFO,
    "superseded": logging.INFO,
}
_PREFIX = "authmail_"

# What SQLite, PostgreSQL and MySQL say of a table that is not there; PostgreSQL's code for it too,
# for it speaks the language of its server.
_MISSING = re.compile(
    r"no such (table|column)|has no column named"  # SQLite
    r"|relation .+ does not exist"
    r"|Table .+ doesn't exist|Unknown column"  # MySQL
)
#: PostgreSQL's codes of a table and of a column that are not there.
_UNDEFINED = ("42P01", "42703")
NO_TABLES = "tables or columns are missing; run manage.py migrate"

#: Of a long chain or traceback, the end that is nearest to the error.
_MAX_CLASSES = 5
_MAX_PLACES = 12


def log_event(logger: logging.Logger, *, id: object, state: str, **facts: Any) -> None:
    """Log that a message is now in `state`. Facts that are empty are left out."""
    level = _LEVELS.get(state, logging.ERROR)
    if state == "queued" and facts.get("error_code"):
        level = logging.WARNING  # deferred: it will be tried again
    log_line(logger, level, f"email.{state}", id=str(id), **facts)


def log_line(logger: logging.Logger, level: int, event: str, **facts: Any) -> None:
    """Log that `event` happened. Facts that are empty are left out."""
    if not logger.isEnabledFor(level):
        return
    known = {"event": event, **facts}
    shown = {name: value for name, value in known.items() if value not in ("", None)}
    text = " ".join(f"{name}={value}" for name, value in shown.items() if name != "event")
    # The values travel as attributes of the record too, for handlers that want them apart.
    extra = {_PREFIX + name: value for name, value in shown.items()}
    with working():
        logger.log(level, "%s %s", shown["event"], text, extra=extra)


def stamp(moment: datetime) -> str:
    """Return a time as log lines have it: ISO 8601 in the time zone of the process, with offset."""
    return moment.astimezone().isoformat(timespec="seconds")


def describe(error: BaseException) -> str:
    """Return an unexpected error for a log line: `KeyError from ValueError at=a.b:7 > c:12`.

    Of a database that failed, ` database=` and what it said: `faults` says how much of that.

    Log this and no `exc_info`: the error's text may hold what a caller sent, and an error tracker
    would collect the variables of every frame.
    """
    facts = describe_apart(error)
    return f"{facts['error']} at={facts['at']}{_database(error)}"


def describe_apart(error: BaseException) -> dict[str, str]:
    """Return what `describe` says as facts: `error`, the places `at` which it passed, `database`.

    The last is there where a database said what is wrong.
    """
    remedy = _remedy(error)
    error_text = class_chain(error) + (f": {remedy}" if remedy else "")
    return {"error": error_text, "at": places(error), **_database_apart(error)}


def named(error: BaseException) -> str:
    """Return an error that is expected, for the end of a line: its class, and ` database=`."""
    return type(error).__name__ + _database(error)


def named_apart(error: BaseException) -> dict[str, str]:
    """Return what `named` says as facts: `error`, and `database` where one said what is wrong."""
    return {"error": type(error).__name__, **_database_apart(error)}


def _database(error: BaseException) -> str:
    return "".join(f" {name}={text}" for name, text in _database_apart(error).items())


def _database_apart(error: BaseException) -> dict[str, str]:
    fault = faults.said(error)
    return {} if fault is None else {"database": fault.text}


def class_chain(error: BaseException) -> str:
    """Return the classes of an error and of those that led to it: `KeyError from ValueError`."""
    names: list[str] = []
    current: BaseException | None = error
    while current is not None and len(names) < _MAX_CLASSES:
        names.append(type(current).__name__)
        current = current.__cause__ or current.__context__
    return " from ".join(names)


def places(error: BaseException) -> str:
    """Return the modules and lines that an error passed, the one that raised it last."""
    frames = traceback.walk_tb(error.__traceback__)
    passed = [f"{frame.f_globals.get('__name__', '?')}:{line}" for frame, line in frames]
    return " > ".join(passed[-_MAX_PLACES:])


def _remedy(error: BaseException) -> str:
    # The text of a configuration error is the remedy, and shows nothing of a mail.
    if isinstance(error, ImproperlyConfigured):
        return str(error)
    return NO_TABLES if lacks_tables(error) else ""


def lacks_tables(error: BaseException) -> bool:
    """Tell whether a database said that tables or columns are missing: it was not migrated."""
    if not isinstance(error, OperationalError | ProgrammingError):
        return False
    # Both drivers of PostgreSQL have it there.
    code = getattr(getattr(error.__cause__, "diag", None), "sqlstate", None)
    return code in _UNDEFINED or bool(_MISSING.search(str(error)))


class Formatter(logging.Formatter):
    """Formats records as AUTHMAIL_LOG_FORMAT says: `text`, or one JSON object a line.

    Times are ISO 8601 with the offset from UTC, in the time zone of the process.

    For LOGGING: `{"()": "django_authmail.logs.Formatter"}`. JSON needs the extra `logs`.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._json: logging.Formatter | None = None

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        local = datetime.fromtimestamp(record.created).astimezone()
        return local.isoformat(timespec="milliseconds")

    def format(self, record: logging.LogRecord) -> str:
        if conf.log_format != "json":
            return super().format(record)
        if self._json is None:
            library = require("pythonjsonlogger.json", extra="logs", why="AUTHMAIL_LOG_FORMAT=json")
            self._json = library.JsonFormatter(
                "%(time)s %(levelname)s %(name)s %(message)s",
                rename_fields={"levelname": "level", "name": "logger"},
                json_ensure_ascii=False,
            )
        # A copy: other handlers get the record as it is.
        line = logging.makeLogRecord(vars(record))
        line.time = self.formatTime(record)
        names = [name for name in vars(record) if name.startswith(_PREFIX)]
        if names:
            # One object with the facts as members, instead of the same facts again in a text.
            line.msg, line.args = str(getattr(record, _PREFIX + "event", "")), ()
        for name in names:
            value = line.__dict__.pop(name)
            if name != _PREFIX + "event":
                setattr(line, name.removeprefix(_PREFIX), value)
        return self._json.format(line)
