"""The record of who looked is only ever added to, until its time is over."""

from __future__ import annotations

import datetime

import psycopg
import pytest

from geoingest import db
from geoingest.lifecycle import lookups
from tests import conftest

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
# More than one piece of the job's.
MANY = 25_000


def _record(database: conftest.Database, *, days_ago: float, count: int = 1) -> None:
    database.query(
        "INSERT INTO lookups (viewer_id, student_id, kind, rows, looked_at)"
        " SELECT 1, one, 'location', 1, $1 FROM generate_series(1, $2::integer) AS one",
        NOW - days_ago * DAY,
        count,
    )


def _ages(database: conftest.Database) -> list[tuple[object, ...]]:
    """How many there are of each age in days."""
    return database.query(
        "SELECT round(extract(epoch FROM $1 - looked_at) / 86400)::integer AS days, count(*)"
        " FROM lookups GROUP BY days ORDER BY days",
        NOW,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lookups SET viewer_id = 2",
        "UPDATE lookups SET rows = 2 WHERE FALSE",
        "DELETE FROM lookups",
        "DELETE FROM lookups WHERE looked_at < now() - interval '10 years'",
        "TRUNCATE lookups",
        "INSERT INTO lookups (viewer_id, student_id, kind, rows) VALUES (1, 1, 'gossip', 1)",
        "INSERT INTO lookups (viewer_id, student_id, kind) VALUES (1, 1, 'track')",
        "INSERT INTO lookups (viewer_id, student_id, kind, rows) VALUES (1, 1, 'export', 1)",
        # What the job is allowed is allowed to it alone, and not after it.
        "SELECT expire_lookups(now() - interval '1 year', 10); DELETE FROM lookups",
    ],
)
@pytest.mark.parametrize("who", ["owner", "superuser"])
def test_no_row_is_changed_and_none_is_nonsense(
    database: conftest.Database, statement: str, who: str
) -> None:
    """Neither by the tables' owner nor by the superuser, nor an empty statement."""
    _record(database, days_ago=0)
    url = database.url if who == "owner" else database.admin_url

    with (
        psycopg.connect(url) as connection,
        pytest.raises(psycopg.IntegrityError),
    ):
        connection.execute(statement.encode())

    assert _ages(database) == [(0, 1)]


def test_what_is_a_year_old_leaves_and_nothing_else(database: conftest.Database) -> None:
    """In pieces, all of it; what is a day younger stays, and so does everything the next time."""
    _record(database, days_ago=366, count=MANY)
    _record(database, days_ago=364)
    _record(database, days_ago=0)

    with db.direct(database.url) as connection:
        gone = [str(lookups.run_once(connection, database.settings(), NOW)) for _ in range(2)]

    assert gone == [f"{MANY} look-ups gone", "0 look-ups gone"]
    assert _ages(database) == [(0, 1), (364, 1)]


def test_how_long_they_stay_is_a_setting(database: conftest.Database) -> None:
    """GEOINGEST_LOOKUP_DAYS."""
    for days_ago in (1, 8, 31):
        _record(database, days_ago=days_ago)

    with db.direct(database.url) as connection:
        lookups.run_once(connection, database.settings(lookup_days=30), NOW)

    assert _ages(database) == [(1, 1), (8, 1)]
