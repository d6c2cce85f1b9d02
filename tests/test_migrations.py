"""The migrations make the tables that the models describe."""

from __future__ import annotations

from django.core.management import call_command


def test_no_model_is_ahead_of_its_migrations(db: None) -> None:
    call_command("makemigrations", "authmail", check=True, dry_run=True, verbosity=0)
