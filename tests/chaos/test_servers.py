"""The servers of a storm, where they are given what is not plain."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import TupleRow

from tests.chaos.processes import wait_until
from tests.chaos.servers import PgBouncer, PostgreSQL

PASSWORD = "it's \\ 'quoted' ; # %include"


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    """A server with an account that has a password."""
    # Not below tmp_path, where the account of PostgreSQL may not come.
    folder = Path(tempfile.mkdtemp(prefix="authmail-servers-"))
    folder.chmod(0o755)
    server = PostgreSQL(folder)
    data = server.folder / "data"
    (data / "pg_hba.conf").write_text(
        "host all postgres 127.0.0.1/32 trust\nhost all app 127.0.0.1/32 scram-sha-256\n"
    )
    server.start()
    try:
        with wait_until(lambda: connected(server.url), "PostgreSQL") as connection:
            role = sql.SQL("CREATE ROLE app LOGIN PASSWORD {}").format(sql.Literal(PASSWORD))
            connection.execute(role)
        yield server
    finally:
        server.end()
        shutil.rmtree(folder)


def connected(url: str) -> psycopg.Connection[TupleRow] | None:
    with suppress(psycopg.OperationalError):
        return psycopg.connect(url)
    return None


def test_a_pool_is_told_any_password_in_a_file_that_only_its_account_reads(
    postgresql: PostgreSQL,
) -> None:
    database = {"HOST": "127.0.0.1", "PORT": postgresql.port, "NAME": "postgres"}
    database |= {"USER": "app", "PASSWORD": PASSWORD}
    pool = PgBouncer(postgresql.folder.parent, database)
    file = pool.folder / "pgbouncer.ini"
    assert (file.owner(), file.stat().st_mode & 0o777) == (pool.folder.owner(), 0o600)
    pool.start()
    try:
        wait_until(pool.answers, "PgBouncer")
        with psycopg.connect(pool.url) as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("app",)
    finally:
        pool.end()
