"""Right after an import, before anything was analyzed, who sees whom is still found by keys: no more rows are read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest

from geoingest import db
from geoingest.access import provision
from tests import conftest

STUDENTS = 20_000
NAMED = 200
# An ANALYZE that ran beside an import has seen the pages and none of their rows.
_BELIEVED = (
    "UPDATE pg_class SET reltuples = 1, relpages = greatest(1, pg_relation_size(oid) / 8192)"
    " WHERE relname IN ('students', 'guardianships')"
)
_READ = (
    "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_xact_user_tables"
    " WHERE relname IN ('students', 'guardianships')"
)


@pytest.fixture
def connection(
    database: conftest.Database, school: object
) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """To a town of two schools, whose tables look tiny to the planner."""
    del school
    with psycopg.connect(database.admin_url, autocommit=True) as made:
        made.execute("INSERT INTO schools (school_id) VALUES (71), (72)")
        made.execute(
            "INSERT INTO students (student_id, school_id)"
            " SELECT one, 71 + (one > %s)::int FROM generate_series(101, 100 + %s) AS one",
            [100 + NAMED, STUDENTS],
        )
        made.execute(_BELIEVED)
        yield made


def _viewer(database: conftest.Database, *, sees_all: bool) -> int:
    with db.direct(database.url) as connection:
        viewer_id, _ = provision.add_viewer(connection, None)
    database.administer(
        "UPDATE viewers SET sees_all = $2 WHERE viewer_id = $1", viewer_id, sees_all
    )
    return viewer_id


def _seen(
    connection: psycopg.Connection[tuple[Any, ...]], viewer_id: int, named: list[int] | None
) -> tuple[int, int]:
    """How many students the viewer sees, and how many rows were read to find that out."""
    rule = "SELECT count(*)::int FROM seen_by(%s, 0, 0, %s::bigint[])"
    with connection.transaction():
        # The session's earlier rows may be counted still.
        before = _number(connection, _READ)
        seen = _number(connection, rule, viewer_id, named)
        return seen, _number(connection, _READ) - before


def _number(
    connection: psycopg.Connection[tuple[Any, ...]], query: LiteralString, *values: object
) -> int:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


def test_who_is_named_is_looked_up(
    connection: psycopg.Connection[tuple[Any, ...]], database: conftest.Database
) -> None:
    """Of those named, by staff and by who sees everybody, a few rows each, and none of the other school."""
    named = list(range(101, 101 + NAMED))
    staff, everyone = _viewer(database, sees_all=False), _viewer(database, sees_all=True)
    connection.execute("INSERT INTO staff_scopes (viewer_id, school_id) VALUES (%s, 71)", [staff])

    for viewer_id in (staff, everyone):
        seen, read = _seen(connection, viewer_id, named)

        assert seen == NAMED
        assert read <= 2 * NAMED


def test_a_guardians_own_are_looked_up(
    connection: psycopg.Connection[tuple[Any, ...]], database: conftest.Database
) -> None:
    """With the children named or not, nobody else's row is read."""
    guardian = _viewer(database, sees_all=False)
    connection.execute(
        "INSERT INTO guardianships (viewer_id, student_id) SELECT %s, unnest(ARRAY[101, 102, 103])",
        [guardian],
    )

    for named in (None, [101, 102, 103]):
        seen, read = _seen(connection, guardian, named)

        assert seen == 3
        assert read <= 9


def test_all_are_read_once(
    connection: psycopg.Connection[tuple[Any, ...]], database: conftest.Database
) -> None:
    """Whoever sees everybody is no guardian of each: nobody is compared with all the others."""
    everyone = _viewer(database, sees_all=True)

    seen, read = _seen(connection, everyone, None)

    assert seen == STUDENTS + 10
    assert read == seen
