"""What a command says of a database that fails: a line, in place of a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from django_authmail import faults, transactions
from django_authmail.management.tables import missing_tables


class DatabaseCommand(BaseCommand):
    """A command that ends in a CommandError where the database fails it, and says if it waits."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        with explained(), transactions.waits_told(self._tell):
            return super().execute(*args, **options)

    def _tell(self, error: Exception, seconds: float) -> None:
        self.stderr.write(f"Trying again, for {seconds:.0f} s at most. {told(error)}")


@contextmanager
def explained() -> Iterator[None]:
    """Turn an error of the database into a CommandError where it is no mistake of a statement."""
    try:
        yield
    except (transactions.NoTables, transactions.StatementTooLarge) as error:
        raise CommandError(str(error)) from None
    except Error as error:
        if (lack := lacking(error)) is not None:
            raise lack from None
        if isinstance(error, transactions.FAILED):
            raise CommandError(told(error)) from None
        raise


def lacking(error: BaseException) -> CommandError | None:
    """Return what to raise where a table is missing; None where the error is another."""
    fault = faults.said(error)
    if fault is not None and fault.is_away:
        return None  # to ask it may take as long again
    try:
        missing = missing_tables()
    except Error:
        return None
    if not missing:
        return None
    return CommandError(f"The database has no table {missing[0]}; run: manage.py migrate")


def told(error: BaseException) -> str:
    """Say what is wrong with the database, without a value of a row."""
    fault = faults.said(error)
    if fault is None:
        return f"The database failed: {type(error).__name__}"
    return f"The database {'does not answer' if fault.is_away else 'failed'}: {fault.text}"
