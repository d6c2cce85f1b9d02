"""Log lines: one per change of a message's state, as text or JSON, without addresses or content."""

from __future__ import annotations

import logging
from typing import Any

from django_authmail.conf import conf
from django_authmail.extras import require

# What happened, what will be tried again, what was given up.
_LEVELS = {
    "accepted": logging.INFO,
    "partially_accepted": logging.WARNING,
    "queued": logging.INFO,
    "sending": logging.INFO,
}
_PREFIX = "authmail_"


def log_event(logger: logging.Logger, *, id: object, state: str, **facts: Any) -> None:
    """Log that a message is now in `state`. Facts that are empty are left out."""
    level = _LEVELS.get(state, logging.ERROR)
    if state == "queued" and facts.get("error_code"):
        level = logging.WARNING  # deferred: it will be tried again
    if not logger.isEnabledFor(level):
        return
    known = {"event": f"email.{state}", "id": str(id), **facts}
    shown = {name: value for name, value in known.items() if value not in ("", None)}
    text = " ".join(f"{name}={value}" for name, value in shown.items() if name != "event")
    # The values travel as attributes of the record too, for handlers that want them apart.
    extra = {_PREFIX + name: value for name, value in shown.items()}
    logger.log(level, "%s %s", shown["event"], text, extra=extra)


class Formatter(logging.Formatter):
    """Formats records as AUTHMAIL_LOG_FORMAT says: `text`, or one JSON object a line.

    For LOGGING: `{"()": "django_authmail.logs.Formatter"}`. JSON needs the extra `logs`.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")
        self._json: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if conf.log_format != "json":
            return super().format(record)
        if self._json is None:
            library = require("pythonjsonlogger.json", extra="logs", why="AUTHMAIL_LOG_FORMAT=json")
            self._json = library.JsonFormatter(
                "%(asctime)s %(levelname)s %(name)s %(message)s",
                rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
                json_ensure_ascii=False,
            )
        names = [name for name in vars(record) if name.startswith(_PREFIX)]
        if not names:
            return self._json.format(record)
        # One object with the facts as members, instead of the same facts again in a text.
        line = logging.makeLogRecord(vars(record))
        line.msg, line.args = str(getattr(record, _PREFIX + "event", "")), ()
        for name in names:
            value = line.__dict__.pop(name)
            if name != _PREFIX + "event":
                setattr(line, name.removeprefix(_PREFIX), value)
        return self._json.format(line)
