"""Migrations run twice, from two places and after a killed one, and end in what sql/schema.sql says."""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from geoingest import config
from geoingest.lifecycle import migrations
from geoingest.local import cluster, roles
from tests import conftest, processes

NOW = datetime.datetime.now(datetime.UTC)
Blank = Callable[[], conftest.Database]


@pytest.fixture
def blank(servers: cluster.Cluster) -> Iterator[Blank]:
    """Makes databases with nothing in them."""
    with contextlib.ExitStack() as stack:

        def make() -> conftest.Database:
            name = f"blank_{secrets.token_hex(4)}"
            admin_url = servers.url(cluster.PRIMARY_PORT, user="postgres", database="postgres")
            admin = stack.enter_context(psycopg.connect(admin_url, autocommit=True))
            identifier = sql.Identifier(name)
            owner = sql.Identifier(roles.OWNER)
            admin.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, owner))
            stack.callback(
                admin.execute, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier)
            )
            return conftest.Database(
                servers.url(cluster.PRIMARY_PORT, database=name),
                servers.url(cluster.REPLICA_PORT, database=name),
                servers.url(cluster.PRIMARY_PORT, user="postgres", database=name),
            )

        yield make


def _migrate(database: conftest.Database) -> list[str]:
    return migrations.run(database.url, detail_days=90, now=NOW)


def _files() -> list[str]:
    return sorted(path.stem for path in (config.sql_folder() / "migrations").glob("*.sql"))


def _dump(servers: cluster.Cluster, database: conftest.Database) -> str:
    """The schema as pg_dump writes it, without yoyo's tables, months, comments and blank lines."""
    done = subprocess.run(
        [
            *(str(servers.programs / "pg_dump"), "--schema-only", "--no-owner"),
            # Those are the grants' own, and schema.sql has none.
            "--no-privileges",
            *("--exclude-table", "*yoyo*", "--exclude-table", "geolocation_data_y*"),
            *("--dbname", database.url),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    # \restrict and \unrestrict carry a new random word each time.
    return "\n".join(
        line for line in done.stdout.splitlines() if line[:2] not in {"", "--", "\\r", "\\u"}
    )


def _role_settings(database: conftest.Database) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT unnest(setconfig) FROM pg_db_role_setting JOIN pg_database"
        " ON pg_database.oid = setdatabase WHERE datname = current_database()"
    )


def _ours(database: conftest.Database) -> list[object]:
    """Our tables: not yoyo's own, and the months only by their parent."""
    tables = database.query(
        "SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p') AND relname !~ 'yoyo|_y[0-9]{4}m[0-9]{2}$'"
    )
    return [table for (table,) in tables]


def test_the_second_run_changes_nothing(blank: Blank, servers: cluster.Cluster) -> None:
    """The first names every file and month it made, the second nothing, and the schema stays."""
    database = blank()

    first = _migrate(database)
    dumped = _dump(servers, database)
    second = _migrate(database)

    assert first[: len(_files())] == _files()
    assert len(first) > len(_files())
    assert second == []
    assert _dump(servers, database) == dumped


def test_two_processes_at_once_do_it_once(blank: Blank) -> None:
    """One works while the other waits; together they report each change once, and both exit 0."""
    database = blank()

    both = [
        subprocess.Popen(
            [sys.executable, "-m", "geoingest", "migrate"],
            env={**processes.plain_environment(), **processes.urls(database)},
            cwd=processes.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [one.communicate(timeout=120) for one in both]

    assert [one.returncode for one in both] == [0, 0], outputs
    lines = [line for stdout, _ in outputs for line in stdout.splitlines()]
    assert sorted(lines) == sorted(set(lines))
    assert set(lines) > set(_files())
    assert _migrate(database) == []


def test_many_threads_at_once_do_it_once(blank: Blank) -> None:
    """Whoever comes first does all of it."""
    database = blank()

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(_migrate, [database] * 4))

    done = [one for report in reports for one in report]
    assert sorted(done) == sorted(set(done))
    assert sum(bool(report) for report in reports) == 1


def test_a_killed_migration_blocks_no_later_one(blank: Blank) -> None:
    """yoyo's lock row of a process that is gone is removed by whoever holds our own lock."""
    database = blank()
    made = _migrate(database)
    month = made[-1]
    database.query(f"DROP TABLE {month}")
    database.query(
        "INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now() - interval '1 hour', 4194305)"
    )

    again = _migrate(database)

    assert again == [month]
    assert database.query("SELECT count(*) FROM yoyo_lock") == [(0,)]


def test_schema_sql_is_the_sum_of_the_migrations(blank: Blank, servers: cluster.Cluster) -> None:
    """What sql/schema.sql makes and what the migrations make is the same, comment for comment."""
    migrated, written = blank(), blank()

    _migrate(migrated)
    written.query((config.sql_folder() / "schema.sql").read_text())

    dumped = _dump(servers, migrated)
    assert "CREATE TABLE public.geolocation_data" in dumped
    assert dumped == _dump(servers, written)


def test_timeouts_are_put_in_force_again(blank: Blank) -> None:
    """A dump and restore loses what is set for the role; `migrate`, which /readyz advises, mends it."""
    database = blank()
    _migrate(database)
    before = sorted(map(str, _role_settings(database)))
    (name,) = database.query("SELECT current_database()")[0]
    database.query(f"ALTER ROLE CURRENT_USER IN DATABASE {name} RESET ALL")

    _migrate(database)

    assert len(before) == 6
    assert sorted(map(str, _role_settings(database))) == before


def test_every_table_says_what_it_is(database: conftest.Database) -> None:
    """And every column that measures says in which unit."""
    silent = database.query(
        "SELECT oid::regclass::text FROM pg_class WHERE oid = any($1::oid[])"
        " AND obj_description(oid, 'pg_class') IS NULL",
        _ours(database),
    )
    measured = database.query(
        "SELECT attname, coalesce(col_description(attrelid, attnum), '')"
        " FROM pg_attribute WHERE attrelid = any($1::oid[]) AND atttypid = any($2::regtype[])",
        _ours(database),
        ["real", "double precision", "smallint", "numeric", "interval"],
    )

    units = re.compile(r"degree|metre|percent|seconds", re.IGNORECASE)
    assert silent == []
    assert {"latitude", "longitude", "accuracy", "battery"} <= {str(name) for name, _ in measured}
    # A sum of bits has none.
    assert {name for name, words in measured if not units.search(str(words))} == {"flags"}


def test_every_constraint_has_a_name_that_someone_chose(database: conftest.Database) -> None:
    """A check, a key or a reference that is broken says in a word which rule it was."""
    constraints = database.query(
        "SELECT conname, relname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE conrelid = any($1::oid[]) AND contype IN ('c', 'u', 'f', 'x')",
        _ours(database),
    )

    made_up = [name for name, table in constraints if str(name).startswith(f"{table}_")]
    assert len(constraints) >= 10
    assert made_up == []
