"""Which commands of manage.py run before the mail server is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: They neither serve nor send, so they run before SMTP_HOST is known. `check` reports it by id.
WITHOUT_MAIL = frozenset(
    {
        "authmail_key",
        "changepassword",
        "check",
        "collectstatic",
        "compilemessages",
        "createsuperuser",
        "dbshell",
        "demo",
        "diffsettings",
        "findstatic",
        "help",
        "makemessages",
        "makemigrations",
        "migrate",
        "showmigrations",
        "spectacular",
        "sqlmigrate",
        "version",
    }
)

#: What counts for /metrics: no command of manage.py (a server or worker of its own), and these.
COUNTING = frozenset({"", "authmail_dispatch", "runserver"})


def management_command(argv: Sequence[str]) -> str:
    """Return the command that manage.py was given; empty for any other program."""
    if not argv or Path(argv[0]).name != "manage.py":
        return ""
    if {"-h", "--help"} & set(argv):
        return "help"
    if len(argv) == 1:
        return "help"
    return "version" if argv[1] == "--version" else argv[1]


def needs_mail_server(argv: Sequence[str]) -> bool:
    """Whether this process may send mail, and must therefore not start without SMTP_HOST."""
    return management_command(argv) not in WITHOUT_MAIL
